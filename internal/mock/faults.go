package mock

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Fault is armed for the requests to come. It hits a request where the real thing would: a refusal of the gateway costs
// nothing, whatever else comes after the limiter and is charged, and a request that is refused on its way there does not use
// the fault up.
type Fault struct {
	// Name is what happens: one of FaultNames.
	Name string `json:"fault"`
	// Times is how many requests it hits. Zero is one, negative all until the reset.
	Times int `json:"times"`
	// Model is the only model that it hits; empty is any.
	Model string `json:"model"`
	// Delay is a silence before the answer begins; for "slow_stream" the gap between events, and for "pause" one gap after
	// Chunks events, both by default a second. In JSON it is a text such as "2s".
	Delay time.Duration `json:"-"`
	// Chunks is how many whole events a stream that breaks or pauses sends first.
	Chunks int `json:"chunks"`
	// Header are headers to set on the answer, such as Retry-After.
	Header map[string]string `json:"headers"`
	// Status replaces the status of a refusal, if it is not zero.
	Status int `json:"status"`
	// Body replaces the body of a refusal, if it is not empty.
	Body string `json:"body"`
}

// FaultNames returns the name of every fault, sorted: the refusals, and what a broken upstream does besides.
func FaultNames() []string {
	all := slices.AppendSeq(slices.Collect(maps.Keys(refusals)), maps.Keys(misdeeds))
	slices.Sort(all)
	return all
}

// stage returns where the fault hits.
func (f *Fault) stage() stage {
	if ref, ok := refusals[f.Name]; ok {
		return ref.stage
	}
	return atWorker
}

// check returns why the fault cannot be armed, or nil.
func (f *Fault) check() error {
	_, isRefusal := refusals[f.Name]
	switch {
	case !isRefusal && misdeeds[f.Name] == nil:
		return fmt.Errorf("fault %q: want one of %s", f.Name, strings.Join(FaultNames(), ", "))
	case f.stage() == atDoor && f.Model != "":
		return fmt.Errorf("fault %q answers before the model is known: want no model, got %q", f.Name, f.Model)
	case f.Delay < 0 || f.Chunks < 0:
		return fmt.Errorf("fault %q: delay %v, chunks %d: want nothing negative", f.Name, f.Delay, f.Chunks)
	case f.Status != 0 && (f.Status < 200 || f.Status > 999):
		return fmt.Errorf("fault %q: status %d: want 200 to 999", f.Name, f.Status)
	case !isRefusal && (f.Status != 0 || f.Body != ""):
		return fmt.Errorf("fault %q is no refusal: it has no status or body to replace", f.Name)
	}
	return nil
}

// armed are the faults that wait for their requests, oldest first. It is safe for concurrent use.
type armed struct {
	mu   sync.Mutex // guards the following
	list []Fault
}

// arm checks a fault and adds it to the list.
func (a *armed) arm(f Fault) error {
	if err := f.check(); err != nil {
		return err
	}
	f.Times = cmp.Or(f.Times, 1)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = append(a.list, f)
	return nil
}

// take returns the oldest fault for a request of the model at the stage, or nil.
func (a *armed) take(at stage, model string) *Fault {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.list, func(f Fault) bool {
		return f.stage() == at && (f.Model == "" || f.Model == model)
	})
	if i < 0 {
		return nil
	}
	taken := a.list[i]
	if a.list[i].Times--; a.list[i].Times == 0 {
		a.list = slices.Delete(a.list, i, i+1)
	}
	return &taken
}

func (a *armed) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = nil
}

