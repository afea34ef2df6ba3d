package gate

import (
	"fmt"
	"math"
	"time"

	"nimsidecar/internal/priority"
)

// Reason says why a ticket was refused, in the words of the contract.
type Reason string

// The reasons.
const (
	QueueFull           Reason = "queue_full"            // the room is full and holds nothing less urgent
	Displaced           Reason = "displaced"             // its place in a full room went to a more urgent newcomer
	QueueTimeout        Reason = "queue_timeout"         // it waited until its deadline
	Deadline            Reason = "deadline"              // it cannot start before its client gives up
	UpstreamRateLimited Reason = "upstream_rate_limited" // the upstream's pause ends after its deadline
	Draining            Reason = "draining"              // the gate drains
	Cancelled           Reason = "cancelled"             // ended by End, or abandoned
)

// Refusal is the end of a ticket that got no grant. It is an error.
type Refusal struct {
	// Reason says why.
	Reason Reason

	// RetryAfter is when it makes sense to come again: 1 s when the gate drains, 0 when the ticket was cancelled, else the estimate,
	// kept between 1 s and 60 s and spread by up to a quarter, so that those refused together do not return together.
	RetryAfter time.Duration

	// Estimate is how long it would have taken until it could start, as far as is known; 0 = unknown.
	Estimate time.Duration
}

// Error says the reason and the estimate.
func (r *Refusal) Error() string {
	if r.Estimate == 0 {
		return fmt.Sprintf("gate: refused: %s", r.Reason)
	}
	return fmt.Sprintf("gate: refused: %s: it could start in %s", r.Reason, r.Estimate)
}

// The bounds of RetryAfter. The jitter comes on top of the clamped estimate, so the clamp leaves room for it.
const (
	soonest   = time.Second
	latest    = 60 * time.Second
	jitter    = 0.25
	drainTime = time.Second // until whoever takes over the port is there
)

// refusal makes a refusal; estimate 0 is unknown: nobody was let out so far, so it may take long.
func (g *Gate) refusal(reason Reason, estimate time.Duration) *Refusal {
	switch reason {
	case Draining:
		return &Refusal{Reason: reason, RetryAfter: drainTime}
	case Cancelled:
		return &Refusal{Reason: reason}
	}
	again := estimate
	if longest := time.Duration(float64(latest) / (1 + jitter)); again == 0 || again > longest {
		again = longest
	}
	again = max(again, soonest)
	again += time.Duration(jitter * g.options.Random() * float64(again))
	return &Refusal{Reason: reason, RetryAfter: again, Estimate: estimate}
}

// longestEstimate bounds what is said of a room that hardly moves.
const longestEstimate = 24 * time.Hour

// estimateLocked returns how long a newcomer of the class would have to wait, by the pace at which the room has emptied lately; 0 =
// unknown.
func (g *Gate) estimateLocked(now time.Time, c priority.Class) time.Duration {
	n := 1
	for class, waiting := range g.room.Depth() {
		if class <= int(c) {
			n += waiting
		}
	}
	return g.outflow.time(now, n)
}

// outflow measures how fast the room empties: waiters let out a second, of the time in which somebody waited. What is older counts
// less, by half in 42 s. The zero value has measured nothing.
type outflow struct {
	grants  float64 // waiters let out, decayed
	seconds float64 // time in which somebody waited, decayed
	last    time.Time
	busy    bool // somebody has waited since last
}

// memory is the time constant of the decay: a minute sees some 40 grants at the usual 40 a minute, and forgets a quota that has
// moved within a few.
const memory = time.Minute

// advance decays what was measured, if time counts.
func (f *outflow) advance(now time.Time) {
	passed := now.Sub(f.last)
	if f.busy && passed > 0 {
		keep := math.Exp(-passed.Seconds() / memory.Seconds())
		f.grants *= keep
		f.seconds = f.seconds*keep + memory.Seconds()*(1-keep)
	}
	if f.last.IsZero() || passed > 0 {
		f.last = now
	}
}

// granted counts one waiter that was let out.
func (f *outflow) granted(now time.Time) {
	f.advance(now)
	f.grants++
}

// waiting says whether somebody waits from now on: an empty room does not count as a slow one.
func (f *outflow) waiting(now time.Time, busy bool) {
	f.advance(now)
	f.busy = busy
}

// time returns how long it takes to let n waiters out; 0 = unknown, since none was.
func (f *outflow) time(now time.Time, n int) time.Duration {
	f.advance(now)
	if f.grants == 0 || f.seconds == 0 {
		return 0
	}
	seconds := min(float64(n)*f.seconds/f.grants, longestEstimate.Seconds())
	return time.Duration(seconds * float64(time.Second))
}
