package sched

import (
	"math/bits"

	"nimsidecar/internal/priority"
)

// The cap of URGENT: of any capWindow grants in a row that count, at most capUrgent are its while another class can be proposed. A grant
// counts if it was contended, that is, if another class could have been proposed instead, or waits for the same account; and one that is
// not URGENT's also as long as URGENT has had one of its account's last capWindow grants, so that an urgent request now and then
// meets no cap.
const (
	capWindow = 40
	capUrgent = 28 // 70 %
)

// price is what a grant costs a class that shares by weight, 1/weight: HIGH, NORMAL and LOW have 8 : 4 : 1. The prices are powers
// of two, so their sums are exact.
func price(c priority.Class) float64 {
	return [priority.Count]float64{priority.High: 1. / 8, priority.Normal: 1. / 4, priority.Low: 1}[c]
}

// classes is a set of classes.
type classes [priority.Count]bool

// beside reports whether the set holds a class other than c.
func (s classes) beside(c priority.Class) bool {
	s[c] = false
	return s != classes{}
}

// shares says which class is next. It is a plain value: a copy can be used to look ahead.
type shares struct {
	recent uint64                  // the last capWindow-1 grants that count, the latest in bit 0; 1 = URGENT
	now    float64                 // the virtual time: the start of the last grant of a class that shares by weight
	finish [priority.Count]float64 // the end of the last grant of each
}

// start is the virtual time at which the class's next grant begins. Who was idle or blocked begins now, not in the past.
func (s *shares) start(c priority.Class) float64 { return max(s.now, s.finish[c]) }

// capped reports whether URGENT has had all that it may have of the last grants that count.
func (s *shares) capped() bool { return bits.OnesCount64(s.recent) >= capUrgent }

// next returns the class to serve of those that can be; ok is false if none can.
func (s *shares) next(can classes) (c priority.Class, ok bool) {
	if can[priority.Urgent] && !(s.capped() && can.beside(priority.Urgent)) {
		return priority.Urgent, true
	}
	for other := priority.High; other < priority.Count; other++ {
		if can[other] && (!ok || s.start(other) < s.start(c)) {
			c, ok = other, true
		}
	}
	return c, ok
}

// serve charges a grant to the class, which is one of those that can be served.
func (s *shares) serve(c priority.Class, counts bool) {
	urgent := c == priority.Urgent
	if counts {
		s.recent = s.recent << 1 & (1<<(capWindow-1) - 1)
		if urgent {
			s.recent |= 1
		}
	}
	if !urgent {
		s.now = s.start(c)
		s.finish[c] = s.now + price(c)
	}
}
