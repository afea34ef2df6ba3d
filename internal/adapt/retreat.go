package adapt

import (
	"slices"
	"time"
)

// State is how a scope stands with its upstream, as the outside sees it.
type State uint8

// The states.
const (
	Normal  State = iota // the ceiling is confirmed; probing belongs to it
	Retreat              // refused twice in a row: one canary at a time, until enough of them pass
	Recover              // canaries have passed; on the way back to the ceiling before, or to the new one
	StateCount
)

var stateNames = [StateCount]string{"NORMAL", "RETREAT", "RECOVER"}

// String returns NORMAL, RETREAT or RECOVER.
func (s State) String() string {
	if s < StateCount {
		return stateNames[s]
	}
	return "UNKNOWN"
}

// cause is why a state changes.
type cause uint8

// The causes.
const (
	refusedInARow    cause = iota // two refusals with no success in between
	canariesPassed                // the upstream serves again
	ceilingRestored               // a window at the ceiling of before, or nearly
	ceilingConfirmed              // a probe was refused: the new ceiling is known
	causeCount
)

// Transition is one line of the machine.
type Transition struct {
	From State  // where it is taken
	To   State  // where it leads
	Why  string // in words, for logs
}

// transitions is the whole machine, by cause. A cause that meets another state than its own changes nothing.
var transitions = [causeCount][]Transition{
	refusedInARow: {
		{Normal, Retreat, "two refusals in a row"},
		{Recover, Retreat, "two refusals in a row"},
	},
	canariesPassed:   {{Retreat, Recover, "the upstream serves again"}},
	ceilingRestored:  {{Recover, Normal, "back at the ceiling of before"}},
	ceilingConfirmed: {{Recover, Normal, "a new ceiling is confirmed"}},
}

// Transitions returns the machine's table, for documents.
func Transitions() []Transition { return slices.Concat(transitions[:]...) }

// Change is one change of state.
type Change struct {
	Transition
	Ceiling  int // after it; Unknown = none
	Before   int // the ceiling before the refusals
	Refusals int // in a row
}

// Changes returns the changes since the last call.
func (l *Law) Changes() []Change {
	c := l.changes
	l.changes = nil
	return c
}

// State returns the state.
func (l *Law) State() State { return l.state }

// become changes the state as the table says.
func (l *Law) become(cause cause) {
	for _, line := range transitions[cause] {
		if line.From == l.state {
			l.state = line.To
			l.changes = append(l.changes, Change{Transition: line, Ceiling: l.ceiling, Before: l.episode.before, Refusals: l.row})
			l.version++
			return
		}
	}
}

// episode is a row of refusals and the way out of it.
type episode struct {
	since       time.Time // of the first refusal
	before      int
	peak        int            // the largest one of late: if it turns out that a longer window refused, that is what the window can do
	least       int            // charges at the emptiest refusal
	resume      int            // the ceiling that the evidence shows; 0 = it shows none
	accepted    [LongCount]int // in the longer windows, before it
	lost        [LongCount]int // and what was refused there, or is out
	drain       int            // charges that the window may hold before a canary leaves
	out         int            // canaries without a verdict
	refused, ok int
	half        bool      // half open: a canary has passed
	first       time.Time // when the first of those that passed left
	closed      bool      // the window was nearly empty and it was refused all the same: something longer is exhausted
	early       bool      // and before the end of that, it was over; so it was in the episode before
	level       int       // of the longer window that is suspected
	session     int       // accepted in the half-open session before
}

// peakTime is how long after a refusal its episodes belong together.
const peakTime = 10 * time.Minute

// begin notes the first refusal of a row.
func (e *episode) begin(l *Law, now time.Time, t Tag) {
	before := l.ceiling
	if now.Sub(l.lastRefusal) < 2*l.span && !l.lastRefusal.IsZero() {
		before = max(before, e.before)
	}
	peak, early := before, false
	if now.Sub(l.lastRefusal) < peakTime && !l.lastRefusal.IsZero() {
		peak, early = max(peak, e.peak), e.early
	}
	*e = episode{since: now, before: before, peak: peak, early: early, least: t.load.Window}
	for i := range l.long {
		e.accepted[i] = l.long[i].passed
		e.lost[i] = l.long[i].hits - l.long[i].passed
	}
}

// waiting reports whether only a verdict can let anything else leave.
func (e *episode) waiting() bool {
	if e.half {
		return e.out >= inFlightMost
	}
	return e.out > 0
}

