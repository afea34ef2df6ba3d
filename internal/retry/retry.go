// Package retry is what to do after an attempt: pass it on, try again and when, or give up.
//
// Decide is asked before the first byte of an answer has reached the client; afterwards nothing is ever repeated. The rules are a
// table over hint.Class. Three bounds hold for every sequence of outcomes at one target: each class has its own number of repetitions,
// attempts that neither waiting nor another key would have cured are at most MaxAttempts, and nothing is repeated at or after the
// deadline. An attempt that may have run on the upstream is repeated only where its class says that it did not, or once.
//
// Where a route has another target, what cannot be served here goes there: at once where time is no cure, else when it is not repeated
// here any more. What may have run, and what is the request's own fault, goes nowhere.
package retry

import (
	"time"

	"nimsidecar/internal/hint"
)

// Action says what becomes of an attempt.
type Action uint8

// The actions.
const (
	Pass      Action = iota // pass on what the upstream answered: repeating would not help
	Again                   // send the request again
	GiveUp                  // a repetition might help, but it was repeated often enough or the deadline is too near
	Elsewhere               // send it to the next target of its route, as a request that was not sent yet
)

// MaxAttempts is how often a request is sent to one target, not counting attempts that were refused for a cause that waiting or another
// key cures: a key that is tried after a dead one has all of its own attempts.
const MaxAttempts = 4

// Input is what Decide looks at. Attempts are those at the present target.
type Input struct {
	Outcome     hint.Outcome  // of the last attempt
	Attempts    int           // attempts so far, the last one included
	Waits       int           // those of them whose class Waits; 0 is always safe
	SameClass   int           // those of them with the class of the last one, itself included
	Now         time.Time     // the time of the decision
	Deadline    time.Time     // latest start of an attempt; zero = none
	Written     bool          // a byte of the last attempt's request reached the upstream's socket
	Reused      bool          // the last attempt went out on a pooled connection
	Took        time.Duration // how long the last attempt took to fail; 0 is always safe
	OtherKey    bool          // another key could serve the request
	OtherTarget bool          // its route has a target that was not tried yet
	Random      float64       // in [0,1): spreads the repetitions of many requests
}

// Decision is the answer. The zero value passes the attempt on.
type Decision struct {
	Action   Action    // what becomes of the attempt
	At       time.Time // with Again: not before; zero = at once, or as soon as the ledgers allow
	OtherKey bool      // with Again: only with another key than the last attempt's
}

// Decide says what to do after the attempt that in describes.
func Decide(in Input) Decision {
	r := in.rule()
	d := r.here(&in)
	open := in.Deadline.IsZero() || in.Now.Before(in.Deadline)
	if in.OtherTarget && open && (r.elsewhere == atOnce || r.elsewhere == afterwards && d.Action != Again) {
		return Decision{Action: Elsewhere}
	}
	return d
}

// here says what to do as if there were no other target.
func (r *rule) here(in *Input) Decision {
	if r.repeats == 0 || r.otherKey && !in.OtherKey {
		return Decision{Action: Pass}
	}
	spent := in.SameClass > r.repeats || !r.free() && in.Attempts-in.Waits >= MaxAttempts
	wait := r.backOff(in)
	at := in.Now.Add(max(wait, in.Outcome.RetryAfter))
	if spent || !in.Deadline.IsZero() && !at.Before(in.Deadline) {
		return Decision{Action: GiveUp}
	}
	if wait == 0 {
		at = time.Time{} // what the upstream asked for in a refusal is the ledgers' business: they pause the lane
	}
	return Decision{Action: Again, At: at, OtherKey: r.otherKey}
}

// Waits reports whether a class is one that waiting or another key cures, so that its attempts do not count against MaxAttempts.
func Waits(c hint.Class) bool { return int(c) < len(rules) && rules[c].free() }
