package quota

import (
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/pace"
)

// Terms are what the attempts of a scope must keep to. The zero value is no limit: everything may leave at once until the
// upstream refuses.
type Terms struct {
	// Rates must all hold.
	Rates limit.Rates

	// Burst is how many may leave at once after idleness, in each window that is spaced. Zero leaves it to BurstShare.
	Burst int

	// BurstShare, between 0 and 1, makes the burst this share of a window, at least 1: right for upstreams that count windows
	// and take a burst well. Zero is a burst of 4, safe with most token buckets.
	BurstShare float64
}

// defaultBurst is right where nothing is known of the upstream: a person's first clicks leave at once, and few token buckets are
// smaller.
const defaultBurst = 4

// burst returns how many of a window of n may leave at once.
func (t Terms) burst(n int) int {
	burst := defaultBurst
	switch {
	case t.Burst > 0:
		burst = t.Burst
	case t.BurstShare > 0:
		burst = int(t.BurstShare * float64(n)) // 0 counts as 1
	}
	return min(burst, n)
}

// windows returns the empty windows of the terms. The shortest is spaced, and every one of at most a minute; a longer one beside
// it is not, since even spacing over an hour would hold back what its minute allows.
func (t Terms) windows() []window {
	windows := make([]window, len(t.Rates))
	for i, r := range t.Rates {
		margin := pace.Margin(r.Period)
		spacing := &pace.Spacing{}
		if i == 0 || r.Period <= time.Minute {
			spacing = pace.NewSpacing(pace.Interval(r.N, r.Period, margin), t.burst(r.N))
		}
		windows[i] = window{rate: r, log: pace.NewWindow(r.N, r.Period, margin), spacing: spacing}
	}
	return windows
}
