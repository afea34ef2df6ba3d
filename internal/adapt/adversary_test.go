package adapt_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"nimsidecar/internal/adapt"
	"nimsidecar/internal/mock/limiter"
)

// trick is one way in which an upstream, or the work, may behave for a while; n is a figure between 1 and 64 that it may use.
type trick struct {
	name string
	play func(w *world, n int, rng *rand.Rand) upstream // nil: nothing is sent
}

func tricks() []trick {
	kind := func(k limiter.Kind, unit string) func(*world, int, *rand.Rand) upstream {
		return func(w *world, n int, rng *rand.Rand) upstream {
			return limited(w.tb, k, fmt.Sprint(n, unit), 1+rng.IntN(6))
		}
	}
	return []trick{
		{"serves", func(*world, int, *rand.Rand) upstream { return serves }},
		{"refuses", func(*world, int, *rand.Rand) upstream { return refuses }},
		{"refuses by chance", func(_ *world, n int, rng *rand.Rand) upstream {
			return func(time.Time) answer {
				if rng.IntN(64) < n {
					return answer{verdict: refused}
				}
				return answer{verdict: accepted}
			}
		}},
		{"refuses each n-th", func(_ *world, n int, _ *rand.Rand) upstream { return every(1 + n/4) }},
		{"refuses and asks to wait", func(_ *world, n int, _ *rand.Rand) upstream {
			return func(time.Time) answer { return answer{verdict: refused, wait: time.Duration(n) * time.Second} }
		}},
		{"takes a few canaries", func(_ *world, n int, _ *rand.Rand) upstream { // more than leak, fewer than prove anything, and then none
			i := 0
			return func(time.Time) answer {
				if i++; i%(n/4+6) < n/8 {
					return answer{verdict: accepted}
				}
				return answer{verdict: refused}
			}
		}},
		{"is out of order", func(*world, int, *rand.Rand) upstream {
			return func(time.Time) answer { return answer{verdict: void} }
		}},
		{"lies at random", func(_ *world, _ int, rng *rand.Rand) upstream {
			return func(time.Time) answer { return answer{verdict: verdict(rng.IntN(3))} }
		}},
		{"slides", kind(limiter.Sliding, "-M")},
		{"counts from the first hit", kind(limiter.FirstHit, "-M")},
		{"counts by the clock", kind(limiter.Minute, "-M")},
		{"is a bucket", kind(limiter.Bucket, "-M")},
		{"has an hour", kind(limiter.FirstHit, "-H")},
		{"idles", func(*world, int, *rand.Rand) upstream { return nil }},
	}
}

// play lets an adversary, written in bytes, have his way with the world, and returns what he did. Two bytes are one trick: which, how
// long, with which figure.
func (w *world) play(script []byte) (story string) {
	rng := rand.New(rand.NewPCG(uint64(len(script)), 11))
	all := tricks()
	for ; len(script) >= 2; script = script[2:] {
		t := all[int(script[0])%len(all)]
		length := time.Duration(1+int(script[1])/8) * 30 * time.Second
		n := 1 + (int(script[0])*31+int(script[1]))%64
		up := t.play(w, n, rng)
		if w.idle = up == nil; !w.idle {
			w.up = up
		}
		w.run(length)
		story += fmt.Sprintf("%s (%d) %v; ", t.name, n, length)
	}
	w.idle = false
	return story
}

// script returns a random one.
func script(seed uint64) []byte {
	rng := rand.New(rand.NewPCG(seed, 13))
	b := make([]byte, 2*(1+rng.IntN(10)))
	for i := range b {
		b[i] = byte(rng.IntN(256))
	}
	return b
}

// known is what the law has learned before an adversary comes: 40 a minute of an upstream that slides.
func known(tb testing.TB, seed uint64) (w *world, truth upstream) {
	truth = limited(tb, limiter.Sliding, "40-M", 0)
	w = newWorld(tb, adapt.Terms{Start: 40, Most: 160, Seed: seed}, truth)
	w.run(20 * time.Minute)
	return w, truth
}

// freed lets an adversary play, and then the upstream be permissive for as long as the longest window that is suspected. It returns what
// is accepted a minute after that.
func freed(tb testing.TB, seed uint64, script []byte) (rate float64, story string) {
	w, truth := known(tb, seed)
	story = w.play(script)
	grace := time.Hour
	v := w.law.View()
	if v.Suspect > grace {
		grace = v.Suspect
	}
	if v.Suspect > 0 || v.Long[adapt.Hour] != adapt.Unknown {
		grace += time.Hour
	}
	w.up = serves
	if seed%2 == 0 {
		w.up = truth
	}
	before := fmt.Sprintf("%+v", w.law.View())
	w.run(grace)
	return w.rate(30 * time.Minute), fmt.Sprintf("%safter which %s and %v later %+v", story, before, grace, w.law.View())
}
