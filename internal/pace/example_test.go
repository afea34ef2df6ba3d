package pace_test

import (
	"fmt"
	"time"

	"nimsidecar/internal/pace"
)

// The numbers of the package comment: 40 a minute, burst 4, always something to send.
func Example() {
	const n, burst = 40, 4
	margin := pace.Margin(time.Minute)
	window := pace.NewWindow(time.Minute, margin, 0)
	spacing := pace.NewSpacing(pace.Interval(n, time.Minute, margin), burst)

	began := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	now := began
	for i := 1; i <= 41; i++ {
		at, _ := window.Next(now, n) // nothing is open here, so time alone brings the next
		now = spacing.Next(at)
		window.Reserve(now)
		spacing.Reserve(now)
		window.Sent(now)
		if i == 4 || i == 5 || i >= 40 {
			fmt.Printf("%d leaves at %.3f s\n", i, now.Sub(began).Seconds())
		}
	}
	// Output:
	// 4 leaves at 0.000 s
	// 5 leaves at 1.483 s
	// 40 leaves at 53.382 s
	// 41 leaves at 60.500 s
}

// A request that takes long to write is charged until a period and a margin after its last byte.
func ExampleWindow() {
	window := pace.NewWindow(time.Minute, time.Second, 0)
	began := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

	window.Reserve(began)
	_, ok := window.Next(began.Add(time.Hour), 1)
	fmt.Println("while it is open:", ok)

	window.Sent(began.Add(time.Hour))
	at, ok := window.Next(began.Add(time.Hour), 1)
	fmt.Println("once it is sent:", ok, at.Sub(began))
	// Output:
	// while it is open: false
	// once it is sent: true 1h1m1s
}
