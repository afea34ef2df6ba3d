package gate

import (
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/priority"
	"nimsidecar/internal/quota"
)

// Ledgers is a Budget that can tell what its windows hold; *quota.Book is one. Of another the gate knows only the pace at which waiters
// leave.
type Ledgers interface {
	// Snapshot returns the ledgers that there are.
	Snapshot(now time.Time) []quota.LedgerView
}

// slots foresees when lanes have slots. It is a sched.Slots.
type slots struct {
	lanes   map[limit.Scope]*laneAhead
	ledgers map[limit.Scope]*ledgerAhead
}

// laneAhead is a lane as it is foreseen.
type laneAhead struct {
	from    [2]time.Time // when it has its first slot, for those who are not urgent and those who are
	ledgers [2]*ledgerAhead
	known   bool // that is, how fast it goes
}

// ledgerAhead is a ledger as it is foreseen: its slots come at an even distance, but while a clump of charges is in its window, those
// that are left are spread until the clump has left it.
type ledgerAhead struct {
	every time.Duration // 0 = no window, or none that is known
	next  time.Time
	last  time.Time

	left   int       // while a clump is in the window
	reopen time.Time // when it will have left
	resets time.Time // and certainly has

	long time.Duration // the same for windows of more than a minute
	free int           // that need not be spread over a long window
}

// unknownPace is what is foreseen of a lane of which nothing is known, so that its places can be told.
const unknownPace = time.Second

// newSlots foresees the lanes from what the ledgers say, and from what was seen of the lanes.
func newSlots(now time.Time, views []quota.LedgerView, seen map[limit.Scope]lane) *slots {
	s := &slots{lanes: make(map[limit.Scope]*laneAhead, len(seen)), ledgers: map[limit.Scope]*ledgerAhead{}}
	told := map[limit.Scope]*quota.LedgerView{}
	for i := range views {
		told[views[i].Scope] = &views[i]
	}
	granted := map[limit.Scope]time.Time{}
	for scope, l := range seen {
		granted[scope.AccountScope()] = later(granted[scope.AccountScope()], l.granted)
	}
	for scope, l := range seen {
		ahead := &laneAhead{from: [2]time.Time{l.asked[0].ready, l.asked[1].ready}}
		s.lanes[scope] = ahead
		for i, of := range [...]limit.Scope{scope, scope.AccountScope()} {
			if s.ledgers[of] == nil {
				s.ledgers[of] = newLedgerAhead(now, told[of])
			}
			ahead.ledgers[i] = s.ledgers[of]
			if v := told[of]; v != nil && v.PausedUntil.After(now) {
				for j := range ahead.from {
					ahead.from[j] = later(ahead.from[j], v.PausedUntil)
				}
			}
		}
		ahead.measure(now, &l, granted[scope.AccountScope()])
	}
	return s
}

// newLedgerAhead foresees a ledger of which v is known; nil is nothing.
func newLedgerAhead(now time.Time, v *quota.LedgerView) *ledgerAhead {
	l := &ledgerAhead{}
	if v == nil {
		return l
	}
	for _, w := range v.Windows {
		if w.Rate.N <= 0 {
			continue
		}
		every := (w.Rate.Period + margin(w.Rate.Period)) / time.Duration(w.Rate.N)
		switch left := max(0, w.Rate.N-w.Used); {
		case w.Rate.Period > time.Minute:
			if every > l.long {
				l.long, l.free = every, left-w.Rate.N/2
			}
		case every > l.every:
			l.every, l.left, l.resets = every, left, w.Resets
		}
	}
	return l
}

// margin is what a window is longer in the ledgers than at the upstream; see package pace.
func margin(period time.Duration) time.Duration {
	return min(max(period/120, 100*time.Millisecond), 2*time.Second)
}

// measure adds what was seen of the lane to what its ledgers say; last is the last grant of its account.
func (a *laneAhead) measure(now time.Time, l *lane, last time.Time) {
	slow := a.ledgers[0]
	if a.ledgers[1].every > slow.every {
		slow = a.ledgers[1]
	} else {
		last = l.granted
	}
	asked := l.asked[0]
	byEvent := !asked.at.IsZero() && asked.ready.IsZero() && now.Sub(asked.at) > 2*slow.every+time.Second // not just until one is sent
	if measured := l.outflow.time(now, 1); measured > slow.every && (byEvent || slow.every == 0) {
		slow = a.ledgers[0]
		slow.every = measured
	}
	a.known = slow.every > 0 || a.ledgers[0].long > 0 || a.ledgers[1].long > 0
	if !a.known {
		slow.every = unknownPace
	}
	if gap := l.gap(last); slow.left > 0 && gap > slow.every {
		if reopen := a.from[0].Add(time.Duration(slow.left) * gap); reopen.Before(slow.resets) {
			slow.reopen = later(slow.reopen, reopen)
		}
	}
}

// Next returns when the lane has a slot.
func (s *slots) Next(now time.Time, scope limit.Scope, c priority.Class) time.Time {
	a := s.lanes[scope]
	if a == nil { // of somebody who is expected to come
		return now
	}
	at := later(now, a.from[urgentIndex(c)])
	for _, l := range a.ledgers {
		at = later(at, l.ready(at, c))
	}
	return at
}

// Take uses a slot.
func (s *slots) Take(now time.Time, scope limit.Scope) {
	if a := s.lanes[scope]; a != nil {
		for _, l := range a.ledgers {
			l.take(now)
		}
	}
}

// ready returns when the ledger has a slot for the class.
func (l *ledgerAhead) ready(now time.Time, c priority.Class) time.Time {
	at := l.next
	if c == priority.Urgent && l.left > 0 && now.Before(l.reopen) {
		at = l.last.Add(l.every) // it need not keep the distance by which the rest is spread
	}
	if l.long > 0 && l.free <= 0 {
		at = later(at, l.last.Add(l.long))
	}
	return at
}

// take uses a slot.
func (l *ledgerAhead) take(now time.Time) {
	gap := l.every
	if l.left > 0 && now.Before(l.reopen) {
		gap = max(gap, l.reopen.Sub(now)/time.Duration(l.left))
		l.left--
	}
	l.free--
	l.last, l.next = now, now.Add(gap)
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
