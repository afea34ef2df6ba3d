package retry

import (
	"time"

	"nimsidecar/internal/hint"
)

// rule is how a class is repeated. The zero value is never.
type rule struct {
	repeats  int           // at most
	waits    bool          // time cures it: it does not count against MaxAttempts
	otherKey bool          // only with another key, and then it does not count either
	base     time.Duration // the first back-off; each repetition doubles it; 0 = at once
	limit    time.Duration // where doubling ends
	jitter   float64       // how much of the back-off is random

	elsewhere elsewhere
}

// free reports whether attempts do not count against MaxAttempts.
func (r *rule) free() bool { return r.waits || r.otherKey }

// elsewhere says when the next target of a route is tried.
type elsewhere uint8

const (
	never      elsewhere = iota // it may have run, or would fare no better there
	afterwards                  // when it is not repeated here
	atOnce                      // rather than be repeated here
)

// rules holds the classes that are repeated, or go elsewhere. The others are the request's own fault.
var rules = [hint.ClassCount]rule{
	hint.Quota: {repeats: 100, waits: true, elsewhere: afterwards}, // its pause is the ledgers' business

	// The model is short of workers, whoever asks. Each of these attempts is charged, so they are spread far.
	hint.WorkerExhausted: {repeats: 30, waits: true, base: time.Second, limit: 30 * time.Second, jitter: 0.5, elsewhere: afterwards},
	hint.QueueFull:       {repeats: 30, waits: true, base: time.Second, limit: 30 * time.Second, jitter: 0.5, elsewhere: afterwards},
	hint.NoWorker:        {repeats: 30, waits: true, base: time.Second, limit: 30 * time.Second, jitter: 0.5, elsewhere: afterwards},

	// The model is away for the moment. A model without an active version may never come back: a few times only.
	hint.Degraded: {repeats: 30, waits: true, base: 10 * time.Second, limit: 30 * time.Second, jitter: 0.5, elsewhere: atOnce},
	hint.Inactive: {repeats: 5, waits: true, base: 10 * time.Second, limit: 30 * time.Second, jitter: 0.5, elsewhere: atOnce},

	// The upstream may have run it: once, in the hope that it did not.
	hint.Transient:     {repeats: 1, base: 500 * time.Millisecond, limit: 500 * time.Millisecond, jitter: 0.5, elsewhere: afterwards},
	hint.UpstreamError: {repeats: 1, base: 500 * time.Millisecond, limit: 500 * time.Millisecond, jitter: 0.5, elsewhere: afterwards},

	// Each such answer takes a key out of use, so that this ends with the last one.
	hint.KeyDead:     {repeats: maxKeys, otherKey: true, elsewhere: afterwards},
	hint.Credits:     {repeats: maxKeys, otherKey: true, elsewhere: afterwards},
	hint.NotEntitled: {repeats: maxKeys, otherKey: true, elsewhere: afterwards},

	// These last longer than any deadline, or do not end by themselves.
	hint.Offline:      {elsewhere: atOnce},
	hint.Gone:         {elsewhere: atOnce},
	hint.UnknownModel: {elsewhere: atOnce},
	hint.Forbidden:    {elsewhere: atOnce},
}

// maxKeys bounds how many keys one request may find dead.
const maxKeys = 30

// The two ways to break that are repeated, because the request cannot have run: not a byte of it was sent, or a pooled connection
// had been closed by the upstream already, and a fresh one is at hand.
var (
	unsent = rule{repeats: MaxAttempts - 1, base: 250 * time.Millisecond, limit: time.Second, jitter: 1, elsewhere: afterwards}
	stale  = rule{repeats: 2, elsewhere: afterwards}
)

// hung is how long an attempt without a connection takes that was not refused but had no answer at all. It is repeated once: a client
// must hear of an unreachable upstream within 10 s.
const hung = 2 * time.Second

// rule returns the rule for the last attempt.
func (in *Input) rule() rule {
	switch f := in.Outcome.Fault; {
	case in.Outcome.Class >= hint.Class(len(rules)):
		return rule{}
	case in.Outcome.Class != hint.Broken:
		return rules[in.Outcome.Class]
	case in.Reused && (f == hint.FaultNoResponse || !in.Written):
		return stale
	case !in.Written && f != hint.FaultHeadTimeout:
		r := unsent
		if in.Took >= hung || in.OtherTarget { // who has somewhere else to go need not wait for this one to come back
			r.repeats = 1
		}
		return r
	}
	return rule{}
}

// backOff returns how long to wait before the next attempt by the rule alone.
func (r *rule) backOff(in *Input) time.Duration {
	full := r.base
	for range in.SameClass - 1 {
		full = min(2*full, r.limit)
	}
	random := r.jitter * min(max(in.Random, 0), 1)
	return time.Duration(float64(full) * (1 - r.jitter + random))
}
