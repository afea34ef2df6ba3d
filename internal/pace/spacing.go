package pace

import "time"

// haste is how much faster than its window an evenly spaced sender goes. Slightly above 1 keeps the window the binding rule, so
// that its last slot is used too; each percent of it costs a token bucket N/100 of its size.
const haste = 1.02

// Margin returns how long a charge stays in a log after the upstream's period is over: a 120th of the period, within 100 ms and
// 2 s. That is 100 ms for a second, 0.5 s for a minute, 2 s for an hour and a day. It must cover the delivery of a request that
// is wholly written, and is lost to throughput: on a minute 50 ms were measured to be too little and 0.5 to 1 s to be enough; a
// second can afford no more than a tenth, and no delivery needs more than 2 s.
func Margin(period time.Duration) time.Duration {
	return min(max(period/120, 100*time.Millisecond), 2*time.Second)
}

// Interval returns the even distance at which n charges fill a window of period + margin slightly before it is over.
func Interval(n int, period, margin time.Duration) time.Duration {
	return time.Duration(float64(period+margin) / (float64(n) * haste))
}

// brief is a time that makes no difference: timers are off by more, and no delivery to an upstream is as even.
const brief = 10 * time.Microsecond

// Spacing keeps attempts an even interval apart but for bursts after idleness: in any length of time l at most burst +
// l/(interval − 10 µs) of them leave. It is the generic cell rate algorithm: one time says all about the past. The zero value, and an
// interval of up to 10 µs, space nothing. The methods must not be called concurrently.
type Spacing struct {
	interval time.Duration
	slack    time.Duration // (burst − 1) intervals: how far ahead of the even pace an attempt may be
	even     time.Time     // when the even pace will have caught up with what was reserved
}

// NewSpacing returns a spacing that has been idle: burst attempts, at least one, may go at once.
func NewSpacing(interval time.Duration, burst int) *Spacing {
	return &Spacing{interval: interval, slack: time.Duration(max(burst, 1)-1) * interval}
}

// Pace changes the interval and the burst for the attempts to come. What was reserved keeps its places.
func (s *Spacing) Pace(interval time.Duration, burst int) {
	s.interval, s.slack = interval, time.Duration(max(burst, 1)-1)*interval
}

// Next returns the earliest time at which the next attempt may leave, never before now. What may leave within 10 µs may leave now: to
// let it wait would take longer.
func (s *Spacing) Next(now time.Time) time.Time {
	if at := s.even.Add(-s.slack); at.Sub(now) > brief {
		return at
	}
	return now
}

// Reserve takes a place at now. It does not check: of attempts that leave in any case, the ones beyond the burst are forgotten,
// as a token bucket that is empty refuses them and does not become emptier.
func (s *Spacing) Reserve(now time.Time) {
	if s.even.Before(now) {
		s.even = now
	}
	s.even = s.even.Add(s.interval)
	if most := now.Add(s.slack + s.interval); s.even.After(most) {
		s.even = most
	}
}

// Refund gives back, at now, what is left of the place that was taken at reserved: all of it at once, less as its interval
// passes, and then nothing. More would let others leave too early, who were spaced by it when they came.
func (s *Spacing) Refund(reserved, now time.Time) {
	left := s.interval - max(now.Sub(reserved), 0)
	s.even = s.even.Add(-max(left, 0))
}
