package mock

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Server is the emulated upstream: an http.Handler, safe for concurrent use. It starts no goroutine but the asynchronous
// checks of Options.Async, for which Close waits.
type Server struct {
	// Immutable.
	options Options
	steps   []func(*call) string
	control *http.ServeMux

	// Each of these has its own lock.
	quota     *quota
	faults    armed
	arrivals  *arrivals
	catalogue *catalogue
	sequence  atomic.Uint64 // numbers the requests

	closing context.Context // ends when Close is called
	close   context.CancelFunc
	mu      sync.Mutex // guards the start of checks against Close
	checks  sync.WaitGroup
}

// New returns a Server, or an error that names the option it cannot use. The Server owns what it is given.
func New(o Options) (*Server, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	p, err := newPolicy(o)
	if err != nil {
		return nil, err
	}
	s := &Server{
		options:   o,
		quota:     newQuota(p, o),
		arrivals:  newArrivals(o.KeepArrivals),
		catalogue: newCatalogue(o),
	}
	s.steps = []func(*call) string{
		s.route, s.fail(atDoor), s.read, s.find, s.authenticate, s.entitle, s.poll, s.fail(atGate),
		s.admit, s.fail(atWorker), s.enqueue,
	}
	s.control = s.controls()
	s.closing, s.close = context.WithCancel(context.Background())
	return s, nil
}

// ServeHTTP answers one request, to the mock itself or to what it emulates.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Mock", "synthetic")
	if strings.HasPrefix(r.URL.Path, "/mock/") {
		s.control.ServeHTTP(w, r)
		return
	}
	s.serve(&call{w: w, r: r, number: s.sequence.Add(1), gap: s.options.ChunkGap})
}

// Close ends every wait and silence, and returns when no check of the limiter is under way any more. Answers that had to wait
// are broken off, also those to requests that come later. It may be called more than once; the error is always nil.
func (s *Server) Close() error {
	s.mu.Lock()
	s.close()
	s.mu.Unlock()
	s.checks.Wait()
	return nil
}

// Arrivals returns what was received and what of it was charged, oldest first: the latest Options.KeepArrivals of it.
func (s *Server) Arrivals() []Arrival { return s.arrivals.since(0) }

// Stats returns the totals.
func (s *Server) Stats() Stats {
	stats := s.arrivals.totals()
	stats.Scopes = s.quota.stats()
	for _, sc := range stats.Scopes {
		stats.Accepted += sc.Accepted
		stats.Refused += sc.Refused
	}
	return stats
}

// SetLimits changes limits while the Server runs, like PUT /mock/limits.
func (s *Server) SetLimits(c LimitChange) error { return s.quota.change(c) }

// Arm arms a fault for requests to come, like POST /mock/faults.
func (s *Server) Arm(f Fault) error { return s.faults.arm(f) }

// Reset forgets everything that was counted, armed or changed, like POST /mock/reset. Requests under way go on.
func (s *Server) Reset() {
	s.quota.reset()
	s.faults.reset()
	s.arrivals.reset()
}

// pause waits, and reports whether it did so to the end: the client may leave, or the Server be closed.
func (s *Server) pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-s.closing.Done():
	}
	return false
}

// wait pauses before or in an answer. If it cannot to the end, it breaks the answer off, so that it never looks like a whole
// one.
func (s *Server) wait(c *call, d time.Duration) {
	if !s.pause(c.r.Context(), d) {
		panic(http.ErrAbortHandler)
	}
}

// hijack takes the connection from net/http; where it cannot be had, as with HTTP/2, the answer is broken off.
func hijack(c *call) net.Conn {
	conn, _, err := http.NewResponseController(c.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return conn
}
