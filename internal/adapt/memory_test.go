package adapt_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"nimsidecar/internal/adapt"
	"nimsidecar/internal/mock/limiter"

	"github.com/google/go-cmp/cmp"
)

// restart lets another process take over what was saved; what is in the air is lost, the log of charges is not.
func (w *world) restart(terms adapt.Terms, saved adapt.Memory) {
	w.tb.Helper()
	state, err := json.Marshal(saved)
	if err != nil {
		w.tb.Fatal(err)
	}
	var m adapt.Memory
	if err := json.Unmarshal(state, &m); err != nil {
		w.tb.Fatal(err)
	}
	terms.Period, terms.Margin = time.Minute, 500*time.Millisecond
	w.law, w.air = adapt.New(terms), nil
	w.canaries.out, w.canaries.passed = 0, 0
	w.law.Restore(w.now, m)
}

func TestARestartForgetsNothingThatWasLearned(t *testing.T) {
	t.Parallel()
	for name, up := range map[string]upstream{
		"a lower ceiling": limited(t, limiter.Sliding, "15-M", 0),
		"a higher one":    limited(t, limiter.Sliding, "100-M", 0),
		"a small bucket":  limited(t, limiter.Bucket, "40-M", 2),
		"an hour":         limited(t, limiter.FirstHit, "40-M,500-H", 0),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, hinted(), up)
			w.run(130 * time.Minute)
			before := w.law.View()
			w.restart(hinted(), w.law.Remember())
			after := w.law.View()
			ignore := cmp.FilterPath(func(p cmp.Path) bool { // what a process is doing, not what it knows
				return p.Last().String() == ".Phase" || p.Last().String() == ".Cap" || p.Last().String() == ".Probes"
			}, cmp.Ignore())
			if diff := cmp.Diff(before, after, ignore); diff != "" {
				t.Errorf("a restart changed what was known (-before +after):\n%s", diff)
			}
			sends, refused := w.sends, w.refused
			w.run(30 * time.Minute)
			if sends, refused = w.sends-sends, w.refused-refused; float64(refused) > 10+budget*float64(sends) {
				t.Errorf("%d of %d were refused in the half hour after the restart; want at most 10 more than the budget", refused, sends)
			}
		})
	}
}

func TestARestartInARetreatStaysInIt(t *testing.T) {
	t.Parallel()
	w, canaries := outage(t, 30*time.Minute)
	w.up = refuses
	if w.law.State() != adapt.Retreat || len(canaries) == 0 {
		t.Fatalf("after half an hour in which all was refused: %v", w.law.State())
	}
	at, _ := w.law.Ready(w.now)
	w.restart(hinted(), w.law.Remember())
	again, shut := w.law.Ready(w.now)
	if w.law.State() != adapt.Retreat || shut || !again.Equal(at) {
		t.Errorf("after a restart %v, ready in %v; want RETREAT and %v", w.law.State(), again.Sub(w.now), at.Sub(w.now))
	}
	refused := w.refused
	w.run(30 * time.Minute)
	if got := w.refused - refused; got > 3 {
		t.Errorf("%d were refused in the half hour after the restart; want at most 3", got)
	}
	w.up = serves
	w.run(2 * time.Hour)
	if w.law.State() != adapt.Normal || w.law.Ceiling() < 39 {
		t.Errorf("two hours after all is served again: %v at %d; want NORMAL at 40 or more", w.law.State(), w.law.Ceiling())
	}
}

// Whatever stands in a file, the law keeps to its terms and can be left again.
func TestWhatIsRestoredIsHeldToTheTerms(t *testing.T) {
	t.Parallel()
	far := start.AddDate(100, 0, 0)
	for name, m := range map[string]adapt.Memory{
		"nothing":          {},
		"too much":         {Ceiling: math.MaxInt, Credit: 1e300, Burst: math.MaxInt, Long: [adapt.LongCount]adapt.Spell{{Ceiling: math.MaxInt - 1, Accepted: math.MaxInt}}},
		"negative":         {Ceiling: -5, Credit: -1e300, Burst: -7, Strain: -3, Strict: true, Long: [adapt.LongCount]adapt.Spell{{Ceiling: -1, Accepted: -1}}},
		"no numbers":       {Ceiling: 40, Credit: math.NaN(), Burst: 1, Strict: true, Strain: math.NaN()},
		"strained for all": {Ceiling: 40, Burst: 1, Strict: true, Strain: math.Inf(1), Credit: math.Inf(-1)},
		"from the future": {
			Ceiling: 40, State: adapt.Retreat, Long: [adapt.LongCount]adapt.Spell{{Start: far}, {Start: far}},
			Retreat: &adapt.Retreating{Since: far, Until: far, Before: 40, Peak: 40, Closed: true, Level: 9, Refused: -1},
		},
		"from the past": {
			Ceiling: 40, State: adapt.Retreat, Retreat: &adapt.Retreating{Before: 40, Peak: 40, Closed: true, Level: -9, Refused: 9},
		},
		"of no known state": {Ceiling: 40, State: adapt.StateCount + 3, Retreat: &adapt.Retreating{}},
		"empty episode":     {Ceiling: 40, State: adapt.Recover, Retreat: &adapt.Retreating{}},
		"retreat, no limit": {State: adapt.Retreat, Retreat: &adapt.Retreating{Since: start, Before: 3}},
		"negative episode": {
			Ceiling: 40, State: adapt.Retreat,
			Retreat: &adapt.Retreating{Since: start, Before: -40, Peak: -40, Closed: true, Refused: 3, Accepted: [adapt.LongCount]int{-9, -9}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, hinted(), limited(t, limiter.Sliding, "40-M", 0))
			w.law.Restore(w.now, m)
			if v := w.law.View(); math.IsNaN(v.Credit) || v.Credit < -2 || v.Credit > 2 || math.IsNaN(v.Strain) || v.Strain < 0 || v.Strain > 0.4 {
				t.Errorf("View() = %+v; want figures within their bounds", v)
			}
			if at, _ := w.law.Ready(w.now); at.Sub(w.now) > time.Hour {
				t.Errorf("nothing may leave for %v; want at most an hour", at.Sub(w.now))
			}
			w.check()
			w.run(3 * time.Hour)
			if got := w.rate(time.Hour); got < 37 {
				t.Errorf("in the fourth hour %.1f a minute are accepted, %+v; want nearly 40", got, w.law.View())
			}
		})
	}
}

