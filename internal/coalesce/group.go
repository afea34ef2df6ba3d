package coalesce

import (
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options is what a Group is built from. The zero value serves nobody.
type Options struct {
	// Coalesce names the requests that may wait for each other's calls.
	Coalesce Rules
	// Cache names the requests whose answers are kept.
	Cache Rules
	// ShareClients lets clients with keys of their own see each other's answers, where a key of the sidecar's goes up.
	ShareClients bool
	// MaxBytes bounds the kept answers, and MaxAge how old they become; either at 0 keeps none.
	MaxBytes int64
	// MaxAge is how long an answer is kept.
	MaxAge time.Duration
	// MaxAnswer is the largest body that is recorded; 0 = 8 MB. All recordings together may take sixteen times that.
	MaxAnswer int64
}

const (
	defaultMaxAnswer = 8_000_000
	// recordings is how many of the largest answers may be on record at one time, so that a burst of them does not take all memory.
	recordings = 16
	// maxFailures is how many calls may fail before a company breaks up: one may be bad luck.
	maxFailures = 2
)

// Group is all calls that may be shared, and the kept answers. A nil Group serves nobody. It is safe for concurrent use; what it
// returns is for one goroutine.
type Group struct {
	Options // immutable, defaults filled in

	open     chan struct{} // closed: what is ready from the beginning
	recorded atomic.Int64  // bytes of answers that are being recorded

	mu      sync.Mutex // guards the following, and the fields of Seat that say so
	flights map[route]*flight
	cache   cache
}

// route is what requests must have in common to wait for one call.
type route struct {
	key   key
	class uint8
}

// flight is a company: who makes the call now, and those who wait for it, in the order in which they came.
type flight struct {
	route    route
	leader   *Seat
	waiting  []*Seat
	failures int
}

// New returns a Group.
func New(o Options) *Group {
	if o.MaxAnswer <= 0 {
		o.MaxAnswer = defaultMaxAnswer
	}
	g := &Group{
		Options: o, open: make(chan struct{}), flights: make(map[route]*flight),
		cache: cache{maxBytes: o.MaxBytes, maxAge: o.MaxAge},
	}
	close(g.open)
	return g
}

// View is what a Group holds at one moment.
type View struct {
	Answers  int   // kept ones
	Bytes    int64 // of them
	Calls    int   // under way, which others may be waiting for
	Waiting  int   // who wait for them
	Recorded int64 // bytes of the answers that are coming in
}

// View returns what the group holds. It takes time in proportion to the calls.
func (g *Group) View() View {
	if g == nil {
		return View{}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	v := View{Answers: len(g.cache.entries), Bytes: g.cache.bytes, Calls: len(g.flights), Recorded: g.recorded.Load()}
	for _, f := range g.flights {
		v.Waiting += len(f.waiting)
	}
	return v
}

// Join returns the request's seat: one whose answer is there already, one that waits for a call, or one that must make it. It is nil
// for a request that has no part in any of this. Whoever joins must leave.
func (g *Group) Join(r *Request) *Seat {
	if g == nil || r.Method != http.MethodPost {
		return nil
	}
	coalesces, keeps := g.Coalesce.match(r.Path, r.Model), g.Cache.match(r.Path, r.Model)
	fresh, private := directives(r.Header)
	if private || !coalesces && !keeps {
		return nil
	}
	known := paths[r.Path]
	body, ok := readForm(r.Body)
	if !ok || !known.repeatable(body) {
		return nil
	}
	asked := *r
	if g.ShareClients {
		asked.Client = ""
	}
	s := &Seat{group: g, keeps: keeps, mark: Miss, ready: g.open}
	s.route = route{keyOf(&asked, body, known.silent), r.Class}

	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case fresh:
		s.mark = Bypass
	case keeps && s.findLocked():
		s.mark = Hit
	case coalesces:
		s.boardLocked()
	}
	return s
}

// findLocked looks for a kept answer.
func (s *Seat) findLocked() bool {
	s.answer = s.group.cache.get(s.route.key, time.Now())
	return s.answer != nil
}

// boardLocked lets the request wait for the call that is under way, or lead a new one.
func (s *Seat) boardLocked() {
	f := s.group.flights[s.route]
	if f == nil {
		f = &flight{route: s.route, leader: s}
		s.group.flights[s.route] = f
	} else {
		s.ready = make(chan struct{})
		f.waiting = append(f.waiting, s)
	}
	s.flight = f
}

// partLocked takes a seat out of its company, and lets the next one make the call if it did.
func (s *Seat) partLocked() {
	f := s.flight
	s.flight = nil
	switch {
	case f == nil:
	case f.leader == s:
		s.group.followLocked(f)
	default:
		at := slices.Index(f.waiting, s)
		f.waiting = slices.Delete(f.waiting, at, at+1)
	}
}

// followLocked gives the call to whoever has waited longest; without anybody the company is at its end.
func (g *Group) followLocked(f *flight) {
	if len(f.waiting) == 0 {
		delete(g.flights, f.route)
		return
	}
	f.leader = f.waiting[0]
	f.waiting = slices.Delete(f.waiting, 0, 1)
	close(f.leader.ready)
}

// dissolveLocked ends a company: all who wait get the answer, or, if it is nil, go alone.
func (g *Group) dissolveLocked(f *flight, a *Answer) {
	delete(g.flights, f.route)
	f.leader.flight = nil
	for _, s := range f.waiting {
		s.flight, s.answer = nil, a
		if a != nil {
			s.mark = Coalesced
		}
		close(s.ready)
	}
	f.waiting = nil
}
