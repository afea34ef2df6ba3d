package adapt

import "time"

// The first and the greatest number of attempts that are remembered. A window that holds more of them than that is judged by its newest part.
const (
	evidenceLeast = 16
	evidenceMost  = 4096
)

// evidence remembers when attempts left and which of them were refused, newest last. The zero value has seen none.
type evidence struct {
	ring []attempt
	next uint64 // sequence number of the next one
}

type attempt struct {
	at      time.Time
	refused bool
}

// sent notes an attempt and returns its number. What left less than keep ago is worth remembering.
func (e *evidence) sent(now time.Time, keep time.Duration) uint64 {
	if size := len(e.ring); size == 0 || size < evidenceMost && e.next >= uint64(size) && now.Sub(e.first()) < keep {
		e.grow(max(evidenceLeast, 2*size))
	}
	seq := e.next
	e.ring[seq%uint64(len(e.ring))] = attempt{at: now}
	e.next++
	return seq
}

// grow makes the ring longer; it never becomes shorter.
func (e *evidence) grow(size int) {
	ring := make([]attempt, size)
	for seq := e.oldest(); seq < e.next; seq++ {
		ring[seq%uint64(size)] = e.ring[seq%uint64(len(e.ring))]
	}
	e.ring = ring
}

// oldest returns the number of the oldest attempt that is remembered.
func (e *evidence) oldest() uint64 {
	if e.next > uint64(len(e.ring)) {
		return e.next - uint64(len(e.ring))
	}
	return 0
}

// refused notes that an attempt was refused.
func (e *evidence) refused(seq uint64) {
	if seq >= e.oldest() && seq < e.next {
		e.ring[seq%uint64(len(e.ring))].refused = true
	}
}

// count returns how many attempts left in (until − span, until] and were not refused, as far as is known at now. Where the ring does
// not reach back that far, the part it knows is taken for the whole.
func (e *evidence) count(until time.Time, span time.Duration, now time.Time) int {
	from := until.Add(-span)
	n := 0
	for seq := e.next; seq > e.oldest(); seq-- {
		a := &e.ring[(seq-1)%uint64(len(e.ring))]
		switch {
		case a.at.After(until):
		case !a.at.After(from):
			return n
		case !a.refused:
			n++
		}
	}
	if known := now.Sub(e.first()); e.oldest() > 0 && known > 0 && known < span {
		n = int(float64(n) * float64(span) / float64(known))
	}
	return n
}

// first returns when the oldest attempt that is remembered left.
func (e *evidence) first() time.Time {
	if e.next == 0 {
		return time.Time{}
	}
	return e.ring[e.oldest()%uint64(len(e.ring))].at
}
