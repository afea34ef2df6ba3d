package quota

import (
	"slices"
	"time"

	"nimsidecar/internal/adapt"
	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/pace"
)

// Apply makes other terms what all scopes must keep to, from the next Reserve on. Charges stay where they are: a window that becomes
// smaller takes nothing until enough of them have left. What was learned survives, within the new terms; while a scope's terms are Fixed
// it is laid aside, and taken up again afterwards.
//
// An attempt that is under way while what is learned of its scope changes hands still counts as a charge, but teaches nothing. A window
// of a period that was not kept before knows only the charges that a longer or the longest other window remembers.
func (b *Book) Apply(now time.Time, terms func(limit.Scope) Terms) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.terms = terms
	for scope, l := range b.ledgers {
		if t := terms(scope); !t.equal(l.terms) {
			b.seed++
			l.apply(now, t, b.seed)
			if l.workers == nil {
				l.workers = b.workersOf(l)
				b.add(l)
			}
		}
	}
}

// equal reports whether two terms demand the same.
func (t Terms) equal(other Terms) bool {
	return slices.Equal(t.Rates, other.Rates) && t.Trust == other.Trust && t.Burst == other.Burst && t.BurstShare == other.BurstShare &&
		t.PerModel == other.PerModel && t.Paused == other.Paused
}

// apply gives a ledger other terms.
func (l *ledger) apply(now time.Time, t Terms, seed uint64) {
	was := l.terms
	l.terms = t
	if t.Paused != was.Paused {
		if was.Paused = t.Paused; t.equal(was) {
			return // nothing else has changed
		}
	}
	fresh := newLedger(l.scope, t, seed)
	l.handOver(now, fresh.law, was)
	for i := range fresh.windows {
		l.takeOver(now, &fresh.windows[i])
	}
	l.windows = fresh.windows
}

// takeOver gives a new window the charges of the old ones: those of the shortest that is at least as long, else of the longest; where there was
// none, the open ones. Its token bucket is as empty as that one's.
func (l *ledger) takeOver(now time.Time, w *window) {
	old := l.windows
	if len(old) == 0 {
		for range l.open {
			w.log.Reserve(now)
		}
		return
	}
	from := &old[0]
	for i := range old {
		o := &old[i]
		short, shorter := from.rate.Period < w.rate.Period, o.rate.Period < from.rate.Period
		if short && !shorter || !short && shorter && o.rate.Period >= w.rate.Period {
			from = o
		}
	}
	w.log = from.log.Over(now, w.rate.Period, pace.Margin(w.rate.Period), w.grain())
	switch {
	case w.role == primary:
		w.bucket = from.bucket.Over(now, l.law.Interval(), l.law.Burst())
	case w.burst > 0:
		w.bucket = from.bucket.Over(now, pace.Interval(w.rate.N, w.rate.Period, pace.Margin(w.rate.Period)), w.burst)
	}
}

// handOver gives what was learned to another law, or lays it aside where there is none.
func (l *ledger) handOver(now time.Time, law *adapt.Law, was Terms) {
	if l.law == nil && law == nil {
		return
	}
	paused := l.brake.until
	if l.law != nil {
		if at, shut := l.law.Ready(now); !shut {
			paused = at
		}
		l.aside = &laid{l.law.Remember(), was}
	}
	l.brake = brake{epoch: l.brake.epoch + 1}
	switch l.law = law; {
	case law == nil:
		l.brake.pause(paused)
	case l.aside != nil:
		law.Restore(now, l.aside.within(l.terms))
		l.aside = nil
		fallthrough
	default:
		if paused.After(now) {
			law.Pause(now, paused)
		}
		l.remembered = 0
	}
}

// overtaken reports whether another law than that of the attempt is now in force, so that its verdict says nothing to it.
func (h *Hold) overtaken() bool {
	for i, l := range h.ledgers {
		if l.law != h.laws[i] {
			return true
		}
	}
	return false
}

// late takes note of the verdict on an attempt that was overtaken: it teaches nothing, but a pause that was asked for is kept.
func (h *Hold) late(now time.Time, o hint.Outcome) {
	h.void(now)
	if !o.Refused() {
		return
	}
	for _, l := range h.ledgers {
		l.refusals++
		l.lastRefusal = now
	}
	switch model := h.ledgers.model(); {
	case o.RetryAfter <= 0:
	case model.law != nil:
		model.law.Pause(now, now.Add(o.RetryAfter))
	default:
		model.brake.pause(now.Add(o.RetryAfter))
	}
}

// laid is what was learned under earlier terms.
type laid struct {
	memory adapt.Memory
	terms  Terms
}

// within returns what of it still says something under other terms. A ceiling that somebody only said, or that ended where the terms
// did, gives way to what is said now; and so does a burst that was given.
func (a *laid) within(t Terms) adapt.Memory {
	m := a.memory
	if i := a.terms.learned(); m.Cold || i >= 0 && m.Ceiling >= a.terms.most(a.terms.Rates[i].N) {
		m.Ceiling = 0
	}
	if i, j := a.terms.learned(), t.learned(); i >= 0 && j >= 0 && a.terms.Rates[i].Period != t.Rates[j].Period {
		m.Ceiling, m.Retreat, m.State = 0, nil, adapt.Normal // it counted another window
	}
	for i := range m.Long {
		if n := longTold(a.terms, i); n > 0 && m.Long[i].Ceiling >= n {
			m.Long[i].Ceiling = 0
		}
	}
	if a.terms.Burst > 0 {
		m.Burst = 0
	}
	return m
}

// longTold returns what terms say of a longer window; 0 = nothing.
func longTold(t Terms, i int) int {
	for _, r := range t.Rates {
		if longIndex(r.Period) == i {
			return r.N
		}
	}
	return 0
}
