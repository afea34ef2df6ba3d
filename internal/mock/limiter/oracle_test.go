package limiter_test

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"nimsidecar/internal/mock/limiter"
)

// An event is one hit of a history: when it came and whether the limiter let it through.
type event struct {
	at time.Time
	ok bool
}

// oracles decide a hit from the whole history before it, in the slowest and plainest way, for one rate.
var oracles = map[limiter.Kind]func(past []event, now time.Time, r limiter.Rate, burst int) bool{
	limiter.FirstHit: func(past []event, now time.Time, r limiter.Rate, _ int) bool {
		var opened time.Time
		count := 0
		for _, e := range append(past, event{at: now}) {
			if count == 0 || e.at.Sub(opened) >= r.Period {
				opened, count = e.at, 0
			}
			count++
		}
		return count <= r.N
	},
	limiter.Minute: func(past []event, now time.Time, r limiter.Rate, _ int) bool {
		slot := func(at time.Time) int64 { return at.UnixNano() / int64(r.Period) }
		count := 0
		for _, e := range past {
			if slot(e.at) == slot(now) {
				count++
			}
		}
		return count < r.N
	},
	limiter.Sliding: func(past []event, now time.Time, r limiter.Rate, _ int) bool {
		return younger(past, now, r, func(e event) bool { return e.ok }) < r.N
	},
	limiter.SlidingRefusals: func(past []event, now time.Time, r limiter.Rate, _ int) bool {
		return younger(past, now, r, func(event) bool { return true }) < r.N
	},
	limiter.Bucket: func(past []event, now time.Time, r limiter.Rate, burst int) bool {
		full := new(big.Rat).SetInt64(int64(burst))
		if burst == 0 {
			full.SetInt64(int64(r.N))
		}
		tokens, one := new(big.Rat).Set(full), big.NewRat(1, 1)
		last := now
		for i, e := range append(past, event{at: now}) {
			if i > 0 {
				tokens.Add(tokens, new(big.Rat).Mul(big.NewRat(int64(r.N), int64(r.Period)), big.NewRat(int64(e.at.Sub(last)), 1)))
			}
			if tokens.Cmp(full) > 0 {
				tokens.Set(full)
			}
			if e.ok {
				tokens.Sub(tokens, one)
			}
			last = e.at
		}
		return tokens.Cmp(one) >= 0
	},
}

func younger(past []event, now time.Time, r limiter.Rate, counts func(event) bool) int {
	n := 0
	for _, e := range past {
		if counts(e) && now.Sub(e.at) < r.Period {
			n++
		}
	}
	return n
}

// judge sends hits after the given gaps and compares each verdict with the oracle's. Rates of a list must all agree; the
// oracles count a hit as passed only if it passed all of them.
func judge(t *testing.T, o limiter.Options, gaps []time.Duration) {
	t.Helper()
	l, err := limiter.New(o)
	if err != nil {
		t.Fatalf("New(%+v) failed: %v", o, err)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
	var past []event
	for i, gap := range gaps {
		now = now.Add(gap)
		want := true
		for _, r := range o.Rates {
			want = oracles[o.Kind](past, now, r, o.Burst) && want
		}
		state := l.State(now)
		got := l.Hit(now)
		if got != want {
			t.Fatalf("%+v: hit %d after %v = %v; want %v", o, i, gap, got, want)
		}
		if passes := state.Wait == 0; passes != got || (state.Left > 0) != got {
			t.Fatalf("%+v: State before hit %d = %+v; want Left and Wait to foretell %v", o, i, state, got)
		}
		past = append(past, event{now, got})
	}
}

func TestEveryKindAgreesWithItsOracle(t *testing.T) {
	t.Parallel()
	for kind := range oracles {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(12) {
				rng := rand.New(rand.NewPCG(seed, 7))
				rates := []limiter.Rate{{N: 1 + rng.IntN(6), Period: time.Second}}
				if seed%2 == 0 {
					rates = append(rates, limiter.Rate{N: 1 + rng.IntN(60), Period: time.Minute})
				}
				gaps := make([]time.Duration, 120)
				for i := range gaps {
					gaps[i] = randomGap(rng)
				}
				judge(t, limiter.Options{Kind: kind, Rates: rates, Burst: rng.IntN(4)}, gaps)
			}
		})
	}
}

// randomGap mixes bursts, moderate pauses, and whole periods, where the borders are.
func randomGap(rng *rand.Rand) time.Duration {
	switch rng.IntN(4) {
	case 0:
		return 0
	case 1:
		return time.Duration(rng.IntN(5)) * 250 * time.Millisecond
	case 2:
		return time.Second
	}
	return time.Duration(rng.Int64N(int64(1500 * time.Millisecond)))
}

func FuzzEveryKindAgreesWithItsOracle(f *testing.F) {
	f.Add(uint8(3), uint8(2), []byte("\x00\x00\x00\x04\x00\x01\xff"))
	f.Add(uint8(1), uint8(0), []byte("\x04\x04\x04\x04"))
	f.Fuzz(func(t *testing.T, n, burst uint8, gaps []byte) {
		if len(gaps) > 40 {
			gaps = gaps[:40]
		}
		steps := make([]time.Duration, len(gaps))
		for i, g := range gaps {
			steps[i] = time.Duration(g) * 250 * time.Millisecond
		}
		rates := []limiter.Rate{{N: 1 + int(n%8), Period: time.Second}, {N: 1 + int(n), Period: time.Minute}}
		for kind := range oracles {
			judge(t, limiter.Options{Kind: kind, Rates: rates, Burst: int(burst)}, steps)
		}
	})
}

// Example runs the table of the package comment.
func Example() {
	start := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	for _, kind := range []limiter.Kind{limiter.FirstHit, limiter.Minute, limiter.Sliding, limiter.SlidingRefusals, limiter.Bucket} {
		l, err := limiter.New(limiter.Options{Kind: kind, Rates: []limiter.Rate{{N: 40, Period: time.Minute}}, Burst: 10})
		if err != nil {
			fmt.Println(err)
			return
		}
		through := func(hits int, after time.Duration) (n int) {
			for range hits {
				if l.Hit(start.Add(after)) {
					n++
				}
			}
			return n
		}
		fmt.Println(kind, through(41, 30*time.Second), through(40, time.Minute), through(1, 90*time.Second))
	}
	// Output:
	// nvidia 40 0 1
	// minute 40 40 0
	// sliding 40 0 1
	// sliding-refusals 40 0 0
	// bucket 10 10 1
}
