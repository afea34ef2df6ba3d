package adapt_test

import (
	"math"
	"testing"
	"time"

	"nimsidecar/internal/adapt"
	"nimsidecar/internal/mock/limiter"
)

// Each test here is a state that an earlier version of the law did not leave, or a bound that it broke.

// An outage that is over when our hour ends looks like an exhausted hour.
func TestAnOutageIsNotLearnedAsAnHourLimit(t *testing.T) {
	t.Parallel()
	truth := limited(t, limiter.Sliding, "40-M", 0)
	w := newWorld(t, adapt.Terms{Start: 40, Most: 160}, truth)
	w.run(70 * time.Minute)
	w.up = refuses
	w.run(20 * time.Minute)
	w.up = truth
	w.run(time.Hour)
	if got := w.rate(2 * time.Hour); got < 0.97*39 {
		t.Errorf("an hour after an outage of 20 minutes %.1f a minute are accepted, the hour's ceiling being %d; want 39", got, w.law.Long(adapt.Hour, false))
	}
}

// Who takes over in the middle of an hour must know what was accepted in it, or it learns too small an hour when that is exhausted.
func TestAnHourThatARestartCutIsNotLearnedTooSmall(t *testing.T) {
	t.Parallel()
	w := newWorld(t, adapt.Terms{Start: 40, Most: 160}, limited(t, limiter.FirstHit, "40-M,1000-H", 0))
	w.run(5 * time.Minute)
	saved, version := w.law.Remember(), w.law.Version()
	for w.age() < 20*time.Minute {
		w.run(time.Second)
		if v := w.law.Version(); v != version {
			saved, version = w.law.Remember(), v
		}
	}
	w.law, w.air = adapt.New(adapt.Terms{Period: time.Minute, Margin: 500 * time.Millisecond, Start: 40, Most: 160}), nil
	w.law.Restore(w.now, saved)
	w.run(2 * time.Hour)
	if got := w.law.Long(adapt.Hour, false); got < 970 {
		t.Errorf("after a restart in the middle of the first hour its ceiling is learned as %d; want at least 970 or none", got)
	}
}

// RECOVER probes for free and climbs to the ceiling of before: that must not go round for ever.
func TestRecoverEndsThoughNothingIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, adapt.Terms{Start: 10, Most: 40}, limited(t, limiter.Sliding, "10-M", 0))
	w.run(20 * time.Minute)
	w.up = refuses
	for w.law.State() != adapt.Retreat {
		w.run(time.Second)
	}
	w.up = serves
	w.run(time.Hour)
	if w.law.State() != adapt.Normal || w.law.Ceiling() < 39 {
		t.Errorf("an hour after the upstream takes everything: %v at %d; want NORMAL at 40", w.law.State(), w.law.Ceiling())
	}
}

// On the clock's minute a ceiling above the limit may be confirmed: then each window began with a probe that RECOVER gave away, was refused,
// retreated, and came back to the same ceiling.
func TestRecoverDoesNotProbeForEverWithoutCredit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, adapt.Terms{Start: 40, Most: 160, Seed: 1}, limited(t, limiter.Minute, "40-M", 0))
	w.run(30 * time.Minute)
	sends, refused := w.sends, w.refused
	w.run(3 * time.Hour)
	sends, refused = w.sends-sends, w.refused-refused
	if most := int(0.006*float64(sends)) + 10; refused > most {
		t.Errorf("%d of %d attempts were refused in a steady state, the ceiling being %d; want at most %d", refused, sends, w.law.Ceiling(), most)
	}
}

// Credit is earned by attempts: at three a minute a probe that is paid for may be three hours away.
func TestALowCeilingIsLeftWithinAnHour(t *testing.T) {
	t.Parallel()
	for _, n := range []int{3, 4, 6, 8, 12} {
		truth := limited(t, limiter.Sliding, "40-M", 0)
		w := newWorld(t, adapt.Terms{Start: 40, Most: 160}, truth)
		w.run(30 * time.Minute)
		w.up = every(n)
		w.run(20 * time.Minute)
		low := w.law.Ceiling()
		w.up = truth
		w.run(time.Hour)
		if got := w.rate(20 * time.Minute); got < 0.97*39 {
			t.Errorf("when each %d. was refused for 20 minutes the ceiling fell to %d; an hour later %.1f a minute are accepted; want 39", n, low, got)
		}
	}
}

// At a ceiling of one the window is empty whenever an attempt leaves, but a trial needs a full one.
func TestACeilingOfOneIsLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t, adapt.Terms{Start: 40, Most: 160}, limited(t, limiter.Sliding, "40-M", 0))
	w.run(30 * time.Minute)
	w.up = limited(t, limiter.Sliding, "1-M", 0)
	w.run(3 * time.Hour)
	w.up = serves
	w.run(6 * time.Hour)
	if got := w.law.Ceiling(); got < 40 {
		t.Errorf("six hours after a limit of one a minute was lifted the ceiling is %d, %d probes having been idle; want 160", got, w.law.View().Probes.Idle)
	}
}