// misdeeds are the faults that are no refusals: what else can happen after a request has been let through.
var misdeeds = map[string]func(*Server, *call){
	// Answers that come late.
	"delay":       (*Server).answer,
	"slow_stream": slowly,
	"pause":       pausing,
	"hang":        fallSilent,

	// Answers that end early. What is no stream breaks in the middle of its body.
	"cut":              breaking(ending{how: cutOff}),
	"stall":            breaking(ending{how: fallSilent}),
	"half_frame":       breaking(ending{half: true, how: cutOff}),
	"half_frame_stall": breaking(ending{half: true, how: fallSilent}),
	"truncated":        breaking(ending{half: true, how: cutOff}),
	"early_end":        breaking(ending{how: endCleanly}),
	"empty_stream":     breaking(ending{how: endCleanly, empty: true}),

	// What is no HTTP, or too much of it.
	"reset":        (*Server).reset,
	"close":        raw(""),
	"garbage_head": raw("\x16\x03\x01 this is no HTTP\r\n\r\n"),
	"endless_head": endlessHead,
	"bad_chunk":    raw("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"),
	"two_framings": raw("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
	"stray_bytes":  (*Server).strayBytes,
	"unsolicited":  (*Server).unsolicited,
}

// An ending is how and where an answer breaks.
type ending struct {
	empty bool // before its first event, whatever the fault's Chunks say
	half  bool // after half of an event more
	how   func(*Server, *call)
}

func breaking(e ending) func(*Server, *call) {
	return func(s *Server, c *call) {
		c.ending = &e
		s.answer(c)
	}
}

// cutOff ends the connection without ending the answer.
func cutOff(*Server, *call) { panic(http.ErrAbortHandler) }

// fallSilent says nothing more until the client gives up.
func fallSilent(s *Server, c *call) {
	s.wait(c, math.MaxInt64)
}

// endCleanly ends the answer as if it were whole.
func endCleanly(*Server, *call) {}

func slowly(s *Server, c *call) {
	c.gap = cmp.Or(c.fault.Delay, time.Second)
	s.answer(c)
}

func pausing(s *Server, c *call) {
	c.rest = cmp.Or(c.fault.Delay, time.Second)
	s.answer(c)
}

// reset breaks the connection with an RST instead of an orderly end, where the connection can.
func (s *Server) reset(c *call) {
	conn := hijack(c)
	switch conn := conn.(type) {
	case interface{ Reset() }:
		conn.Reset()
	case interface{ SetLinger(sec int) error }:
		_ = conn.SetLinger(0) // without it the end is an orderly one, which is a fault as well
	}
	_ = conn.Close()
}

// raw writes bytes past net/http and closes the connection.
func raw(text string) func(*Server, *call) {
	return func(_ *Server, c *call) {
		conn := hijack(c)
		_, _ = conn.Write([]byte(text)) // nobody is told: the client sees what arrives
		_ = conn.Close()
	}
}

// endlessHead sends a megabyte of a head that does not end. It is made only then: a sidecar has no use for it.
func endlessHead(s *Server, c *call) {
	raw("HTTP/1.1 200 OK\r\n"+strings.Repeat("X-Filler: "+strings.Repeat("x", 1000)+"\r\n", 1100))(s, c)
}

// unsolicited sends the right answer and, on the same connection, a second one that nobody asked for.
func (s *Server) unsolicited(c *call) {
	answer := c.model.chat.whole.append(nil, c.blanks(c.model.chat.tokens))
	second := strings.ReplaceAll(string(answer), `"content":"`, `"content":"nobody asked for this: `)
	s.linger(c, head("200 OK", len(answer))+string(answer)+head("200 OK", len(second))+second)
}

// strayBytes sends an answer without a body, and a body.
func (s *Server) strayBytes(c *call) {
	s.linger(c, "HTTP/1.1 204 No Content\r\nX-Mock: synthetic\r\n\r\nstray bytes")
}

func head(status string, length int) string {
	return fmt.Sprintf("HTTP/1.1 %s\r\nX-Mock: synthetic\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", status, length)
}

// lingering is how long a connection stays open after bytes that nobody asked for, so that a client may fall for them.
const lingering = time.Second

func (s *Server) linger(c *call, text string) {
	conn := hijack(c)
	_, _ = conn.Write([]byte(text))
	_ = s.pause(c.r.Context(), lingering)
	_ = conn.Close()
}
