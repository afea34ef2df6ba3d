package gate

import (
	"fmt"
	"time"
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
