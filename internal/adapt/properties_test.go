package adapt_test

import (
	"fmt"
	"testing"
	"time"

	"nimsidecar/internal/adapt"
	"nimsidecar/internal/mock/limiter"
)

// budget is the share of attempts that may be refused in the long run against a limit that stands still.
const budget = 0.006

// allTerms are the ways to begin.
func allTerms() map[string]adapt.Terms {
	return map[string]adapt.Terms{
		"a hint":           hinted(),
		"a promise":        {Start: 40, Most: 40},
		"nothing":          {},
		"only a bound":     {Most: 25},
		"NVIDIA's burst":   {Start: 40, Most: 160, Share: 0.5},
		"a fixed burst":    {Start: 40, Most: 160, Burst: 12},
		"one a minute":     {Start: 1, Most: 4},
		"many":             {Start: 600, Most: 2400, Share: 0.5},
		"seconds":          {Period: time.Second, Start: 5, Most: 20},
		"an hour is told":  {Start: 40, Most: 160, Long: [adapt.LongCount]adapt.Told{{N: 300, Most: 1200}}},
		"a day is told":    {Start: 40, Most: 160, Long: [adapt.LongCount]adapt.Told{adapt.Day: {N: 2000, Most: 2000}}},
		"only an hour is":  {Long: [adapt.LongCount]adapt.Told{{N: 90}}},
		"more than it may": {Start: 90, Most: 40},
	}
}

// adversary lets a script play against a law with the given terms; world checks its bounds after every step.
func adversary(tb testing.TB, terms adapt.Terms, seed uint64, script []byte) *world {
	terms.Seed = seed
	w := newWorld(tb, terms, serves)
	w.run(2 * time.Minute)
	w.play(script)
	w.run(5 * time.Minute)
	return w
}

func TestNoAdversaryBreaksABound(t *testing.T) {
	t.Parallel()
	for name, terms := range allTerms() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(3) {
				adversary(t, terms, seed, script(seed))
			}
		})
	}
}

func TestTheSameTraceLeadsToTheSameDecisions(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		a, b := adversary(t, hinted(), seed, script(seed)), adversary(t, hinted(), seed, script(seed))
		if a.digest != b.digest || a.sends != b.sends {
			t.Errorf("seed %d: two runs of the same script sent %d and %d, digests %x and %x; want the same", seed, a.sends, b.sends, a.digest, b.digest)
		}
	}
}

// Against a limit that stands still no more than the budget is refused, but for a constant, and 96 % of the limit is used, however it
// is counted.
func TestRefusalsKeepToTheBudget(t *testing.T) {
	t.Parallel()
	for _, kind := range []limiter.Kind{limiter.FirstHit, limiter.Sliding, limiter.SlidingRefusals, limiter.Minute, limiter.Bucket} {
		for _, n := range []int{10, 15, 25, 40, 90, 120} {
			t.Run(fmt.Sprint(kind, " ", n), func(t *testing.T) {
				t.Parallel()
				for seed := range uint64(3) {
					w := newWorld(t, adapt.Terms{Start: n, Most: 4 * n, Seed: seed}, limited(t, kind, fmt.Sprint(n, "-M"), 10))
					w.now = w.now.Add(time.Duration(seed) * 17 * time.Second)
					w.run(20 * time.Minute)
					got := w.rate(3 * time.Hour)
					if most := budget*float64(w.sends) + 15; float64(w.refused) > most {
						t.Errorf("seed %d: %d of %d attempts were refused; want at most %.0f", seed, w.refused, w.sends, most)
					}
					if got < 0.96*float64(n) {
						t.Errorf("seed %d: %.1f a minute are accepted; want 96 %% of %d", seed, got, n)
					}
				}
			})
		}
	}
}

// In seconds, with jitter of a tenth of the window, the budget is not to be held; this much is.
func TestALimitOfSecondsIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, adapt.Terms{Period: time.Second, Start: 5, Most: 20}, limited(t, limiter.Sliding, "5-S", 0))
	w.run(20 * time.Minute)
	refused, sends := w.refused, w.sends
	got := w.rate(20*time.Minute) / 60
	if refused, sends = w.refused-refused, w.sends-sends; got < 3.5 || float64(refused) > 0.03*float64(sends) {
		t.Errorf("of 5 a second %.2f are used and %d of %d refused; want 3.5 and at most 3 %%", got, refused, sends)
	}
}

// FuzzLaw looks for a script that breaks a bound, or for a state that the law does not leave.
func FuzzLaw(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, script(seed))
	}
	f.Fuzz(func(t *testing.T, seed uint64, script []byte) {
		script = script[:min(len(script), 40)] // long enough
		terms := allTerms()
		names := []string{"a hint", "a promise", "nothing", "NVIDIA's burst", "one a minute", "an hour is told"}
		adversary(t, terms[names[seed%uint64(len(names))]], seed, script)
	})
}
