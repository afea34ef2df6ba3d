package pace

import "time"

// Window is a log of charges that lets at most n be in any period + margin; the package comment proves what that is worth. A
// charge is open from Reserve until Sent or Refund, and ages only from Sent. The log is therefore sorted, and a refund never
// reaches into its middle.
//
// Time does not run backwards here: a now before the latest one given counts as that latest one.
//
// Every method takes O(1) amortised and, once the log has grown, allocates nothing. Memory is 8 bytes a charge, at most n of
// them. Use NewWindow; the methods must not be called concurrently.
type Window struct {
	n      int
	period time.Duration
	span   time.Duration // period + margin: how long a sent charge stays

	epoch  time.Time     // the first time given; the others are distances from it, a third of the size
	latest time.Duration // the latest time given
	open   int           // charges reserved, not sent
	sent   ring          // when the others were sent
	opened time.Duration // the send that opened the running first-hit window, see End
}

// NewWindow returns an empty log of at most n charges in period + margin. It panics if n is below 1: a window that nothing can
// ever pass is a mistake of the caller.
func NewWindow(n int, period, margin time.Duration) *Window {
	if n < 1 {
		panic("pace: a window must hold at least one charge")
	}
	span := period + margin
	return &Window{n: n, period: period, span: span, opened: -span}
}

// Next returns the earliest time at which one more charge may be reserved, never before now. ok is false when the passing of
// time alone will not bring it, because open charges fill the window: then only Sent or Refund will tell.
func (w *Window) Next(now time.Time) (at time.Time, ok bool) {
	w.advance(now)
	last := w.open + w.sent.len - w.n // the sent charge after whose leaving there is room
	switch {
	case last < 0:
		return now, true
	case last < w.sent.len:
		return w.epoch.Add(w.sent.at(last) + w.span), true
	default:
		return time.Time{}, false
	}
}

// Reserve adds an open charge. It does not check: a charge that is sent in any case is reserved beyond n, and Next then waits
// the longer.
func (w *Window) Reserve(now time.Time) {
	w.advance(now)
	w.open++
}

// Sent turns an open charge into one that ages from now on. It panics if there is none.
func (w *Window) Sent(now time.Time) {
	w.takeOpen("Sent")
	at := w.advance(now)
	if at >= w.opened+w.period {
		w.opened = at
	}
	// Of more than n sent charges only the newest n can ever hold Next back: n must leave in any case.
	w.sent.push(at, w.n)
}

// Refund takes an open charge out again, as if it had never been reserved. It panics if there is none.
func (w *Window) Refund() { w.takeOpen("Refund") }

// Used returns how many charges the window holds: all open ones, and the sent ones up to n.
func (w *Window) Used(now time.Time) int {
	w.advance(now)
	return w.open + w.sent.len
}

// Resets returns when the window will be empty if nothing is added: when its newest charge leaves, an open one being taken as
// sent now. It is now for an empty window.
func (w *Window) Resets(now time.Time) time.Time {
	at := w.advance(now)
	switch {
	case w.open > 0:
		return w.epoch.Add(at + w.span)
	case w.sent.len > 0:
		return w.epoch.Add(w.sent.at(w.sent.len-1) + w.span)
	default:
		return now
	}
}

// End returns when the running window of an upstream is over whose windows open at the first hit after the last one expired
// (NVIDIA's do), going by our own sends: period + margin after the one that opened it. It is now when none is running, and never
// further away than period + margin.
//
// It is an estimate, for when to try again after a refusal. A send at the very edge may be counted on its other side by the
// upstream; the answer is then off by the distance between two sends, until the next idle moment.
func (w *Window) End(now time.Time) time.Time {
	if at := w.advance(now); at >= w.opened+w.span {
		return now
	}
	return w.epoch.Add(w.opened + w.span)
}

// advance lets time pass, drops what has left the window, and returns now as a distance from the epoch.
func (w *Window) advance(now time.Time) time.Duration {
	if w.epoch.IsZero() {
		w.epoch = now
	}
	w.latest = max(w.latest, now.Sub(w.epoch))
	for w.sent.len > 0 && w.sent.at(0)+w.span <= w.latest {
		w.sent.pop()
	}
	return w.latest
}

// takeOpen ends the openness of one charge.
func (w *Window) takeOpen(verb string) {
	if w.open == 0 {
		panic("pace: " + verb + " without an open charge")
	}
	w.open--
}

// ring is a queue of times, oldest first, in a buffer that grows when it must.
type ring struct {
	buf       []time.Duration
	head, len int
}

// at returns the i-th oldest time.
func (r *ring) at(i int) time.Duration { return r.buf[r.slot(i)] }

// slot returns where the i-th oldest time is, or will be.
func (r *ring) slot(i int) int {
	if i += r.head; i >= len(r.buf) {
		i -= len(r.buf)
	}
	return i
}

// pop drops the oldest time.
func (r *ring) pop() {
	r.head = r.slot(1)
	r.len--
}

// push adds the newest time; of more than most the oldest goes.
func (r *ring) push(t time.Duration, most int) {
	if r.len == most {
		r.pop()
	}
	if r.len == len(r.buf) {
		buf := make([]time.Duration, min(most, max(8, 2*len(r.buf))))
		n := copy(buf, r.buf[r.head:])
		copy(buf[n:], r.buf[:r.head])
		r.buf, r.head = buf, 0
	}
	r.buf[r.slot(r.len)] = t
	r.len++
}
