package gate

import (
	"math"
	"time"
)

// pace measures how often something happens: events a second, of the time in which it runs. What is older counts less. Its memory
// must be set.
type pace struct {
	memory time.Duration // the time constant of the decay

	events  float64 // decayed
	seconds float64 // of running, decayed
	last    time.Time
	runs    bool // it has been running since last
}

// The memories. A minute sees some 40 grants at the usual 40 a minute, and forgets a quota that has moved within a few; who comes is
// seen less often.
const (
	outflowMemory = time.Minute
	demandMemory  = 2 * time.Minute
)

// longestEstimate bounds what is said of a lane that hardly moves.
const longestEstimate = 24 * time.Hour

// advance decays what was measured, if time counts.
func (p *pace) advance(now time.Time) {
	passed := now.Sub(p.last)
	if p.runs && passed > 0 {
		keep := math.Exp(-passed.Seconds() / p.memory.Seconds())
		p.events *= keep
		p.seconds = p.seconds*keep + p.memory.Seconds()*(1-keep)
	}
	if p.last.IsZero() || passed > 0 {
		p.last = now
	}
}

// count counts one event.
func (p *pace) count(now time.Time) {
	p.advance(now)
	p.events++
}

// running says whether time counts from now on.
func (p *pace) running(now time.Time, runs bool) {
	p.advance(now)
	p.runs = runs
}

// time returns how long n events take; 0 = unknown, since there was none.
func (p *pace) time(now time.Time, n int) time.Duration {
	p.advance(now)
	if p.events == 0 || p.seconds == 0 {
		return 0
	}
	seconds := min(float64(n)*p.seconds/p.events, longestEstimate.Seconds())
	return time.Duration(seconds * float64(time.Second))
}