// With a burst of one no two are ever close together, so it must grow without that proof.
func TestABurstOfOneGrowsAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t, adapt.Terms{Start: 40, Most: 40})
	d.settle(40)
	for d.Burst() > 1 {
		d.accept(5)
		d.pass(10 * time.Millisecond)
		d.refuse(6) // too close, in a window nearly empty
		d.pass(10 * time.Minute)
		d.accept(0)
	}
	for range 48 * 12 {
		d.pass(5 * time.Minute)
		for used := range 10 {
			d.Held(d.now, false)
			d.accept(used)
			if used+1 >= d.Burst() { // as the burst demands
				d.pass(d.Interval())
			}
		}
	}
	if got := d.Burst(); got < 4 {
		t.Errorf("after two days in which all was accepted, and pacing alone held it back, the burst is %d; want 4 again", got)
	}
}

// The trial of the minute may be out when the refusal of an hour's trial begins another epoch, so that its success is no news.
func TestATrialIsFreedByAnyVerdict(t *testing.T) {
	t.Parallel()
	d := newDesk(t, adapt.Terms{Start: 40, Most: 160, Long: [adapt.LongCount]adapt.Told{{N: 100, Most: 400}}})
	d.settle(40)
	load := func(window, hour int) adapt.Load { return adapt.Load{Window: window, Long: [adapt.LongCount]int{hour}} }
	tick := func() int { // one attempt that is accepted, while work waits for both windows
		d.Held(d.now, true)
		d.HeldLong(d.now, adapt.Hour)
		d.pass(1500 * time.Millisecond)
		d.Accepted(d.now, d.Sent(d.now, load(38, 99)))
		return d.Cap(true)
	}
	for i := 0; d.Cap(true) != 41 || d.Long(adapt.Hour, true) != 101; i++ {
		if tick(); i > 4000 {
			t.Fatal("the two probes never came together")
		}
	}
	minute, hour := d.Sent(d.now, load(40, 99)), d.Sent(d.now, load(38, 100))
	d.Refused(d.now, hour, 0)
	d.Accepted(d.now, minute)
	raised := 0
	for range 4000 {
		raised = max(raised, tick())
	}
	if raised == 40 {
		t.Errorf("for %v the law has been probing (%t) and let nothing beyond 40; want another trial", 6000*time.Second, d.Probing())
	}
}

// An upstream that always asks for a second must not be asked every second.
func TestPausesGrowThoughTheUpstreamAsksForShortOnes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, adapt.Terms{Start: 40, Most: 40}, serves)
	w.run(5 * time.Minute)
	w.up = func(time.Time) answer { return answer{verdict: refused, wait: time.Second} }
	w.run(5 * time.Minute)
	if w.worstRow > 20 {
		t.Errorf("%d in a row were refused within 5 minutes; want the pauses to grow", w.worstRow)
	}
}

func TestThePromiseHoldsFromTheStart(t *testing.T) {
	t.Parallel()
	l := adapt.New(adapt.Terms{Period: time.Minute, Start: 50, Most: 40})
	if got := l.Ceiling(); got != 40 {
		t.Errorf("New with Start 50 and Most 40: Ceiling() = %d; want 40", got)
	}
}

func TestWhatIsRestoredIsNotTrusted(t *testing.T) {
	t.Parallel()
	now := start
	for name, m := range map[string]adapt.Memory{
		"credit": {Ceiling: 40, Credit: math.NaN()},
		"strain": {Ceiling: 40, Strict: true, Burst: 1, Strain: math.NaN()},
	} {
		l := adapt.New(adapt.Terms{Period: time.Minute, Start: 40, Most: 160})
		l.Restore(now, m)
		if v := l.View(); math.IsNaN(v.Credit) || math.IsNaN(v.Strain) || l.Interval() < 0 {
			t.Errorf("%s NaN: View() = %+v, Interval() = %v; want figures", name, v, l.Interval())
		}
	}
	l := adapt.New(adapt.Terms{Period: time.Minute, Margin: time.Second, Start: 40, Most: 160})
	l.Restore(now, adapt.Memory{Ceiling: 40, State: adapt.Retreat, Long: [adapt.LongCount]adapt.Spell{{Start: now.Add(-59 * time.Minute)}}, Retreat: &adapt.Retreating{
		Since: now.Add(-50 * time.Minute), Before: 40, Peak: 40, Closed: true, Refused: 5, Accepted: [adapt.LongCount]int{-1000, -1000},
	}})
	for range 20 {
		now = now.Add(5 * time.Minute)
		l.Advance(now, true)
		l.Accepted(now, l.Sent(now, adapt.Load{}))
	}
	if got := l.Long(adapt.Hour, false); got < 2 {
		t.Errorf("a count of −1000 in what is restored made the hour's ceiling %d; want it ignored", got)
	}
}

