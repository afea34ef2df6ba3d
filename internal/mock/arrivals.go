package mock

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"sync"
	"time"
)

// An Arrival is one request as the mock saw it.
type Arrival struct {
	// Sequence numbers the arrivals from 1, in the order in which their verdicts were reached.
	Sequence int `json:"sequence"`
	// Time is when, by the real clock.
	Time time.Time `json:"time"`
	// At is the same by the limiter's clock; of a charged request, when it was counted or let through.
	At time.Time `json:"at"`
	// Account is whose request it was: as configured, else a fingerprint of the key. Empty if it did not get that far.
	Account string `json:"account"`
	// Model is what the request was for. Empty if it did not get that far.
	Model string `json:"model"`
	// Path is where it was sent.
	Path string `json:"path"`
	// Stream says that the answer was to be streamed.
	Stream bool `json:"stream"`
	// Bytes is the length of its body, and SHA256 the body's digest in hex. Zero and empty if the body was not read.
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
	// Verdict is "accepted" for what a worker gets, "listed" for what the catalogue answers, "quota" for a refusal by the
	// limiter, else the name of the refusal or fault.
	Verdict string `json:"verdict"`
	// Charged says that it cost quota.
	Charged bool `json:"charged"`
}

// arrivals remembers the latest arrivals and counts all. It is safe for concurrent use.
type arrivals struct {
	keep int

	mu       sync.Mutex // guards the following
	ring     []Arrival  // the one of sequence n is at (n-1) % keep
	total    int
	verdicts map[string]int
	aborted  int
}

func newArrivals(keep int) *arrivals {
	return &arrivals{keep: keep, verdicts: map[string]int{}}
}

// add remembers an arrival, and returns it with its number.
func (a *arrivals) add(arrival Arrival) Arrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := a.total % a.keep
	a.total++
	arrival.Sequence = a.total
	if i == len(a.ring) {
		a.ring = append(a.ring, arrival)
	} else {
		a.ring[i] = arrival
	}
	a.verdicts[arrival.Verdict]++
	return arrival
}

// abort counts a client that left before its answer had ended.
func (a *arrivals) abort() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.aborted++
}

// since returns the remembered arrivals after the one of that sequence, oldest first.
func (a *arrivals) since(sequence int) []Arrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	from := max(sequence, a.total-len(a.ring), 0)
	list := make([]Arrival, 0, max(0, a.total-from))
	for n := from; n < a.total; n++ {
		list = append(list, a.ring[n%a.keep])
	}
	return list
}

func (a *arrivals) totals() Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return Stats{Requests: a.total, Verdicts: maps.Clone(a.verdicts), Aborted: a.aborted}
}

func (a *arrivals) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ring, a.total, a.verdicts, a.aborted = nil, 0, map[string]int{}, 0
}

// maxShown bounds the texts of a client that are remembered.
const maxShown = 256

func shown(text string) string { return text[:min(len(text), maxShown)] }

// arrived takes down a call and its verdict.
func (s *Server) arrived(c *call, verdict string) {
	arrival := Arrival{
		Time: time.Now(), At: c.verdict.at,
		Account: c.lane.account, Model: shown(c.ask.Model.value), Path: shown(c.r.URL.Path), Stream: c.ask.Stream.value,
		Verdict: verdict, Charged: !c.verdict.at.IsZero(),
	}
	if c.body != nil {
		sum := sha256.Sum256(c.body)
		arrival.Bytes, arrival.SHA256 = len(c.body), hex.EncodeToString(sum[:])
	}
	if !arrival.Charged {
		arrival.At = s.quota.clock.now()
	}
	arrival = s.arrivals.add(arrival)
	if s.options.Log != nil {
		line, _ := json.Marshal(arrival)               // texts, times, numbers: it cannot fail
		_, _ = s.options.Log.Write(append(line, '\n')) // the mock does not depend on its log
	}
}
