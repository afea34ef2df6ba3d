package adapt_test

import (
	"fmt"
	"time"

	"nimsidecar/internal/adapt"
	"nimsidecar/internal/mock/limiter"
	"nimsidecar/internal/pace"
)

// A law that is told 40 a minute meets a limit of 40, which falls to 20. There is always work; whatever may leave leaves at once, and its
// verdict is there at once.
func Example() {
	limit := func(n int) []limiter.Rate { return []limiter.Rate{{N: n, Period: time.Minute}} }
	upstream, _ := limiter.New(limiter.Options{Kind: limiter.Sliding, Rates: limit(40)})
	law := adapt.New(adapt.Terms{Period: time.Minute, Margin: pace.Margin(time.Minute), Start: 40, Most: 160})
	window := pace.NewWindow(time.Minute, pace.Margin(time.Minute), 0)

	began := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	step := began.Add(30 * time.Minute)
	ceiling := 0
	var next time.Time // at an even distance
	for now := began; now.Before(step.Add(10 * time.Minute)); now = now.Add(100 * time.Millisecond) {
		if now.Equal(step) {
			fmt.Printf("%s  the limit falls to 20\n", now.Format("15:04"))
			upstream.SetRates(limit(20))
		}
		law.Advance(now, true)
		if at, shut := law.Ready(now); !shut && !at.After(now) {
			if used := window.Used(now); used < law.Cap(true) && !next.After(now) {
				tag := law.Sent(now, adapt.Load{Window: used})
				window.Reserve(now)
				window.Sent(now)
				next = now.Add(law.Interval())
				if upstream.Hit(now) {
					law.Accepted(now, tag)
				} else {
					law.Refused(now, tag, 0)
				}
			} else {
				law.Held(now, used >= law.Cap(false)-1)
			}
		}
		for _, c := range law.Changes() {
			fmt.Printf("%s  %v → %v: %s\n", now.Format("15:04"), c.From, c.To, c.Why)
		}
		if n := law.Ceiling(); n != ceiling && law.State() == adapt.Normal {
			fmt.Printf("%s  %d a minute\n", now.Format("15:04"), n)
			ceiling = n
		}
	}
	// Output:
	// 12:00  40 a minute
	// 12:30  the limit falls to 20
	// 12:30  NORMAL → RETREAT: two refusals in a row
	// 12:31  RETREAT → RECOVER: the upstream serves again
	// 12:31  RECOVER → NORMAL: a new ceiling is confirmed
	// 12:31  20 a minute
}
