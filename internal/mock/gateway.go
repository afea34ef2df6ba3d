package mock

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// call is one request on its way. The goroutine that serves it owns it.
type call struct {
	w      http.ResponseWriter
	r      *http.Request
	number uint64

	body  []byte
	ask   ask
	model *model
	lane  lane
	poll  time.Duration // how long the client would wait

	verdict verdict // of the limiter; zero if it did not get that far
	queued  bool    // and has no worker yet
	leave   func()  // gives back the worker or the place in the queue; nil if it has neither

	fault  *Fault        // that hits it
	ending *ending       // how the answer breaks, nil if it does not
	gap    time.Duration // between events
	rest   time.Duration // a longer one, after the fault's Chunks
}

// ask is what the gateway and the worker read of a body. As in the gateway, the first of several equal members counts.
type ask struct {
	Model         first[string]   `json:"model"`
	Stream        first[bool]     `json:"stream"`
	StreamOptions json.RawMessage `json:"stream_options"`
	Tools         json.RawMessage `json:"tools"`
	ToolChoice    json.RawMessage `json:"tool_choice"`

	// Where each API says that it wants JSON.
	ResponseFormat json.RawMessage `json:"response_format"`
	Text           json.RawMessage `json:"text"`
	OutputConfig   json.RawMessage `json:"output_config"`
}

// first is a member of which only the first appearance counts.
type first[T any] struct {
	value T
	set   bool
}

// UnmarshalJSON reads the first appearance and skips the others.
func (f *first[T]) UnmarshalJSON(text []byte) error {
	if f.set {
		return nil
	}
	f.set = true
	return json.Unmarshal(text, &f.value)
}

// reqID is the id in nvcf-reqid: a UUID made of the request's number.
func (c *call) reqID() string {
	id := []byte("00000000-0000-4000-8000-000000000000")
	digits := strconv.AppendUint(nil, c.number, 16)
	copy(id[len(id)-len(digits):], digits)
	return string(id)
}

// blanks are what fills the blanks of an answer of that many tokens. The same body always gets the same answer, and its id is
// the CRC-32C of the body, so that a client can tell an answer that is not its own.
func (c *call) blanks(tokens int) blanks {
	id := fmt.Sprintf("%08x", crc32.Checksum(c.body, crc32.MakeTable(crc32.Castagnoli)))
	return blanks{"", id, strconv.Itoa(c.promptTokens()), strconv.Itoa(c.promptTokens() + tokens)}
}

// promptTokens guesses the tokens of the body, always the same for the same one.
func (c *call) promptTokens() int { return 1 + len(c.body)/4 }

// Verdicts that are neither refusals nor faults.
const (
	accepted = "accepted" // goes to a worker
	listed   = "listed"   // was answered from the catalogue
)

// serve takes a call along all steps, takes down what became of it, and answers.
func (s *Server) serve(c *call) {
	outcome := s.guard(c)
	if outcome == "" && c.r.Method == http.MethodGet && s.list(c) {
		s.arrived(c, listed)
		return
	}
	for _, step := range s.steps {
		if outcome == "" {
			outcome = step(c)
		}
	}
	defer s.finish(c)
	s.tellRate(c, outcome == "quota")
	switch {
	case outcome == "" && c.fault == nil:
		s.arrived(c, accepted)
		s.work(c)
	case outcome == "":
		s.arrived(c, c.fault.Name) // a misdeed, which is yet to come
		s.work(c)
	default:
		s.arrived(c, outcome)
		if c.fault != nil {
			s.wait(c, c.fault.Delay)
		}
		s.refuse(c, outcome, c.fault)
	}
}

// finish gives back what the call held. It runs after an answer that broke off, too.
func (s *Server) finish(c *call) {
	if c.leave != nil {
		c.leave()
	}
	if c.verdict.ok {
		s.quota.done(c.verdict)
	}
	if c.r.Context().Err() != nil {
		s.arrivals.abort()
	}
}

// guard refuses reserved headers. Like every step it returns the name of its refusal, or "".
func (s *Server) guard(c *call) string {
	if _, ok := c.r.Header["Nvcf-Shadow"]; ok {
		return "shadow_header"
	}
	if _, ok := c.r.Header["X-Priority"]; ok {
		return "priority_header"
	}
	return ""
}

