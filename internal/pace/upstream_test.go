package pace_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"nimsidecar/internal/pace"
)

// upstream is a limiter of the other side: hit counts one attempt and says whether it passes. Hits come in order of time.
type upstream interface{ hit(at time.Time) bool }

// firstHit opens a window at the first hit after the last one expired, as NVIDIA does.
type firstHit struct {
	n, count int
	period   time.Duration
	end      time.Time
}

func (u *firstHit) hit(at time.Time) bool {
	if !at.Before(u.end) {
		u.count, u.end = 0, at.Add(u.period)
	}
	u.count++
	return u.count <= u.n
}

// aligned has windows that begin at the multiples of the period.
type aligned struct {
	n, count int
	period   time.Duration
	begin    time.Time
}

func (u *aligned) hit(at time.Time) bool {
	if begin := at.Truncate(u.period); !begin.Equal(u.begin) {
		u.count, u.begin = 0, begin
	}
	u.count++
	return u.count <= u.n
}

// sliding looks back one period from each hit.
type sliding struct {
	n      int
	period time.Duration
	hits   []time.Time
}

func (u *sliding) hit(at time.Time) bool {
	u.hits = append(u.hits, at)
	u.hits = slices.DeleteFunc(u.hits, func(h time.Time) bool { return !h.Add(u.period).After(at) })
	return len(u.hits) <= u.n
}

// bucket holds size tokens and regains n in a period.
type bucket struct {
	n, size, level float64
	period         time.Duration
	at             time.Time
}

func (u *bucket) hit(at time.Time) bool {
	if !u.at.IsZero() {
		u.level = min(u.size, u.level+u.n*float64(at.Sub(u.at))/float64(u.period))
	}
	u.at = at
	u.level--
	return u.level >= 0
}

// kinds are the windows that upstreams count by.
var kinds = map[string]func(n int, period time.Duration) upstream{
	"first-hit": func(n int, p time.Duration) upstream { return &firstHit{n: n, period: p} },
	"aligned":   func(n int, p time.Duration) upstream { return &aligned{n: n, period: p} },
	"sliding":   func(n int, p time.Duration) upstream { return &sliding{n: n, period: p} },
}

// flight is an attempt on its way: reserved, perhaps counted by the upstream already, not wholly written.
type flight struct{ counted bool }

// world is a window, the upstream behind it, and what is on the way between them.
type world struct {
	rng     *rand.Rand
	n       int
	window  *pace.Window
	jitter  time.Duration // the longest delivery of a request that is wholly written
	now     time.Time
	open    []flight
	coming  []time.Time // hits on their way, in order
	up      upstream
	hits    int
	refused int
}

// hit lets the upstream count an attempt.
func (w *world) hit(at time.Time) {
	w.hits++
	if !w.up.hit(at) {
		w.refused++
	}
}

// until lets time pass, and the hits of that time arrive.
func (w *world) until(at time.Time) {
	for len(w.coming) > 0 && !w.coming[0].After(at) {
		w.hit(w.coming[0])
		w.coming = w.coming[1:]
	}
	w.now = at
}

// step does one random thing, greedily: the fuller the log is, the harder the test.
func (w *world) step(period time.Duration) {
	at, ok := w.window.Next(w.now, w.n)
	if ok && w.rng.IntN(4) > 0 {
		if w.rng.IntN(3) > 0 {
			w.until(at) // to the very moment
		}
		if !at.After(w.now) {
			w.window.Reserve(w.now)
			w.open = append(w.open, flight{})
			return
		}
	}
	if len(w.open) == 0 || w.rng.IntN(6) == 0 {
		w.until(w.now.Add(time.Duration(w.rng.ExpFloat64() * float64(period) / 8)))
		return
	}
	i := w.rng.IntN(len(w.open))
	f := w.open[i]
	switch choice := w.rng.IntN(10); {
	case choice < 2 && !f.counted: // the head arrived; the upstream counts before it has the whole body
		w.hit(w.now)
		w.open[i].counted = true
		return
	case choice < 4 && !f.counted: // not a byte was written
		w.window.Refund()
	default:
		w.window.Sent(w.now)
		if !f.counted {
			delay := w.jitter * time.Duration(w.rng.IntN(3)) / 2 // the extremes are the hard ones
			w.coming = append(w.coming, w.now.Add(delay))
			slices.SortFunc(w.coming, time.Time.Compare)
		}
	}
	w.open = slices.Delete(w.open, i, i+1)
}

// grains are those that a world may have: the bound holds with any.
var grains = [...]time.Duration{0, 20 * time.Millisecond}

