package adapt

import "time"

// longMargin is added to the end of a longer window, for the delivery of requests.
const longMargin = 2 * time.Second

// raisesMost bounds the growth of the steps in which a longer window is probed: 32 % of the ceiling.
const raisesMost = 4

// horizon is a window longer than the law's own: an hour or a day. Its ceiling is Unknown until it was told or met.
type horizon struct {
	period  time.Duration
	ceiling int
	most    int

	start    time.Time // first attempt after the last such window ended, as a limiter like NVIDIA's counts
	hits     int
	passed   int
	previous int // what was accepted in the window before
	refused  bool

	tentative bool // it was met once: the next time some go beyond it, to tell an exhausted window from an outage
	prior     int  // what was known before that; Unknown
	lost      int  // what was refused in that window, and counted by upstreams such as NVIDIA

	held     held
	plusEnd  time.Time // while it is probed: when that is over
	trial    trial
	overSent bool
	probedAt time.Time
	raises   int // probes in a row that passed
}

// step is how far a probe goes beyond the ceiling: half a percent, and four times as far for each that passed after the first.
func (h *horizon) step() int { return max(1, h.ceiling<<(2*max(0, h.raises-1))/200) }

// cap returns how many charges the window may hold.
func (h *horizon) cap(probe bool) int {
	if h.ceiling == Unknown {
		return Unknown
	}
	n := h.ceiling
	switch {
	case h.tentative:
		n += h.beyond() + inFlightMost + h.ceiling/200 // a window of the upstream's is shorter than one of our log
	case !h.plusEnd.IsZero():
		if h.trial.stage == passedTrial {
			n += h.step()
		} else if h.trial.stage == due && probe {
			n++
		}
	}
	if h.most > 0 {
		n = min(n, h.most)
	}
	return max(1, n)
}

// end returns when the window that is running is over.
func (h *horizon) end() time.Time {
	if h.start.IsZero() {
		return time.Time{}
	}
	return h.start.Add(h.period + longMargin)
}

// endOf returns when the window is over in which an episode began.
func (h *horizon) endOf(e *episode) time.Time {
	if end := h.end(); !h.start.After(e.since) {
		return end
	}
	return h.start // it has ended, and another one runs
}

// sent notes an attempt, and reports whether it opened a window.
func (h *horizon) sent(now time.Time, used int, seq uint64) (opened bool) {
	if opened = h.start.IsZero() || now.Sub(h.start) >= h.period; opened {
		h.start, h.hits, h.previous, h.passed = now, 0, h.passed, 0
	}
	h.hits++
	if h.ceiling != Unknown && used >= h.ceiling {
		h.overSent = true
		if !h.plusEnd.IsZero() {
			h.trial.send(seq)
		}
	}
	return opened
}

func (h *horizon) accepted(t Tag) {
	if !t.at.Before(h.start) {
		h.passed++
	}
	h.trial.ended(t.seq, true)
}

// served says that an attempt that left after a refusal was accepted: a limiter like NVIDIA's has opened another window.
func (h *horizon) served(t Tag) {
	if h.refused {
		h.refused = false
		h.start, h.hits, h.previous, h.passed = t.at, 1, h.passed, 1
	}
}

// took returns what was accepted in the window in which something was just refused. A refusal right after what seemed to be the end of a
// window shows that it had not ended.
func (h *horizon) took() int {
	if h.fresh() {
		return max(h.previous, h.passed)
	}
	return h.passed
}

// fresh reports whether the window has only just begun, as far as we know.
func (h *horizon) fresh() bool { return h.hits <= 2 }

// learn takes what was accepted in a window that was then exhausted for its ceiling.
func (h *horizon) learn(accepted, lost int) {
	n := max(1, accepted)
	switch {
	case h.tentative && n < h.ceiling+h.beyond() && 20*n >= 19*h.ceiling: // met twice
		h.ceiling, h.tentative = min(n, h.ceiling), false
	case n < h.ceiling:
		if !h.tentative {
			h.prior = h.ceiling
		}
		h.ceiling, h.tentative, h.lost = n, true, lost
	}
	h.raises = 0
}

// advance begins and ends the probing of a ceiling.
func (h *horizon) advance(l *Law, now time.Time) {
	if h.ceiling == Unknown || h.tentative || l.state == Retreat {
		return
	}
	switch {
	case !h.plusEnd.IsZero() && !now.Before(h.plusEnd):
		if h.overSent {
			h.ceiling = h.cap(false)
			h.raises = min(h.raises+1, raisesMost)
			l.version++
		}
		h.plusEnd = time.Time{}
	case h.plusEnd.IsZero() && l.credit >= 1 && (h.most == 0 || h.ceiling < h.most) && now.Sub(h.probedAt) > h.period &&
		h.held.since(now, h.period/4) > h.period/2:
		h.plusEnd, h.probedAt, h.overSent = now.Add(h.period+longMargin), now, false
		h.trial = trial{}
	}
}

// confirmed ends a probe that was refused.
func (h *horizon) confirmed(now time.Time) {
	h.plusEnd, h.probedAt, h.tentative, h.raises = time.Time{}, now, false, 0
}

// beyond is how many must be accepted beyond a ceiling that was met once, in one of its windows, to disprove it: more than what leaks through
// an exhausted one, and than what was refused, and counted by the upstream, before.
func (h *horizon) beyond() int { return max(halfOpenNeed+h.ceiling/250, h.lost+1) }

// doubt drops a ceiling that was met once and is disproved.
func (h *horizon) doubt() {
	if h.tentative && h.passed >= h.ceiling+h.beyond() {
		h.ceiling, h.tentative = h.prior, false
	}
}

// blame returns the longer window whose probing a refusal answers, if one is: not where the window itself was being probed, and while a longer
// one is in doubt only where the window itself was far from full.
func (l *Law) blame(t Tag) (i int, probed bool) {
	if l.state == Retreat || l.trial.stage == out && l.trial.seq == t.seq {
		return 0, false // it answers a canary, or the window's own trial
	}
	for i := range l.long {
		h := &l.long[i]
		doubted := h.tentative && l.phase == steady && 10*t.load.Window < 7*l.ceiling
		if h.ceiling != Unknown && (doubted || !h.plusEnd.IsZero()) && t.load.Long[i] >= h.ceiling {
			return i, true
		}
	}
	return 0, false
}
