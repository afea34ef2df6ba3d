package proxy

import (
	"maps"
	"net/http"
	"strconv"
	"time"

	"nimsidecar/internal/coalesce"
	"nimsidecar/internal/gate"
)

// sharing is a request's part in what package coalesce does. The zero value has none.
type sharing struct {
	seat *coalesce.Seat
	mark coalesce.Mark // what became of it there; "" = not known, or nobody shares

	// How the call that this request made has ended for all who ask the same; 0 = it has not, or for this one only.
	status int
	header http.Header
}

// share joins those who ask the same at this moment, or have asked it of late. It reports true when the request has ended: with an
// answer that others have got, or while it waited for theirs.
func (x *exchange) share() bool {
	if x.h.Coalesce == nil || x.free {
		return false
	}
	s := &x.shared
	s.seat = x.h.Coalesce.Join(&coalesce.Request{
		Provider: x.to.Provider, Method: x.r.Method, Path: x.path, RawQuery: x.r.URL.RawQuery, Model: x.peek.Model, Class: uint8(x.class),
		Client: x.client.Name, OurKey: x.sendsOurKey(), Header: x.r.Header, Body: x.body,
	})
	if s.seat != nil && !x.sit(s.seat) {
		return true
	}
	s.mark = s.seat.Mark()
	answer := s.seat.Answer()
	if answer == nil {
		return false
	}
	x.replay(answer)
	return true
}

// sendsOurKey reports whether a key of the sidecar's goes up, whichever target serves the request.
func (x *exchange) sendsOurKey() bool {
	ours := x.h.Upstream.Keys(x.to.Provider) > 0
	for _, to := range x.rest {
		ours = ours && x.h.Upstream.Keys(to.Provider) > 0
	}
	return ours
}

// sit waits until the seat is ready. It reports false when the request has ended before. Those who wait here are not in the gate, so
// their deadline is kept here; who may not wait at all goes alone.
func (x *exchange) sit(seat *coalesce.Seat) bool {
	select {
	case <-seat.Ready():
		return true
	default:
	}
	left := time.Until(x.deadline)
	if left <= 0 {
		seat.Leave()
		return true
	}
	x.phase = phaseQueue
	x.keepAlive(x.form, x.settings.Heartbeat.CommitAfter)
	began, timer := time.Now(), time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-seat.Ready():
		x.earlier = time.Since(began)
		x.queued = x.earlier
		x.repeat = true // of a call that came to nothing, if it must make its own
		return true
	case <-x.r.Context().Done():
		x.queued = time.Since(began)
		x.endedByContext()
	case <-timer.C:
		x.queued = time.Since(began)
		x.refuse(x.explain(&gate.Refusal{Reason: gate.QueueTimeout}))
	}
	return false
}

// replay answers with an answer that another call has brought.
func (x *exchange) replay(a *coalesce.Answer) {
	x.phase = phaseBody
	committed := x.seal()
	x.hush()
	if committed && a.Status < http.StatusBadRequest && !x.fits(a.Status, a.Header) {
		x.refuse(x.unfit(a.Status, a.Header))
		return
	}
	x.take()
	defer x.give()
	x.firstByte = x.patience()
	switch {
	case !committed:
		x.whole(a.Status, x.replayed(a), a.Body)
	case a.Status >= http.StatusBadRequest:
		x.tell(a.Status, x.oneLine(a.Status, a.Body))
	case x.write(a.Body) && x.flush():
		x.setTrailers()
	}
}

// replayed is the header of an answer that another call has brought.
func (x *exchange) replayed(a *coalesce.Answer) http.Header {
	h := maps.Clone(a.Header)
	if isEventStream(h) {
		unbuffer(h)
	} else {
		h["Content-Length"] = []string{strconv.Itoa(len(a.Body))}
	}
	if x.shared.mark == coalesce.Hit {
		h["Age"] = []string{strconv.Itoa(int(time.Since(a.Made) / time.Second))}
	}
	return h
}

// keepHead keeps what others must know of the answer's head, which is let go of.
func (s *sharing) keepHead(h http.Header) {
	if s.seat != nil {
		s.header = maps.Clone(h)
	}
}

// over notes that the call has ended with that status, for all who wait for it.
func (s *sharing) over(status int) { s.status = status }

// failed notes that the upstream is to blame that there is no whole answer.
func (s *sharing) failed() { s.over(http.StatusBadGateway) }

// leave ends the part. Whoever waits gets the answer, or makes the next call: so the slot of this one must be free by now.
func (s *sharing) leave() {
	if s.status != 0 {
		s.seat.Finish(s.status, s.header)
	}
	s.seat.Leave()
}
