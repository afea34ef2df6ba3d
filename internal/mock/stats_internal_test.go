package mock

import (
	"math/rand/v2"
	"testing"
	"time"
)

// fullest counts the hits in the window that begins at each of them, in the plainest way.
func fullest(times []time.Time, period time.Duration) (most int) {
	for _, from := range times {
		n := 0
		for _, at := range times {
			if d := at.Sub(from); d >= 0 && d < period {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

func TestTallyFindsTheFullestWindow(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var tl tally
		tl.watch(time.Second)
		tl.watch(time.Minute)
		now := time.Unix(0, 0)
		var times []time.Time
		for range 400 {
			now = now.Add(time.Duration(rng.IntN(4)) * time.Duration(rng.IntN(3)) * 250 * time.Millisecond)
			tl.add(now)
			times = append(times, now)
		}
		for i, period := range []time.Duration{time.Second, time.Minute} {
			if got, want := tl.windows[i].most, fullest(times, period); got != want {
				t.Errorf("seed %d: the fullest %v holds %d; want %d", seed, period, got, want)
			}
		}
		if most := 2*tl.windows[1].most + 2; len(tl.times) > most {
			t.Errorf("seed %d: %d times kept; want at most %d, twice the fullest minute", seed, len(tl.times), most)
		}
	}
}

func TestTallyWatchedLateCountsFromThen(t *testing.T) {
	t.Parallel()
	var tl tally
	now := time.Unix(0, 0)
	tl.add(now) // nothing is watched: nothing is kept
	tl.watch(time.Second)
	for range 3 {
		tl.add(now)
	}
	tl.watch(time.Minute)
	tl.add(now)
	if got := tl.windows[0].most; got != 4 {
		t.Errorf("the window watched first holds %d; want 4", got)
	}
	if got := tl.windows[1].most; got != 1 {
		t.Errorf("the window watched last holds %d; want 1", got)
	}
}

func TestTallyIsBounded(t *testing.T) {
	t.Parallel()
	var tl tally
	tl.watch(time.Hour)
	now := time.Unix(0, 0)
	for range maxTally + 1000 {
		tl.add(now)
	}
	if got := tl.windows[0].most; got != maxTally {
		t.Errorf("a window that is too full counts %d; want %d", got, maxTally)
	}
	if got := len(tl.times); got > 2*maxTally {
		t.Errorf("%d times kept; want at most %d", got, 2*maxTally)
	}
}