// What is saved at a change of Version, by whoever looks each second, must be enough.
func TestVersionCountsWhatIsWorthRemembering(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hinted())
	changed := func(what string, f func()) {
		t.Helper()
		before := d.Version()
		if f(); d.Version() == before {
			t.Errorf("Version() is the same after %s; want another", what)
		}
	}
	changed("the first ceiling was found", func() { d.settle(40) })
	changed("the state changed", func() {
		d.pass(5 * time.Minute)
		d.refuse(39)
		d.pass(2 * time.Second)
		d.refuse(39)
	})
	changed("the upstream told the size of its window", func() { d.Adopt(d.now, time.Minute, 33) })
	changed("the upstream told the size of its hour", func() { d.Adopt(d.now, time.Hour, 500) })
	changed("many were accepted", func() {
		for range 40 {
			d.pass(2 * time.Second)
			d.accept(10)
		}
	})
	before := d.Version()
	d.Adopt(d.now, time.Hour, 500)
	if d.Version() != before {
		t.Error("Version() changed although the upstream said the same again; want it to stay")
	}
}

func TestTheUpstreamsOwnWordsAreTaken(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hinted())
	d.settle(40)
	d.Adopt(d.now, time.Minute, 55)
	if d.Ceiling() != 55 {
		t.Errorf("told 55 by a header, Ceiling() = %d", d.Ceiling())
	}
	d.Adopt(d.now, time.Minute, 1000)
	if d.Ceiling() != 160 {
		t.Errorf("told 1000 by a header, Ceiling() = %d; want no more than learning may reach, 160", d.Ceiling())
	}
	d.Adopt(d.now, time.Hour, 700)
	d.Adopt(d.now, 24*time.Hour, 9000)
	if d.Long(adapt.Hour, true) != 700 || d.Long(adapt.Day, true) != 9000 {
		t.Errorf("told 700 an hour and 9000 a day, Long = %d, %d", d.Long(adapt.Hour, true), d.Long(adapt.Day, true))
	}
	before := d.View()
	d.Adopt(d.now, time.Minute, 0)
	d.Adopt(d.now, time.Minute, -4)
	d.Adopt(d.now, 17*time.Second, 4)
	if got := d.View(); got != before {
		t.Errorf("none, fewer than none, and a window that nobody has: %+v; want no change of %+v", got, before)
	}
}

func TestNothingIsProbedWhileTheUpstreamTells(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hinted())
	d.settle(40)
	for range 720 {
		d.Held(d.now, true)
		d.pass(5 * time.Second)
		d.Adopt(d.now, time.Minute, 40)
		d.accept(38)
		if d.Probing() {
			t.Fatal("a probe began although the upstream says how large the window is; want none")
		}
	}
	for range 720 { // and then it falls silent
		d.Held(d.now, true)
		if d.pass(5 * time.Second); d.Probing() {
			return
		}
		d.accept(38)
	}
	t.Error("an hour after the upstream's last word nothing is probed; want learning to go on")
}

func TestAPromiseStandsAboveTheUpstreamsWords(t *testing.T) {
	t.Parallel()
	d := newDesk(t, adapt.Terms{Start: 40, Most: 40, Long: [adapt.LongCount]adapt.Told{{N: 500, Most: 500}}})
	d.Adopt(d.now, time.Minute, 90)
	d.Adopt(d.now, time.Hour, 900)
	if d.Cap(true) != 40 || d.Long(adapt.Hour, true) != 500 {
		t.Errorf("told more than was promised: Cap = %d, Long = %d; want 40 and 500", d.Cap(true), d.Long(adapt.Hour, true))
	}
}

func TestTheViewShowsWhatIsSuspected(t *testing.T) {
	t.Parallel()
	w, _ := outage(t, 20*time.Minute)
	v := w.law.View()
	if v.State != adapt.Retreat || v.Suspect != time.Hour || !v.Until.After(w.now) || v.Until.Sub(w.now) > time.Hour+2*time.Second {
		t.Errorf("after 20 minutes in which all was refused: %+v; want RETREAT for an hour's window that ends within the hour", v)
	}
	if v.Ceiling != w.law.Ceiling() || v.Cap != w.law.Cap(true) || v.Long[adapt.Hour] != w.law.Long(adapt.Hour, false) {
		t.Errorf("%+v; want what the methods say", v)
	}
	w.run(3 * time.Hour)
	if v := w.law.View(); v.Suspect != 0 || !v.Until.IsZero() {
		t.Errorf("once all is well again %+v; want no suspicion", v)
	}
}
