package coalesce

import (
	"net/http"
	"time"
)

// Mark says what became of a request here. Its text is what clients and logs are shown.
type Mark string

// The marks.
const (
	Hit       Mark = "hit"       // answered with a kept answer
	Coalesced Mark = "coalesced" // answered with the answer to another's call
	Miss      Mark = "miss"      // it might have been, and made its own call
	Bypass    Mark = "bypass"    // it has no part in this, or its client wants an answer of its own
)

// Seat is one request's part in a call. It belongs to the goroutine that carries the request; only Ready's channel may be shared. All
// methods of a nil Seat do what is right for a request that makes its own call and shares nothing.
type Seat struct {
	group *Group
	route route
	keeps bool
	ready chan struct{} // closed once the fields below the lock say what is to be done

	mark   Mark    // guarded by group.mu until ready is closed
	answer *Answer // likewise
	flight *flight // guarded by group.mu; nil when it waits for nobody and nobody for it

	record []byte // what has come of the answer
	lost   bool   // it was too long, or there was no room
}

// Ready returns a channel that is closed once the request knows what to do: pass Answer on, or make the call. It is nil, and so
// never ready, for a nil Seat.
func (s *Seat) Ready() <-chan struct{} {
	if s == nil {
		return nil
	}
	return s.ready
}

// Answer returns what to answer with; nil if the request must make its call. It is to be called when the seat is ready.
func (s *Seat) Answer() *Answer {
	if s == nil {
		return nil
	}
	return s.answer
}

// Mark returns what became of the request. It is to be called when the seat is ready.
func (s *Seat) Mark() Mark {
	if s == nil {
		return Bypass
	}
	return s.mark
}

// Record takes bytes of the body of the answer to the call that this request makes, in their order. They are copied. If they become
// too many nobody gets them, and whoever waits for them goes alone at once.
func (s *Seat) Record(p []byte) {
	if s == nil || s.lost {
		return
	}
	had := cap(s.record)
	if int64(len(s.record)+len(p)) <= s.group.MaxAnswer {
		s.record = append(s.record, p...)
		if s.group.recorded.Add(int64(cap(s.record)-had)) <= recordings*s.group.MaxAnswer {
			return
		}
	}
	s.lost = true
	s.erase()
	s.group.mu.Lock()
	defer s.group.mu.Unlock()
	if s.flight != nil {
		s.group.dissolveLocked(s.flight, nil)
	}
}

// erase lets go of what was recorded.
func (s *Seat) erase() {
	s.group.recorded.Add(-int64(cap(s.record)))
	s.record = nil
}

// Finish says that the call of this request is over, and that all of its answer has been recorded; of header, what others may see is
// kept. A success is kept, if it is whole, and given to those who wait; of errors, those that they would get as well are given to
// them. After any other they call again, or alone. An answer that is not complete, or that the sidecar made itself, must not be
// finished: Leave says all that is to be said of it, unless the upstream is to blame, which is Finish with its status or with 502.
func (s *Seat) Finish(status int, header http.Header) {
	if s == nil {
		return
	}
	var a *Answer
	if isShared(status) && !s.lost && (status != http.StatusOK || isWhole(header, s.record)) {
		a = &Answer{Status: status, Header: keptOf(header), Body: make([]byte, len(s.record)), Made: time.Now()}
		copy(a.Body, s.record)
	}
	s.erase()

	s.group.mu.Lock()
	defer s.group.mu.Unlock()
	if a != nil && s.keeps && status == http.StatusOK {
		s.group.cache.put(s.route.key, a)
	}
	f := s.flight
	if f == nil {
		return
	}
	if f.failures++; a != nil || f.failures == maxFailures {
		s.group.dissolveLocked(f, a)
		return
	}
	s.partLocked()
}

// Leave ends the request's part, whatever it was: if it waited, nobody notices; if it was making the call, the next one makes it
// anew. It must be called at the end of every request that joined; after Finish, and again, it does nothing.
func (s *Seat) Leave() {
	if s == nil {
		return
	}
	s.erase()
	s.group.mu.Lock()
	defer s.group.mu.Unlock()
	s.partLocked()
}
