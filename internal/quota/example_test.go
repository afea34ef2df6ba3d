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

// What the package comment tells of 40 a minute of which half may leave at once, with somebody urgent at 50 s.
func Example_burst() {
	book := quota.New(quota.Options{Terms: func(s limit.Scope) quota.Terms {
		return quota.Terms{Rates: limit.Rates{{N: 40, Period: time.Minute}}, BurstShare: 0.5}
	}})
	lane := limit.Scope{Provider: "p", Account: "a", Model: "m"}
	start := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	left := 0
	send := func(now time.Time, c quota.Claim) (next time.Time) {
		hold, ready := book.Reserve(now, lane, c)
		if hold == nil {
			return ready.At
		}
		book.Sent(now, hold)
		book.Settle(now, hold, quota.Use{Written: true})
		if left++; left == 20 || left == 21 || left >= 37 {
			fmt.Printf("number %d at %.2f s\n", left, now.Sub(start).Seconds())
		}
		return now
	}
	urgent := start.Add(50 * time.Second)
	for now := start; left < 41; {
		next := send(now, quota.Claim{Requests: 1})
		if now.Before(urgent) && next.After(urgent) {
			send(urgent, quota.Claim{Requests: 1, Urgent: true})
			next = urgent
		}
		now = next
	}
	// Output:
	// number 20 at 0.00 s
	// number 21 at 2.88 s
	// number 37 at 48.98 s
	// number 38 at 50.00 s
	// number 39 at 55.96 s
	// number 40 at 58.23 s
	// number 41 at 60.50 s
}
