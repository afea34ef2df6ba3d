package store

import "time"

// line is the time line of a process: moments as nanoseconds of the wall clock, told apart by the monotonic clock.
type line struct {
	origin time.Time // a moment on both clocks
	set    int64     // by how much the wall clock was set since then
}

// stamp returns what is stored for a moment.
func (l line) stamp(t time.Time) int64 {
	return l.origin.UnixNano() + l.set + int64(t.Sub(l.origin))
}

// moment is the inverse of stamp. What it returns can be compared with the monotonic clock.
func (l line) moment(stamp int64) time.Time {
	return l.origin.Add(time.Duration(stamp - l.origin.UnixNano() - l.set))
}

// drift returns by how much the wall clock has been set since the line was last moved.
func (l line) drift(now time.Time) time.Duration {
	return time.Duration(now.UnixNano() - l.stamp(now))
}
