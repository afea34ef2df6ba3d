package quota

import (
	"time"

	"nimsidecar/internal/hint"
)

// heed lets what an answer says of limits count as evidence: the size of a window that the law knows becomes its ceiling; what somebody
// else has used of it is charged as if we had; and a limit with nothing left pauses the scope until it is whole again.
func (h *Hold) heed(now time.Time, o hint.Outcome) {
	for _, s := range o.Signs {
		if s.Unit != hint.Requests || s.Period == 0 {
			continue // tokens have no window yet; a limit of an unknown period is not taken for a minute
		}
		l := h.ledgers.model()
		if s.Reach == hint.ReachAccount {
			l = h.ledgers.account()
		}
		if l.law == nil {
			continue
		}
		limit, limited := s.Limit.Get()
		if limited {
			l.law.Adopt(now, s.Period, limit)
		}
		left, told := s.Remaining.Get()
		if !told {
			continue
		}
		if limited {
			l.foreign(now, s.Period, limit-left)
		}
		if reset, ok := s.Reset.Get(); ok && left == 0 {
			l.law.Pause(now, now.Add(reset))
		} else if left == 0 && s.Period >= time.Hour && !o.Asked {
			l.law.Pause(now, now.Add(parked))
		}
	}
}

// parked is how long a scope rests whose hour or day is spent and whose upstream does not say until when.
const parked = time.Hour

// foreign makes the window of a period hold at least so many charges: the upstream has counted them, whoever sent them.
func (l *ledger) foreign(now time.Time, period time.Duration, used int) {
	for i := range l.windows {
		w := &l.windows[i]
		if w.rate.Period != period {
			continue
		}
		if more := min(used, w.cap(l.law, false)) - w.log.Used(now); more > 0 {
			w.log.Restore(now, now, more)
		}
	}
}
