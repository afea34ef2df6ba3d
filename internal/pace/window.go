package pace

import "time"

// Window is a log of charges: it says when fewer than so many of them are in the last period + margin; the package comment proves
// what that is worth. How many there may be is the caller's to say at each call, since a learned limit moves. A charge is open
// from Reserve until Sent or Refund, and ages only from Sent. The log is therefore sorted, and a refund never reaches into its
// middle.
//
// Time does not run backwards here: a now before the latest one given counts as that latest one.
//
// Charges that are sent within one grain are kept as one entry and leave together, when the last of them may. So the log has at
// most 1 + (period + margin) / grain entries of 16 bytes, whatever is sent, and a charge stays for up to one grain too long, never too
// short. A charge that is alone in its grain leaves at the exact moment.
//
// Every method but Next and Gap takes O(1) amortised; these two walk over the entries that matter. Once the log has grown, nothing is
// allocated. Use NewWindow; the methods must not be called concurrently.
type Window struct {
	period time.Duration
	span   time.Duration // period + margin: how long a sent charge stays
	grain  time.Duration

	epoch  time.Time     // the first time given; the others are distances from it, a third of the size
	latest time.Duration // the latest time given
	open   int           // charges reserved, not sent
	sent   ring          // the others
	opened time.Duration // the send that opened the running first-hit window, see End
}

// NewWindow returns an empty log. A grain of zero keeps every charge apart that was not sent at the same time as another.
func NewWindow(period, margin, grain time.Duration) *Window {
	span := period + margin
	return &Window{period: period, span: span, grain: grain, opened: -span}
}

// Next returns the earliest time at which the log holds fewer than n charges, never before now. ok is false when the passing of
// time alone will not bring it, because open charges fill the window: then only Sent or Refund will tell.
func (w *Window) Next(now time.Time, n int) (at time.Time, ok bool) {
	w.advance(now)
	leaving := w.open + w.sent.charges - n + 1 // so many must leave
	switch {
	case leaving <= 0:
		return now, true
	case leaving > w.sent.charges:
		return time.Time{}, false
	}
	for i := 0; ; i++ {
		e := w.sent.at(i)
		if leaving -= e.n; leaving <= 0 {
			return w.epoch.Add(e.at + w.span), true
		}
	}
}

// Gap returns the least even distance at which attempts can follow one that is reserved now, for as long as it takes until that one
// has left, without the log ever holding more than n charges. Sending at this pace uses the window as fully as going at once
// whenever there is room, but leaves no hole behind a burst. It is at most period + margin.
//
// Where e(i) is the time until the i-th charge leaves, counted from 0, and r how many the log still takes, no more than r + i attempts
// fit in before e(i), so attempt r + i + 1 must not be earlier: gap ≥ e(i) / (r + i + 1) for all i. Beyond the first entries only every
// so many are looked at, which may make it a few percent too short; then Next says no at the end. Where the longest distance that could
// come out is brief, it is returned without a look at the log, which has thousands of entries then.
func (w *Window) Gap(now time.Time, n int) time.Duration {
	at := w.advance(now)
	fits := n - w.sent.charges - w.open // attempts before the next leaves
	if longest := w.span / time.Duration(max(1, fits+1)); longest <= brief {
		return longest
	}
	gap := w.span / time.Duration(max(1, fits+w.sent.charges+1))
	for i := 0; i < w.sent.len; {
		step := 1 + i/32
		gap = max(gap, (w.sent.at(i).at+w.span-at)/time.Duration(max(1, fits+1)))
		for end := min(i+step, w.sent.len); i < end; i++ {
			fits += w.sent.at(i).n
		}
	}
	return min(gap, w.span)
}

// Reserve adds an open charge. It does not check: a charge that is sent in any case is reserved beyond what there should be, and Next then waits
// the longer.
func (w *Window) Reserve(now time.Time) {
	w.advance(now)
	w.open++
}

// Sent turns an open charge into one that ages from now on. It panics if there is none.
func (w *Window) Sent(now time.Time) {
	w.takeOpen("Sent")
	w.push(w.advance(now), 1)
}

// Restore adds n charges that were sent at a time in the past, which must not be before one that was restored or sent earlier.
func (w *Window) Restore(now, sent time.Time, n int) {
	w.advance(now)
	at := min(sent.Sub(w.epoch), w.latest)
	if w.sent.len > 0 {
		at = max(at, w.sent.at(w.sent.len-1).at)
	}
	w.push(at, n)
}

func (w *Window) push(at time.Duration, n int) {
	if at >= w.opened+w.period {
		w.opened = at
	}
	w.sent.push(at, n, w.grain)
}

// Refund takes an open charge out again, as if it had never been reserved. It panics if there is none.
func (w *Window) Refund() { w.takeOpen("Refund") }

// Used returns how many charges the window holds, open and sent.
func (w *Window) Used(now time.Time) int {
	w.advance(now)
	return w.open + w.sent.charges
}

// Oldest returns the time until the next charge leaves; zero for a window in which none ages.
func (w *Window) Oldest(now time.Time) time.Duration {
	at := w.advance(now)
	if w.sent.len == 0 {
		return 0
	}
	return w.sent.at(0).at + w.span - at
}

// Resets returns when the window will be empty if nothing is added: when its newest charge leaves, an open one being taken as
// sent now. It is now for an empty window.
func (w *Window) Resets(now time.Time) time.Time {
	at := w.advance(now)
	switch {
	case w.open > 0:
		return w.epoch.Add(at + w.span)
	case w.sent.len > 0:
		return w.epoch.Add(w.sent.at(w.sent.len-1).at + w.span)
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
	for w.sent.len > 0 && w.sent.at(0).at+w.span <= w.latest {
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

// entry is charges that leave together.
type entry struct {
	at time.Duration // when the last of them was sent
	n  int
}

// ring is a queue of entries, oldest first, in a buffer that grows when it must.
type ring struct {
	buf       []entry
	head, len int
	charges   int           // in all entries
	began     time.Duration // when the first charge of the newest entry was sent
}

// at returns the i-th oldest entry.
func (r *ring) at(i int) entry { return r.buf[r.slot(i)] }

// slot returns where the i-th oldest entry is, or will be.
func (r *ring) slot(i int) int {
	if i += r.head; i >= len(r.buf) {
		i -= len(r.buf)
	}
	return i
}

// pop drops the oldest entry.
func (r *ring) pop() {
	r.charges -= r.buf[r.head].n
	r.head = r.slot(1)
	r.len--
}

// push adds the newest charges, to the newest entry if that began less than a grain ago.
func (r *ring) push(at time.Duration, n int, grain time.Duration) {
	r.charges += n
	if r.len > 0 && (at-r.began < grain || at == r.began) {
		newest := &r.buf[r.slot(r.len-1)]
		newest.at = at
		newest.n += n
		return
	}
	if r.len == len(r.buf) {
		buf := make([]entry, max(8, 2*len(r.buf)))
		k := copy(buf, r.buf[r.head:])
		copy(buf[k:], r.buf[:r.head])
		r.buf, r.head = buf, 0
	}
	r.began = at
	r.buf[r.slot(r.len)] = entry{at, n}
	r.len++
}