// What was told, or learned before, comes back when a doubt is disproved.
func TestAnOutageDoesNotShrinkAKnownHour(t *testing.T) {
	t.Parallel()
	terms := hinted()
	terms.Long[adapt.Hour] = adapt.Told{N: 1000, Most: 4000}
	truth := limited(t, limiter.Sliding, "40-M,1000-H", 0)
	w := newWorld(t, terms, truth)
	w.run(65 * time.Minute)
	w.up = refuses
	w.run(53 * time.Minute)
	w.up = truth
	w.run(2 * time.Hour)
	if got := w.law.Long(adapt.Hour, false); got < 970 {
		t.Errorf("two hours after an outage the hour's ceiling, told as 1000, is %d; want 1000", got)
	}
}

// The refusals of the minute's own probes neither confirm a doubtful hour nor keep it from being disproved.
func TestADoubtfulHourIsDisproved(t *testing.T) {
	t.Parallel()
	bad, runs := 0, 0
	for at := 64; at < 110; at += 5 {
		for seed := range uint64(2) {
			truth := limited(t, limiter.Sliding, "40-M", 0)
			terms := hinted()
			terms.Seed = seed
			w := newWorld(t, terms, truth)
			w.run(time.Duration(at) * time.Minute)
			w.up = refuses
			w.run(time.Duration(118-at) * time.Minute)
			w.up = truth
			w.run(2 * time.Hour)
			runs++
			if got := w.rate(time.Hour); got < 0.97*39 {
				if bad++; bad == 1 {
					t.Errorf("two hours after an outage that began at %d min (seed %d) %.1f a minute are accepted, the hour's ceiling being %d; want 39",
						at, seed, got, w.law.Long(adapt.Hour, false))
				}
			}
		}
	}
	if bad > 0 {
		t.Errorf("so it is in %d of %d runs", bad, runs)
	}
}

func TestADoubtSurvivesARestart(t *testing.T) {
	t.Parallel()
	truth := limited(t, limiter.Sliding, "40-M", 0)
	w := newWorld(t, hinted(), truth)
	w.run(70 * time.Minute)
	w.up = refuses
	w.run(20 * time.Minute)
	w.up = truth
	for w.law.Long(adapt.Hour, false) == adapt.Unknown && w.age() < 3*time.Hour {
		w.run(100 * time.Millisecond)
	}
	if w.age() >= 3*time.Hour {
		return // nothing was mistaken, so there is nothing to doubt
	}
	w.restart(hinted(), w.law.Remember())
	w.run(time.Hour)
	if got := w.rate(time.Hour); got < 0.97*39 {
		t.Errorf("after a restart in doubt %.1f a minute are accepted, the hour's ceiling being %d; want 39", got, w.law.Long(adapt.Hour, false))
	}
}

// What was once confirmed, which makes probes from far below it free, must be remembered.
func TestALowCeilingIsLeftAfterARestart(t *testing.T) {
	t.Parallel()
	truth := limited(t, limiter.Sliding, "40-M", 0)
	w := newWorld(t, hinted(), truth)
	w.run(30 * time.Minute)
	w.up = every(4)
	w.run(20 * time.Minute)
	low := w.law.Ceiling()
	w.restart(hinted(), w.law.Remember())
	w.up = truth
	w.run(time.Hour)
	if got := w.rate(20 * time.Minute); got < 0.97*39 {
		t.Errorf("an hour after a restart at a ceiling of %d %.1f a minute are accepted; want 39", low, got)
	}
}

func TestTheUpstreamsWordEndsADoubt(t *testing.T) {
	t.Parallel()
	truth := limited(t, limiter.FirstHit, "40-M,1000-H", 0)
	w := newWorld(t, hinted(), truth)
	for w.law.Long(adapt.Hour, false) == adapt.Unknown && w.age() < 3*time.Hour {
		w.run(time.Second)
	}
	w.law.Adopt(w.now, time.Hour, 1000)
	if got := w.law.Long(adapt.Hour, false); got != 1000 {
		t.Errorf("told 1000 an hour by a header, Long = %d; want 1000", got)
	}
}

func TestTheUpstreamsWordEndsAClimb(t *testing.T) {
	t.Parallel()
	d := retreated(t, 38)
	d.ready()
	d.accept(d.Cap(true) - 1)
	d.Adopt(d.now, time.Minute, 20)
	if got := d.Cap(true); got > 20 {
		t.Errorf("told 20 by a header in %v, Cap = %d; want 20", d.View().Phase, got)
	}
}
