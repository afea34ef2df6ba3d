package adapt_test

import (
	"testing"
	"time"

	"nimsidecar/internal/adapt"
	"nimsidecar/internal/mock/limiter"
)

// leaking is an upstream that checks asynchronously, on so many pods: each lets one attempt through that is over the limit, and is then
// strict until a minute after its last refusal.
func leaking(up upstream, pods int) upstream {
	strict := make([]time.Time, pods)
	next := 0
	return func(at time.Time) answer {
		a := up(at)
		pod := next % pods
		next++
		if a.verdict != refused {
			return a
		}
		leaks := at.After(strict[pod])
		strict[pod] = at.Add(time.Minute)
		if leaks {
			return answer{verdict: accepted}
		}
		return a
	}
}

func TestAnHourIsLearnedWhenItIsExhausted(t *testing.T) {
	t.Parallel()
	for name, up := range map[string]func() upstream{
		"checked at once":   func() upstream { return limited(t, limiter.FirstHit, "40-M,1000-H", 0) },
		"leaks in one pod":  func() upstream { return leaking(limited(t, limiter.FirstHit, "40-M,1000-H", 0), 1) },
		"leaks in four":     func() upstream { return leaking(limited(t, limiter.FirstHit, "40-M,1000-H", 0), 4) },
		"slides":            func() upstream { return limited(t, limiter.Sliding, "40-M,1000-H", 0) },
		"counts by a clock": func() upstream { return limited(t, limiter.Minute, "40-M,1000-H", 0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, hinted(), up())
			w.run(65 * time.Minute)
			w.run(65 * time.Minute)
			if got := w.law.Long(adapt.Hour, false); name != "counts by a clock" && (got < 960 || got > 1040) { // in doubt it holds some more
				t.Errorf("after its first hour the law knows %d of 1000 an hour", got)
			}
			if got := w.law.Long(adapt.Day, false); got != adapt.Unknown {
				t.Errorf("the day's ceiling is %d; want none", got)
			}
			sends, refused := w.sends, w.refused
			got := w.rate(6*time.Hour) * 60
			if got < 0.96*1000 {
				t.Errorf("from then on %.0f an hour are accepted; want nearly 1000", got)
			}
			if sends, refused = w.sends-sends, w.refused-refused; 100*refused > sends {
				t.Errorf("%d of %d are refused; want at most 1 %%", refused, sends)
			}
			if w.worstRow > 6 {
				t.Errorf("%d were refused in a row; want at most 6", w.worstRow)
			}
			if w.law.Ceiling() < 30 {
				t.Errorf("the minute's ceiling is %d; want it left alone", w.law.Ceiling())
			}
		})
	}
}

func TestATinyHourIsLearned(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hinted(), limited(t, limiter.FirstHit, "40-M,30-H", 0))
	w.run(3 * time.Hour)
	if got := w.law.Long(adapt.Hour, false); got < 25 || got > 31 {
		t.Errorf("after three hours of 30-H the law knows %d an hour", got)
	}
	refused := w.refused
	if got := w.rate(6*time.Hour) * 60; got < 26 || w.refused-refused > 12 {
		t.Errorf("%.0f an hour are accepted and %d in six hours refused; want nearly 30 and at most 12", got, w.refused-refused)
	}
}

func TestADayIsLearnedAfterAnHourHasExplainedNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hinted(), limited(t, limiter.FirstHit, "40-M,5000-D", 0))
	w.run(5 * time.Hour)
	if v := w.law.View(); v.State != adapt.Retreat || v.Suspect != 24*time.Hour {
		t.Errorf("five hours after a day of 5000 began: %v, suspects %v; want RETREAT because of the day", v.State, v.Suspect)
	}
	w.run(22 * time.Hour)
	day, hour := w.law.Long(adapt.Day, false), w.law.Long(adapt.Hour, false)
	if day < 4800 || day > 5050 || hour != adapt.Unknown {
		t.Errorf("after the day has ended the law knows %d a day and %d an hour; want 5000 and none", day, hour)
	}
}

func TestAnHourThatIsToldHolds(t *testing.T) {
	t.Parallel()
	terms := hinted()
	terms.Long[adapt.Hour] = adapt.Told{N: 600, Most: 600}
	w := newWorld(t, terms, serves)
	for range 12 {
		w.run(20 * time.Minute)
		if got := w.load().Long[adapt.Hour]; got > 600 {
			t.Fatalf("after %v the last hour holds %d; want at most 600 as was promised", w.age(), got)
		}
	}
	if got := w.law.Long(adapt.Hour, true); got != 600 {
		t.Errorf("four hours later the hour's ceiling is %d; want 600", got)
	}
}

func TestAnHourThatIsOnlyAHintIsProbedOnceAPeriod(t *testing.T) {
	t.Parallel()
	terms := adapt.Terms{Start: 40, Most: 40}
	terms.Long[adapt.Hour] = adapt.Told{N: 600, Most: 2400}
	w := newWorld(t, terms, serves)
	last, steps := 600, 0
	for range 8 * 60 {
		w.run(time.Minute)
		if got := w.law.Long(adapt.Hour, false); got != last {
			if most := last + max(1, last<<(2*max(0, steps-1))/200); got < last || got > most {
				t.Fatalf("after %v the hour's ceiling went from %d to %d; want a step up to %d at most", w.age(), last, got, most)
			}
			last, steps = got, steps+1
		}
	}
	if steps < 3 || steps > 16 {
		t.Errorf("in eight hours in which all was accepted the hour's ceiling was raised %d times, to %d; want about once an hour", steps, last)
	}
}

func TestARefusedProbeOfTheHourLeavesTheMinuteAlone(t *testing.T) {
	t.Parallel()
	terms := adapt.Terms{Start: 40, Most: 40}
	terms.Long[adapt.Hour] = adapt.Told{N: 600, Most: 2400}
	w := newWorld(t, terms, limited(t, limiter.Sliding, "40-M,600-H", 0))
	w.run(8 * time.Hour)
	if got := w.law.Long(adapt.Hour, false); got < 595 || got > 606 {
		t.Errorf("after eight hours of 600-H the hour's ceiling is %d; want 600", got)
	}
	if w.law.Ceiling() != 40 || len(w.changes) != 0 || w.refused > 20 {
		t.Errorf("probing the hour cost %d refusals, left the minute at %d and made %+v; want few, 40, none", w.refused, w.law.Ceiling(), w.changes)
	}
}

func TestAVoidTrialOfTheHourIsMadeAgain(t *testing.T) {
	t.Parallel()
	terms := hinted()
	terms.Long[adapt.Hour] = adapt.Told{N: 100, Most: 400}
	d := newDesk(t, terms)
	d.settle(40)
	for i := 0; d.Long(adapt.Hour, true) != 101; i++ {
		d.HeldLong(d.now, adapt.Hour)
		d.pass(5 * time.Second)
		d.accept(0)
		if i > 1000 {
			t.Fatal("the hour is not probed although work has waited for it for more than an hour")
		}
	}
	load := adapt.Load{Long: [adapt.LongCount]int{100}}
	trial := d.Sent(d.now, load)
	if got := d.Long(adapt.Hour, true); got != 100 {
		t.Errorf("with the hour's trial out Long = %d; want 100", got)
	}
	d.Void(d.now, trial)
	if got := d.Long(adapt.Hour, true); got != 101 {
		t.Errorf("after it ended in a fault Long = %d; want 101 again", got)
	}
	d.Accepted(d.now, d.Sent(d.now, load))
	if got := d.Long(adapt.Hour, false); got != 101 {
		t.Errorf("after the next was accepted Long = %d; want 101 for all", got)
	}
}