// retreat begins: two refusals in a row.
func (l *Law) retreat(now time.Time, t Tag, asked bool) {
	e := &l.episode
	e.resume = 0
	e.least = min(e.least, t.load.Window)
	took := l.short.took()
	spent := 5*took >= 4*l.ceiling // a limiter that counts from its first hit has nothing left until its window ends
	switch {
	case spent:
		e.resume = l.bounded(min(l.ceiling-1, took))
		e.before = max(e.resume, (e.resume+l.ceiling)/2)
	case l.burst.strict:
		e.resume, e.before = l.ceiling, l.ceiling
	case l.phase == verify:
		e.resume = l.bounded(min(l.ceiling, max(took, l.fallback)))
		e.before = (e.resume + l.ceiling) / 2
	}
	l.become(refusedInARow)
	// A ceiling that has just been raised was raised too far; one that has held for long has really moved.
	e.drain = t.load.Window / 2
	if e.resume > 0 || now.Sub(l.raisedAt) < 2*l.span {
		e.drain = t.load.Window * 17 / 20
	}
	e.out = 0
	l.pause(now.Add(l.jitter(l.Interval())))
	if spent {
		e.drain = max(e.drain, e.resume-1)
		if !l.short.fresh() {
			l.pause(l.short.start.Add(l.span))
		}
	}
	switch empty := t.load.Window <= max(1, e.before/4); {
	case asked:
		e.drain = max(e.drain, t.load.Window+1) // the upstream itself says when
	case empty && e.resume == 0:
		e.suspect(l, now) // so it is not this window
	}
	l.phase, l.cold = steady, false
	l.move(now, l.bounded(max(e.before/4, min(l.ceiling, t.load.Window))))
}

// suspect begins to wait for the end of a longer window.
func (e *episode) suspect(l *Law, now time.Time) {
	e.closed = true
	e.drain = max(e.before/10, 0)
	l.pause(e.nextProbe(l, now))
}

// sent notes a canary.
func (e *episode) sent(l *Law, now time.Time) {
	e.out++
	if e.half {
		l.pause(now.Add(l.Interval() * 11 / 10))
	}
}

// passed notes a canary that was accepted.
func (e *episode) passed(l *Law, now time.Time, t Tag) {
	e.out = max(0, e.out-1)
	e.ok++
	l.row = 0
	if e.ok == 1 {
		e.half, e.first = true, t.at
	}
	need := 1
	if e.closed || t.load.Window-e.ok < e.before/4 {
		need = halfOpenNeed // with the window nearly empty these may be the attempts that leak through an exhausted longer one
	}
	if e.ok >= need {
		l.reopen(now, t)
	}
}

// reopen ends a retreat.
func (l *Law) reopen(now time.Time, t Tag) {
	e := &l.episode
	h := &l.long[e.level]
	early := e.closed && e.first.Before(h.endOf(e))
	if early && e.early && e.least > halfOpenNeed {
		e.closed = false // no longer window ends so soon and so often: it is this one after all, and much smaller than it was
	}
	e.early = early
	if e.closed {
		if !e.first.Before(h.endOf(e)) && e.refused >= 2 {
			h.learn(e.accepted[e.level], e.lost[e.level])
			l.version++
		}
		e.before = e.peak
		l.move(now, l.bounded(e.peak)) // the window was innocent
		l.become(canariesPassed)
		return
	}
	x := max(t.load.Window+1, l.recent.count(t.at, l.span, t.at))
	l.move(now, l.bounded(min(e.before, max((x+e.least+1)/2, e.resume))))
	l.become(canariesPassed)
	l.beginClimb(now, l.ceiling, x)
}

// failed notes a canary that was refused.
func (e *episode) failed(l *Law, now time.Time, t Tag, asked bool) {
	e.out = 0
	e.refused++
	e.least = min(e.least, t.load.Window)
	if e.half {
		if e.settled(l, now, t) {
			return
		}
		e.half, e.ok = false, 0
	}
	switch {
	case asked: // as it says, but slower each time
		e.drain = max(e.drain, t.load.Window+1)
		l.pause(now.Add(min(l.span, time.Second<<min(e.refused, 6))))
	case e.closed || t.load.Window <= max(1, e.before/4):
		e.suspect(l, now)
	default:
		e.drain = e.before / 4
		l.pause(now.Add(l.jitter(l.Interval())))
	}
}

// settled reports whether a half-open session that ended in a refusal shows a new, smaller ceiling: two such sessions with the same
// result, larger than what leaks through an exhausted limit.
func (e *episode) settled(l *Law, now time.Time, t Tag) bool {
	took := e.ok
	last := e.session
	e.session = took
	if !(took >= 5 && took-last <= 1 && last-took <= 1) && !(took > 0 && e.level == Day) {
		return false
	}
	l.move(now, l.bounded(min(took, e.before)))
	l.become(canariesPassed)
	l.become(ceilingConfirmed)
	l.pause(now.Add(l.jitter(l.Interval())))
	return true
}

// firstProbe is how long a window that was nearly empty rests at least after it was refused.
const firstProbe = 15 * time.Second

// nextProbe returns when to look again: at four times the age of the episode, at the end of the window that is suspected, or in an hour.
func (e *episode) nextProbe(l *Law, now time.Time) time.Time {
	end := l.long[e.level].endOf(e)
	if now.Sub(end) >= l.span && e.level+1 < LongCount { // a window that slides may end a little later
		e.level++
		end = l.long[e.level].endOf(e)
	}
	age := now.Sub(e.since)
	at := e.since.Add(4 * age)
	if soonest := now.Add(min(l.span, max(age, firstProbe))); at.Before(soonest) {
		at = soonest
	}
	if latest := now.Add(longestProbe); at.After(latest) {
		at = latest
	}
	switch {
	case end.After(now) && end.Before(at):
		at = end
	case !end.After(now) && now.Sub(end) < l.span:
		at = now.Add(l.span)
	}
	return at
}