// refusals plays a world and returns how many of how many hits were refused.
func refusals(seed uint64, kind string, margin, jitter time.Duration) (refused, hits int) {
	rng := rand.New(rand.NewPCG(seed, 3))
	n, period := 1+rng.IntN(12), 2*time.Second // so short that the edges, where a fault would be, are met often
	w := &world{rng: rng, n: n, window: pace.NewWindow(period, margin, grains[rng.IntN(2)]), jitter: jitter, now: start, up: kinds[kind](n, period)}
	for range 3000 {
		w.step(period)
	}
	w.until(w.now.Add(jitter))
	return w.refused, w.hits
}

func TestUpstreamOfTheSameLimitNeverRefuses(t *testing.T) {
	t.Parallel()
	const margin = 500 * time.Millisecond
	for kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(100) {
				if refused, hits := refusals(seed, kind, margin, margin); refused > 0 || hits < 100 {
					t.Fatalf("seed %d: %d of %d hits were refused; want 0 of more than 100", seed, refused, hits)
				}
			}
		})
	}
}

// The counterpart: were it not for the margin, this test would see refusals.
func TestDeliveryLongerThanTheMarginIsRefused(t *testing.T) {
	t.Parallel()
	for kind := range kinds {
		total := 0
		for seed := range uint64(20) {
			refused, _ := refusals(seed, kind, 100*time.Millisecond, 500*time.Millisecond)
			total += refused
		}
		if total == 0 {
			t.Errorf("%s: 0 hits were refused with a margin shorter than the delivery; want some", kind)
		}
	}
}

// pair is a limit as it is paced: a window and its spacing.
type pair struct {
	n, burst int
	period   time.Duration
	window   *pace.Window
	spacing  *pace.Spacing
}

func newPair(n, burst int, period time.Duration) pair {
	margin := pace.Margin(period)
	return pair{n, burst, period, pace.NewWindow(period, margin, 0), pace.NewSpacing(pace.Interval(n, period, margin), burst)}
}

// next is when one more may leave; nothing of it may be open.
func (p pair) next(now time.Time) time.Time {
	at, _ := p.window.Next(now, p.n)
	return p.spacing.Next(at)
}

// spend lets one leave, written at once.
func (p pair) spend(now time.Time) {
	p.window.Reserve(now)
	p.spacing.Reserve(now)
	p.window.Sent(now)
}

// pairs are limits and bursts of all sizes.
func pairs() map[string]pair {
	all := map[string]pair{}
	for _, period := range []time.Duration{time.Second, time.Minute, time.Hour} {
		for _, n := range []int{1, 2, 5, 40, 300} {
			for _, burst := range []int{1, 4, n / 2, n} {
				all[fmt.Sprintf("%d in %v, burst %d", n, period, burst)] = newPair(n, max(1, min(burst, n)), period)
			}
		}
	}
	return all
}

func TestBacklogUsesTheWholeWindow(t *testing.T) {
	t.Parallel()
	const windows = 50
	for name, p := range pairs() {
		now, count := start, 0
		for end := start.Add(windows * (p.period + pace.Margin(p.period))); ; count++ {
			if now = p.next(now); !now.Before(end) {
				break
			}
			p.spend(now)
		}
		if least := 0.97 * windows * float64(p.n); float64(count) < least || count > windows*p.n {
			t.Errorf("%s: %d left in %d windows; want %.0f to %d", name, count, windows, least, windows*p.n)
		}
	}
}

func TestTokenBucketOfTheBurstNeverRefuses(t *testing.T) {
	t.Parallel()
	for name, p := range pairs() {
		rng := rand.New(rand.NewPCG(1, 4))
		jitter := pace.Margin(p.period) / 4
		size := float64(p.burst) + float64(p.n)*(0.02+float64(jitter)/float64(p.period))
		up := &bucket{n: float64(p.n), size: size, level: size, period: p.period}
		var hits []time.Time
		for now := start; len(hits) < 2000; {
			if now = p.next(now); rng.IntN(200) == 0 {
				now = now.Add(time.Duration(rng.Float64() * float64(p.period))) // idle for a while
			}
			p.spend(now)
			hits = append(hits, now.Add(time.Duration(rng.Float64()*float64(jitter))))
		}
		slices.SortFunc(hits, time.Time.Compare)
		for i, at := range hits {
			if !up.hit(at) {
				t.Errorf("%s: hit %d at %v was refused by a bucket of %.2f; want none", name, i, at.Sub(start), size)
				break
			}
		}
	}
}
