package adapt

import "time"

// probe begins to look beyond the ceiling, if that is due.
func (l *Law) probe(now time.Time, alone bool) {
	if !alone || l.told(now) || l.paused.After(now) || l.bounded(l.ceiling+1) <= l.ceiling {
		return
	}
	if l.cold && l.held.since(now, l.patience()) > 0 {
		l.beginClimb(now, l.ceiling, l.ceiling)
		return
	}
	if l.held.since(now, l.patience()) < l.terms.Period/2 {
		return
	}
	if now.Sub(l.changedAt) < l.span || l.state == Normal && l.credit < 1 && !l.free.take(now, l.ceiling, l.terms.Period) {
		return
	}
	l.phase, l.phaseSince = plus, now
	l.plusIndex, l.proved, l.fallback, l.trial = 0, 0, l.ceiling, trial{}
	l.burst.ease(l.burst.strain / 2) // who doubts the one doubts the other, and a window that is not filled proves nothing
}

// target is what a careful probe tests.
func (l *Law) target() int { return l.bounded(l.ceiling + l.stride()<<l.plusIndex) }

// single is the probes that go one attempt further, where that is a small part of the ceiling and all larger steps were refused. That nothing
// is refused in their windows is a weak proof, so the first refusal afterwards takes the raise back, and it is not tried again.
type single struct {
	raised  int // the ceiling that came of it; 0 = none
	refuted int // the ceiling that did not hold; 0 = none
}

func (s *single) due(l *Law) bool {
	return l.finer == finerMost && l.ceiling > many && l.ceiling+1 != s.refuted
}

// failed takes a raise back that a refusal has refuted, and reports whether it did.
func (s *single) failed(l *Law, now time.Time) bool {
	if l.ceiling != s.raised {
		return false
	}
	s.raised, s.refuted = 0, l.ceiling
	l.move(now, l.ceiling-1)
	return true
}

// stride returns how far the next probe goes beyond the ceiling: half as far after one that was refused, so that a limit between two steps
// is met as well, but not so little that the margin of the window hides it, until nothing else is left to try.
func (l *Law) stride() int {
	if l.single.due(l) {
		return 1
	}
	return max(delta(l.ceiling)>>l.finer, int(finest*float64(l.ceiling)+0.5), 1)
}

// plusOver ends a careful window in which nothing was refused.
func (l *Law) plusOver(now time.Time) {
	if l.proved <= l.ceiling { // too little traffic to prove anything
		l.phase = steady
		l.probes.Idle++
		return
	}
	alone := l.single.due(l)
	l.move(now, min(l.target(), l.proved))
	l.finer = 0
	if alone {
		l.single.raised = l.ceiling
		l.phase = steady
		l.probes.Raised++
		return
	}
	l.probes.Raised++
	l.plusIndex++
	l.phaseSince, l.proved = now, 0
	switch {
	case l.bounded(l.ceiling+1) <= l.ceiling:
		l.phase = steady
	case l.plusIndex == plusWindows:
		l.beginClimb(now, l.ceiling, l.fallback)
	}
}

func (l *Law) beginClimb(now time.Time, from, fallback int) {
	l.finer = 0
	l.phase, l.phaseSince = climb, now
	l.climbing, l.fallback = float64(from), fallback
}

// climbOver ends a climb that nobody needs any more, or that has reached where it must end.
func (l *Law) climbOver(now time.Time) {
	reached := l.bounded(int(l.climbing))
	switch most := l.climbMost(); {
	case l.climbing >= float64(most):
		l.phase, l.cold = steady, false
		l.move(now, l.bounded(most))
		l.become(ceilingRestored)
	case now.Sub(l.wanted.last) > l.span/2 && now.Sub(l.phaseSince) > l.span/2:
		l.phase = steady
		l.move(now, max(l.fallback, min(reached, l.recent.count(now, l.span, now))))
	}
}

// climbMost is where a climb ends by itself: what was confirmed before a retreat, or the promise.
func (l *Law) climbMost() int {
	most := Unknown
	if l.terms.Most > 0 {
		most = l.terms.Most
	}
	if l.state == Recover {
		most = min(most, l.episode.before)
	}
	return most
}

