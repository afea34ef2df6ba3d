package adapt

import "time"

// trial is the one attempt that goes beyond a ceiling at the beginning of a careful probe. Nothing follows it before its verdict is
// known.
type trial struct {
	stage stage
	seq   uint64
}

// stage is how far a trial has come.
type stage uint8

const (
	due stage = iota
	out
	passedTrial
)

// send makes the attempt the trial, if that is due.
func (t *trial) send(seq uint64) {
	if t.stage == due {
		*t = trial{out, seq}
	}
}

// ended says that the attempt has a verdict, and reports whether it was the trial.
func (t *trial) ended(seq uint64, ok bool) bool {
	if t.stage != out || t.seq != seq {
		return false
	}
	t.stage = due
	if ok {
		t.stage = passedTrial
	}
	return true
}

// held is since when work has been waiting for one reason.
type held struct{ first, last time.Time }

func (h *held) mark(now time.Time, patience time.Duration) {
	if h.last.IsZero() || now.Sub(h.last) > patience {
		h.first = now
	}
	h.last = now
}

// since returns for how long work has been waiting; 0 = it is not.
func (h *held) since(now time.Time, patience time.Duration) time.Duration {
	if h.last.IsZero() || now.Sub(h.last) > patience {
		return 0
	}
	return max(1, h.last.Sub(h.first))
}
