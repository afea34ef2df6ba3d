package adapt

import "time"

// The figures of an in-flight ceiling.
const (
	workerPause = time.Second      // after workers were found busy
	quietTime   = 30 * time.Minute // without such an answer the ceiling dissolves
)

// InFlight is how many requests of one model its workers take at once, whoever sends them. It is Unknown until they were found busy
// for the first time. The zero value is ready to use; the methods must not be called concurrently.
type InFlight struct {
	ceiling int // 0 = Unknown
	running int
	credit  float64
	paused  time.Time
	last    time.Time // when workers were last found busy
}

// Ready returns when another request may be sent; shut says that one that runs must end first.
func (f *InFlight) Ready(now time.Time) (at time.Time, shut bool) {
	if f.ceiling > 0 && now.Sub(f.last) > quietTime {
		f.ceiling = 0
	}
	if f.paused.After(now) {
		return f.paused, false
	}
	return now, f.ceiling > 0 && f.running >= f.cap()
}

// cap is the ceiling, and one more where that may be tried.
func (f *InFlight) cap() int {
	if f.credit >= 1 {
		return f.ceiling + 1
	}
	return f.ceiling
}

// Ceiling returns how many are taken at once, or Unknown.
func (f *InFlight) Ceiling() int {
	if f.ceiling == 0 {
		return Unknown
	}
	return f.ceiling
}

// Running returns how many run now.
func (f *InFlight) Running() int { return f.running }

// Start counts one that is sent, and returns how many run with it.
func (f *InFlight) Start() int {
	f.running++
	return f.running
}

// Done says that one has ended, however it did.
func (f *InFlight) Done() { f.running-- }

// Accepted says that a worker took a request beside which so many were running, itself included.
func (f *InFlight) Accepted(with int) {
	f.credit = min(creditMost, f.credit+budget)
	if f.ceiling > 0 && with > f.ceiling && f.credit >= 1 {
		f.ceiling++
	}
}

// Busy says that no worker took a request beside which so many were running, itself included.
func (f *InFlight) Busy(now time.Time, with int) {
	f.credit = max(creditLeast, f.credit-1)
	f.last = now
	f.paused = now.Add(workerPause)
	if most := max(1, with-1); f.ceiling == 0 || most < f.ceiling {
		f.ceiling = most
	}
}

// Idle reports whether nothing would be lost with the value.
func (f *InFlight) Idle(now time.Time) bool {
	return f.running == 0 && (f.ceiling == 0 || now.Sub(f.last) > quietTime)
}