// move sets the ceiling.
func (l *Law) move(now time.Time, ceiling int) {
	if ceiling > l.ceiling {
		l.raisedAt = now
	}
	if ceiling != l.ceiling {
		l.ceiling, l.changedAt = ceiling, now
		l.version++
	}
}

// charge pays for a refusal. Those of the first minutes are the price of not knowing, and leave no debt.
func (l *Law) charge(now time.Time) {
	least := creditLeast
	if l.ceiling < few {
		least *= 2
	}
	if now.Sub(l.born) < youth*l.span {
		least = 0
	}
	l.credit = max(least, l.credit-1)
}

// climbRefused ends a climb at what was accepted.
func (l *Law) climbRefused(now time.Time, t Tag, good int) {
	if l.cold && l.burst.blamed(l, t) {
		l.burst.halve(l, now) // it says more about the burst than about the window
		return
	}
	l.move(now, l.bounded(max(l.fallback, min(int(l.climbing), good))))
	l.beginVerify(now)
	if l.state == Recover {
		l.become(ceilingConfirmed)
	}
}

// coldRefused is the first refusal ever, of an attempt that kept its distance: what was accepted is all that is known. Where that is much
// less than was said, a token bucket may have refused before a whole window had passed, so what there is above it is looked for at once.
func (l *Law) coldRefused(now time.Time, t Tag, good int) {
	l.cold = false
	told := l.ceiling
	l.free = free{best: float64(told)}
	good = l.bounded(min(max(told, int(l.climbing)), good))
	l.move(now, good)
	l.fallback = smallest
	if 10*t.load.Window < 7*told {
		l.beginClimb(now, good, smallest)
		return
	}
	l.beginVerify(now)
}

// beginVerify watches what was found: a refusal in the window after it shows that it was a limiter's window that ended meanwhile, or the
// burst of a bucket.
func (l *Law) beginVerify(now time.Time) {
	l.phase, l.phaseSince, l.changedAt = verify, now, now
	l.fallback = min(l.fallback, l.ceiling)
}

// cut lowers the ceiling after a refusal below it: by one step for the first event of a window, by twice as much for each further one,
// and to what was accepted, if that is less.
func (l *Law) cut(now time.Time, good int) {
	d := min(delta(l.ceiling)<<min(len(l.events)-1, 16), max(1, l.ceiling/2))
	to := l.ceiling - d
	if good >= l.ceiling/2 {
		to = min(to, good)
	}
	if l.phase == verify {
		to = min(to, max((l.fallback+l.ceiling)/2, min(l.short.took(), l.ceiling)))
	}
	l.cold = false
	l.move(now, l.bounded(to))
}

// event notes a refusal event, and forgets those of earlier windows.
func (l *Law) event(now time.Time) {
	kept := l.events[:0]
	for _, at := range l.events {
		if now.Sub(at) < l.span {
			kept = append(kept, at)
		}
	}
	if len(kept) == cap(kept) && len(kept) >= 32 {
		kept = kept[1:]
	}
	l.events = append(kept, now)
}

// free is the probes that cost no credit: far below what was once confirmed, a low ceiling must not last as long as it takes to earn one.
// The first is due at once, the next after five windows, then after twice as many each, up to sixty; of a window that is longer than a minute
// as if it were one.
type free struct {
	best float64 // the largest ceiling that was used to the full
	next time.Time
	wait time.Duration
}

// The waits between free probes, in windows.
const (
	firstFree = 5
	lastFree  = 60
)

// far reports whether a ceiling is far below the best.
func (f *free) far(ceiling int) bool { return 20*float64(ceiling) < 17*f.best }

// take reports whether a probe is free now, and notes that it was.
func (f *free) take(now time.Time, ceiling int, period time.Duration) bool {
	if !f.far(ceiling) || now.Before(f.next) {
		return false
	}
	period = min(period, time.Minute)
	f.wait = min(max(2*f.wait, firstFree*period), lastFree*period)
	f.next = now.Add(f.wait)
	f.best = max(float64(ceiling), 0.9*f.best) // what is not found again is forgotten
	return true
}
