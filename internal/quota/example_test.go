package quota_test

import (
	"fmt"
	"time"

	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/quota"
)

// The whole life of two attempts on a lane of 40 a minute: one answered, one refused.
func Example() {
	book := quota.New(quota.Options{Terms: func(s limit.Scope) quota.Terms {
		if s.WholeAccount() {
			return quota.Terms{} // NVIDIA counts by model
		}
		return quota.Terms{Rates: limit.Rates{{N: 40, Period: time.Minute}}, BurstShare: 0.5}
	}})
	lane := limit.Scope{Provider: "nvidia", Account: "main", Model: "some/model"}
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

	hold, _ := book.Reserve(now, lane, quota.Claim{Requests: 1})
	fmt.Println("left:", hold.Standing().Remaining)
	book.Sent(now, hold)
	book.Observe(now, hold, hint.Outcome{Class: hint.OK, Status: 200})
	book.Settle(now, hold, quota.Use{Written: true})

	now = now.Add(10 * time.Second)
	hold, _ = book.Reserve(now, lane, quota.Claim{Requests: 1})
	book.Sent(now, hold)
	book.Observe(now, hold, hint.Outcome{Class: hint.Quota, Status: 429}) // it does not say until when
	book.Settle(now, hold, quota.Use{Written: true})

	hold, ready := book.Reserve(now, lane, quota.Claim{Requests: 1})
	fmt.Println("granted:", hold != nil, "paused:", ready.Paused, "for:", ready.At.Sub(now))
	// Output:
	// left: 39
	// granted: false paused: true for: 50.5s
}
