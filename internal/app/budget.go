package app

import (
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/quota"
	"nimsidecar/internal/upstream"
)

// budget is the ledgers as the gate sees them: behind the knowledge of what is out of use. A lane whose provider cannot be reached, or
// whose model fails, has no slot for a while, so requests without an alternative wait for it where they wait for everything else.
type budget struct {
	*quota.Book
	upstream *upstream.Table
}

// Reserve implements gate.Budget. A forced claim is for an attempt that is made in any case.
func (b budget) Reserve(now time.Time, lane limit.Scope, c quota.Claim) (*quota.Hold, quota.Readiness) {
	if c.Forced {
		return b.Book.Reserve(now, lane, c)
	}
	if until := b.upstream.Held(now, lane); !until.IsZero() {
		return nil, quota.Readiness{At: until}
	}
	hold, ready := b.Book.Reserve(now, lane, c)
	if hold == nil || b.upstream.Enter(now, lane) {
		return hold, ready
	}
	b.Settle(now, hold, quota.Use{}) // somebody else tries it: this slot goes back unused
	return nil, quota.Readiness{At: later(b.upstream.Held(now, lane), now)}
}

// later keeps a time after now.
func later(at, now time.Time) time.Time {
	if at.After(now) {
		return at
	}
	return now.Add(time.Millisecond)
}
