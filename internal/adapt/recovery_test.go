package adapt_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"nimsidecar/internal/adapt"
	"nimsidecar/internal/mock/limiter"
)

// The contract: no state is for good. Its known exception is an hour that was met twice with the same figure and was false all the same: of
// these adversaries, one brings that about. More must not.
func TestEveryStateIsLeftWithinAPeriod(t *testing.T) {
	const runs, exceptions = 40, 1
	bad := 0
	for seed := range uint64(runs) {
		if rate, story := freed(t, seed, script(seed)); rate < 0.97*39 {
			if bad++; bad > exceptions {
				t.Errorf("seed %d: %.1f a minute are accepted in the end; want at least 38: %s", seed, rate, story)
			}
		}
	}
	if bad > exceptions {
		t.Errorf("so it is after %d of %d adversaries; want at most %d", bad, runs, exceptions)
	}
}

// Two outages that end with our hour confirm each other only if about the same was accepted before them.
func TestTwoDifferentOutagesConfirmNothing(t *testing.T) {
	truth := limited(t, limiter.Sliding, "40-M", 0)
	w := newWorld(t, hinted(), truth)
	for _, part := range []struct {
		up  upstream
		min time.Duration
	}{{truth, 70}, {refuses, 20}, {truth, 33}, {refuses, 56}, {truth, 120}} {
		w.up = part.up
		w.run(part.min * time.Minute)
	}
	if got := w.rate(time.Hour); got < 0.97*39 {
		t.Errorf("two hours after the second outage %.1f a minute are accepted, the hour's ceiling being %d; want 39", got, w.law.Long(adapt.Hour, false))
	}
}

// A limit below a quarter of the ceiling refuses beside an "empty" window, so that an hour is suspected. That it is over long before its end,
// and then again, shows that it is the window after all.
func TestADeepStepDownIsFound(t *testing.T) {
	for _, kind := range []limiter.Kind{limiter.Sliding, limiter.FirstHit} {
		for _, step := range [][2]int{{80, 15}, {120, 15}, {160, 15}, {600, 100}} {
			from, to := step[0], step[1]
			w := newWorld(t, adapt.Terms{Start: from, Most: 4 * from}, limited(t, kind, fmt.Sprint(from, "-M"), 0))
			w.run(20 * time.Minute)
			w.up = limited(t, kind, fmt.Sprint(to, "-M"), 0)
			refused := w.refused
			w.run(20 * time.Minute)
			if got, rate := w.refused-refused, w.rate(10*time.Minute); got > 25 || rate < 0.93*float64(to) {
				t.Errorf("%s: twenty minutes after a step from %d to %d, %d were refused, %.1f a minute are accepted, %v at %d; want at most 25, and %d",
					kind, from, to, got, rate, w.law.State(), w.law.Ceiling(), to)
			}
		}
	}
}

// Nor is a ceiling of 2 too small to be looked beyond.
func TestATinyLimitIsFoundAgainWithinAnHour(t *testing.T) {
	bad := 0
	for seed := range uint64(20) {
		truth := limited(t, limiter.Sliding, "3-M", 0)
		w := newWorld(t, adapt.Terms{Start: 3, Most: 12, Seed: seed}, truth)
		w.run(20 * time.Minute)
		w.play(script(seed + 1000))
		w.up = limited(t, limiter.Sliding, "3-M", 0)
		w.run(2 * time.Hour)
		if got := w.rate(30 * time.Minute); got < 0.9*2.95 && w.law.Long(adapt.Hour, false) == adapt.Unknown {
			bad++
		}
	}
	if bad > 0 {
		t.Errorf("two hours after %d of 20 adversaries a limit of 3 a minute is not used; want it found again within one", bad)
	}
}

// A client may make up models as it likes: each must cost little.
func TestAScopeOfWhichNothingIsKnownIsSmall(t *testing.T) {
	const laws = 100
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before) // no other test runs beside one that is not parallel
	for range laws {
		l := adapt.New(adapt.Terms{Period: time.Minute})
		l.Accepted(start, l.Sent(start, adapt.Load{}))
	}
	runtime.ReadMemStats(&after)
	if got := (after.TotalAlloc - before.TotalAlloc) / laws; got > 16<<10 {
		t.Errorf("a law and its first attempt take %d bytes; want at most 16 KiB", got)
	}
}
