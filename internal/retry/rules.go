package retry

import (
	"time"

	"nimsidecar/internal/hint"
)

// rule is how a class is repeated. The zero value is never.
type rule struct {
	repeats  int           // at most
	waits    bool          // time cures it: it does not count against MaxAttempts
	otherKey bool          // only with another key
	base     time.Duration // the first back-off; each repetition doubles it; 0 = at once
	limit    time.Duration // where doubling ends
	jitter   float64       // how much of the back-off is random
}

// rules holds the classes that are repeated. The others are the request's own fault, or last longer than any deadline.
var rules = [hint.ClassCount]rule{
	hint.Quota: {repeats: 100, waits: true}, // its pause is the ledgers' business

	// The model is short of workers, whoever asks. Each of these attempts is charged, so they are spread far.
	hint.WorkerExhausted: {repeats: 30, waits: true, base: time.Second, limit: 30 * time.Second, jitter: 0.5},
	hint.QueueFull:       {repeats: 30, waits: true, base: time.Second, limit: 30 * time.Second, jitter: 0.5},
	hint.NoWorker:        {repeats: 30, waits: true, base: time.Second, limit: 30 * time.Second, jitter: 0.5},

	// The model is away for the moment. A model without an active version may never come back: a few times only.
	hint.Degraded: {repeats: 30, waits: true, base: 10 * time.Second, limit: 30 * time.Second, jitter: 0.5},
	hint.Inactive: {repeats: 5, waits: true, base: 10 * time.Second, limit: 30 * time.Second, jitter: 0.5},

	// The upstream may have run it: once, in the hope that it did not.
	hint.Transient:     {repeats: 1, base: 500 * time.Millisecond, limit: 500 * time.Millisecond, jitter: 0.5},
	hint.UpstreamError: {repeats: 1, base: 500 * time.Millisecond, limit: 500 * time.Millisecond, jitter: 0.5},

	hint.KeyDead:     {repeats: MaxAttempts - 1, otherKey: true},
	hint.Credits:     {repeats: MaxAttempts - 1, otherKey: true},
	hint.NotEntitled: {repeats: MaxAttempts - 1, otherKey: true},
}

// The two ways to break that are repeated, because the request cannot have run: not a byte of it was sent, or a pooled connection
// had been closed by the upstream already, and a fresh one is at hand.
var (
	unsent = rule{repeats: MaxAttempts - 1, base: 250 * time.Millisecond, limit: time.Second, jitter: 1}
	stale  = rule{repeats: 2}
)

// hung is how long an attempt without a connection takes that was not refused but had no answer at all. It is repeated once: a client
// must hear of an unreachable upstream within 10 s.
const hung = 2 * time.Second

// rule returns the rule for the last attempt.
func (in Input) rule() rule {
	switch f := in.Outcome.Fault; {
	case in.Outcome.Class >= hint.Class(len(rules)):
		return rule{}
	case in.Outcome.Class != hint.Broken:
		return rules[in.Outcome.Class]
	case in.Reused && (f == hint.FaultNoResponse || !in.Written):
		return stale
	case !in.Written && f != hint.FaultHeadTimeout:
		r := unsent
		if in.Took >= hung {
			r.repeats = 1
		}
		return r
	}
	return rule{}
}

// backOff returns how long to wait before the next attempt by the rule alone.
func (r rule) backOff(in Input) time.Duration {
	full := r.base
	for range in.SameClass - 1 {
		full = min(2*full, r.limit)
	}
	random := r.jitter * min(max(in.Random, 0), 1)
	return time.Duration(float64(full) * (1 - r.jitter + random))
}