// route refuses what is no path of the API.
func (s *Server) route(c *call) string {
	if c.r.Method != http.MethodPost || routes[c.r.URL.Path] == nil {
		return "not_found"
	}
	return ""
}

// fail is the step at which an armed fault of a stage hits.
func (s *Server) fail(at stage) func(*call) string {
	return func(c *call) string {
		if c.fault = s.faults.take(at, c.ask.Model.value); c.fault == nil {
			return ""
		}
		for name, value := range c.fault.Header {
			c.w.Header().Set(name, value)
		}
		if misdeeds[c.fault.Name] != nil {
			return "" // done when a worker has it
		}
		return c.fault.Name
	}
}

// maxBody is the largest body that the gateway takes, in bytes.
const maxBody = 25 << 20

// read takes in the whole body.
func (s *Server) read(c *call) string {
	var body bytes.Buffer
	body.Grow(int(min(max(c.r.ContentLength, 0)+bytes.MinRead, 1<<20)))
	if _, err := body.ReadFrom(http.MaxBytesReader(c.w, c.r.Body, maxBody)); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return "body_too_large"
		}
		return "broken_upload"
	}
	c.body = body.Bytes()
	if json.Unmarshal(c.body, &c.ask) != nil {
		return "bad_json"
	}
	if c.ask.Model.value == "" {
		return "no_model"
	}
	return ""
}

// find looks the model up.
func (s *Server) find(c *call) string {
	if c.model = s.catalogue.model(c.ask.Model.value); c.model == nil {
		return "not_found"
	}
	if state := c.model.state; state == "offline" || state == "gone" {
		return state
	}
	return ""
}

// authenticate looks the key up.
func (s *Server) authenticate(c *call) string {
	credential := c.r.Header.Get("Authorization")
	if key := c.r.Header.Get("X-Api-Key"); key != "" && anthropicPath(c.r.URL.Path) {
		credential = "Bearer " + key
	}
	if credential == "" {
		return "no_credential"
	}
	scheme, key, _ := strings.Cut(credential, " ")
	if !strings.EqualFold(scheme, "Bearer") || key == "" {
		return "bad_header"
	}
	if len(s.options.Keys) > 0 && !slices.Contains(s.options.Keys, key) {
		return "key_dead"
	}
	sum := sha256.Sum256([]byte(key))
	c.lane.user = "key-" + hex.EncodeToString(sum[:4]) // never the key itself: accounts are shown and logged
	c.lane.account = c.lane.user
	if account, ok := s.options.Accounts[key]; ok {
		c.lane.account = account
	}
	return ""
}

// entitle asks whether the account may use the model, and whether it can be used.
func (s *Server) entitle(c *call) string {
	c.lane.model = c.model.name
	if c.model.state != "" && c.model.state != "deprecated" {
		return c.model.state
	}
	return ""
}

const (
	defaultPoll = 300 * time.Second
	maxPoll     = 3600
)

// poll reads how long the client would wait.
func (s *Server) poll(c *call) string {
	c.poll = defaultPoll
	text := c.r.Header.Get("NVCF-POLL-SECONDS")
	if text == "" {
		return ""
	}
	seconds, err := strconv.ParseUint(text, 10, 64)
	if err != nil || seconds > maxPoll {
		return "bad_poll"
	}
	c.poll = time.Duration(max(seconds, 1)) * time.Second
	return ""
}

// admit asks the limiter: at once, or, as long as the pod has no reason for distrust, while the request is already on.
func (s *Server) admit(c *call) string {
	var strict bool
	c.lane, strict = s.quota.assign(c.lane)
	switch {
	case !s.options.Async:
		c.verdict = s.quota.ask(c.lane)
	case strict:
		_ = s.pause(c.r.Context(), s.options.CheckLatency) // the hit counts, whether the client has left or not
		c.verdict = s.quota.ask(c.lane)
	default:
		c.verdict = s.quota.pass(c.lane)
		s.checkLater(c.lane)
	}
	if !c.verdict.ok {
		return "quota"
	}
	return ""
}

// checkLater asks the limiter in the background. Close waits for it.
func (s *Server) checkLater(l lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Err() != nil {
		return
	}
	s.checks.Go(func() {
		if s.pause(s.closing, s.options.CheckLatency) {
			s.quota.charge(l)
		}
	})
}
