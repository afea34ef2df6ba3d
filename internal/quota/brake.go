package quota

import (
	"time"

	"nimsidecar/internal/hint"
)

// brake is what a ledger does about refusals where nothing is to be learned: it pauses.
type brake struct {
	until time.Time
	epoch uint64 // how many refusals were news; one of an attempt that was reserved in an earlier epoch is not
	row   int    // how many of them came in a row, with no success in between
}

// pause prolongs the pause; it never shortens one.
func (b *brake) pause(until time.Time) { b.until = later(b.until, until) }

// brakeFor takes note that the upstream refused an attempt that was reserved in the given epoch, and pauses the model.
func (p pair) brakeFor(now time.Time, epoch uint64, o hint.Outcome) {
	b := &p.model().brake
	news := epoch == b.epoch
	if news {
		b.epoch++
		b.row++
	}
	switch {
	case o.RetryAfter > 0, o.Asked && p.paced():
		b.pause(now.Add(o.RetryAfter))
	case news:
		b.pause(p.reopens(now))
	}
}

// reopens returns until when to pause after a refusal that does not say.
func (p pair) reopens(now time.Time) time.Time {
	if w := p.suspect(now); w != nil {
		return w.log.End(now)
	}
	return now.Add(backoff(p.model().brake.row))
}

// longFill is how full a window of more than a minute must be before a refusal is put down to it.
const longFill = 0.9

// suspect returns the window that most likely refused: the fullest, of equally full ones the shortest. It is nil when no window
// explains a refusal.
func (p pair) suspect(now time.Time) *window {
	var suspect *window
	var most float64
	p.each(func(_ *ledger, w *window) {
		if w.rate.N == 0 {
			return
		}
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

// maxBackoff bounds the pause where no limit is known: the usual window is a minute.
const maxBackoff = time.Minute

// backoff returns the pause after so many refusals in a row: 1, 2, 4 … 60 s.
func backoff(row int) time.Duration {
	return min(time.Second<<min(row-1, 6), maxBackoff)
}
