package quota

import (
	"time"

	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/pace"
)

// window is one rate of a ledger.
type window struct {
	rate    limit.Rate
	log     *pace.Window
	spacing *pace.Spacing
}

// next returns the earliest time at which one more may be reserved; ok is false when only an event will tell.
func (w *window) next(now time.Time) (at time.Time, ok bool) {
	at, ok = w.log.Next(now)
	return later(at, w.spacing.Next(now)), ok
}

// fill returns how full the window is, 1 being all of it.
func (w *window) fill(now time.Time) float64 { return float64(w.log.Used(now)) / float64(w.rate.N) }

// ledger is the windows of one scope and what its upstream said. It is guarded by the book's lock.
type ledger struct {
	scope   limit.Scope
	rates   limit.Rates
	windows []window

	pausedUntil time.Time
	lastRefusal time.Time
	epoch       uint64 // how many refusals were news; one of an attempt that was reserved in an earlier epoch is not
	row         int    // how many of them came in a row, with no success in between

	charged, refunded, refusals uint64
	recent                      recent
}

func newLedger(scope limit.Scope, terms Terms) *ledger {
	return &ledger{scope: scope, rates: terms.Rates, windows: terms.windows()}
}

func (l *ledger) reserve(now time.Time) {
	l.charged++
	for i := range l.windows {
		l.windows[i].log.Reserve(now)
		l.windows[i].spacing.Reserve(now)
	}
}

func (l *ledger) sent(now time.Time) {
	for i := range l.windows {
		l.windows[i].log.Sent(now)
	}
}

func (l *ledger) refund(reserved, now time.Time) {
	l.refunded++
	for i := range l.windows {
		l.windows[i].log.Refund()
		l.windows[i].spacing.Refund(reserved, now)
	}
}

// idle reports whether nothing would be lost with the ledger: no charge, no pause.
func (l *ledger) idle(now time.Time) bool {
	for i := range l.windows {
		if l.windows[i].log.Used(now) > 0 {
			return false
		}
	}
	return !l.pausedUntil.After(now)
}

// pair is the ledgers of a lane: the model's and the account's, in this order.
type pair [2]*ledger

func (p pair) model() *ledger { return p[0] }

// each calls f with every window that must hold.
func (p pair) each(f func(*window)) {
	for _, l := range p {
		for i := range l.windows {
			f(&l.windows[i])
		}
	}
}

// next returns whether one more may be reserved now, and if not, when. A pause goes before the windows: what they will say is
// asked when it is over.
func (p pair) next(now time.Time) (r Readiness, ready bool) {
	if until := p.model().pausedUntil; until.After(now) {
		return Readiness{At: until, Paused: true}, false
	}
	at, known := now, true
	p.each(func(w *window) {
		next, ok := w.next(now)
		at, known = later(at, next), known && ok
	})
	if !known {
		return Readiness{}, false
	}
	return Readiness{At: at}, !at.After(now)
}

// standing returns the window with the fewest slots left.
func (p pair) standing(now time.Time) Standing {
	var s Standing
	p.each(func(w *window) {
		remaining := max(0, w.rate.N-w.log.Used(now))
		if s.Limit == 0 || remaining < s.Remaining {
			s = Standing{Limit: w.rate.N, Remaining: remaining, Reset: w.log.Resets(now).Sub(now)}
		}
	})
	return s
}

// longFill is how full a window of more than a minute must be before a refusal is put down to it.
const longFill = 0.9

// suspect returns the window that most likely refused: the fullest, of equally full ones the shortest. It is nil when no window
// explains a refusal.
func (p pair) suspect(now time.Time) *window {
	var suspect *window
	var most float64
	p.each(func(w *window) {
		fill := w.fill(now)
		if fill == 0 || w.rate.Period > time.Minute && fill < longFill {
			return
		}
		if suspect == nil || fill > most || fill == most && w.rate.Period < suspect.rate.Period {
			suspect, most = w, fill
		}
	})
	return suspect
}

// refused takes note that the upstream refused an attempt that was reserved in the given epoch, and pauses the model.
func (p pair) refused(now time.Time, epoch uint64, o hint.Outcome) {
	l := p.model()
	l.refusals++
	l.lastRefusal = now
	news := epoch == l.epoch
	if news {
		l.epoch++
		l.row++
	}
	switch {
	case o.RetryAfter > 0, o.Asked && p.paced():
		l.pause(now.Add(o.RetryAfter))
	case news:
		l.pause(p.reopens(now))
	}
}

// paced reports whether any window keeps the attempts apart.
func (p pair) paced() bool { return len(p[0].windows)+len(p[1].windows) > 0 }

// reopens returns until when to pause after a refusal that does not say.
func (p pair) reopens(now time.Time) time.Time {
	if w := p.suspect(now); w != nil {
		return w.log.End(now)
	}
	return now.Add(backoff(p.model().row))
}

// maxBackoff bounds the pause where no limit is known: the usual window is a minute.
const maxBackoff = time.Minute

// backoff returns the pause after so many refusals in a row: 1, 2, 4 … 60 s.
func backoff(row int) time.Duration {
	return min(time.Second<<min(row-1, 6), maxBackoff)
}

// pause prolongs the pause; it never shortens one.
func (l *ledger) pause(until time.Time) { l.pausedUntil = later(l.pausedUntil, until) }

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
