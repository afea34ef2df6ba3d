package adapt_test

import (
	"testing"
	"time"

	"nimsidecar/internal/adapt"
	"nimsidecar/internal/mock/limiter"
)

func TestTheBurstToBeginWith(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		terms adapt.Terms
		want  int
	}{
		{"a person's first clicks where nothing is known", adapt.Terms{Start: 40}, 4},
		{"a share of what was said", adapt.Terms{Start: 40, Share: 0.5}, 20},
		{"at least one", adapt.Terms{Start: 1, Share: 0.5}, 1},
		{"what the operator fixed", adapt.Terms{Start: 40, Share: 0.5, Burst: 7}, 7},
	} {
		if got := newDesk(t, tt.terms).Burst(); got != tt.want {
			t.Errorf("%s: Burst() = %d; want %d", tt.name, got, tt.want)
		}
	}
}

func TestAfterARefusalOneLeavesAtATime(t *testing.T) {
	t.Parallel()
	d := newDesk(t, adapt.Terms{Start: 40, Most: 40, Share: 0.5})
	d.settle(40)
	burst := d.Burst()
	d.pass(2 * time.Minute)
	d.refuse(38)
	if d.Burst() != 1 || d.Free() != 1 {
		t.Errorf("right after a refusal Burst() = %d, Free() = %d; want 1 and 1", d.Burst(), d.Free())
	}
	d.pass(5 * time.Second)
	d.accept(10)
	if d.Burst() != burst || d.Free() < 2 {
		t.Errorf("after the next success Burst() = %d, Free() = %d; want %d as before", d.Burst(), d.Free(), burst)
	}
}

func TestARefusalOfTwoTooCloseHalvesTheBurst(t *testing.T) {
	t.Parallel()
	d := newDesk(t, adapt.Terms{Start: 40, Most: 40, Share: 0.5})
	d.settle(40)
	for want := d.Burst() / 2; want >= 1; want /= 2 {
		d.pass(10 * time.Minute)
		d.accept(2)
		d.pass(10 * time.Millisecond)
		d.refuse(3)
		d.pass(10 * time.Second)
		d.accept(0)
		if got := d.Burst(); got != want {
			t.Fatalf("after a refusal beside three charges Burst() = %d; want half of before, %d", got, want)
		}
	}
	if got := d.Ceiling(); got != 40 {
		t.Errorf("the ceiling fell to %d; want 40: it was the spacing", got)
	}
}

func TestAFixedBurstStays(t *testing.T) {
	t.Parallel()
	d := newDesk(t, adapt.Terms{Start: 40, Most: 40, Burst: 8})
	d.settle(40)
	for range 5 {
		d.pass(10 * time.Minute)
		d.accept(2)
		d.refuse(3)
		d.pass(10 * time.Second)
		d.accept(0)
	}
	for range 600 {
		d.pass(30 * time.Second)
		d.accept(1)
		d.accept(2)
	}
	if got := d.Burst(); got != 8 {
		t.Errorf("Burst() = %d; want the 8 that the operator fixed", got)
	}
}

func TestTheBurstGrowsWhereItHoldsWorkBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, adapt.Terms{Start: 40, Most: 40}, serves)
	w.run(5 * time.Minute)
	for range 100 {
		w.idle = true
		w.run(4 * time.Minute)
		w.idle = false
		w.run(20 * time.Second)
	}
	if got := w.law.Burst(); got != 10 {
		t.Errorf("after a hundred bursts of which nothing was refused Burst() = %d; want 10, a quarter of the ceiling", got)
	}
}

func TestASmallBucketIsFoundWithoutLosingTheRate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		burst int
		least float64 // a minute, of 40
	}{{1, 35}, {3, 39}, {10, 39.5}} {
		w := newWorld(t, adapt.Terms{Start: 40, Most: 160, Share: 0.5, Seed: 1}, limited(t, limiter.Bucket, "40-M", tt.burst))
		w.run(time.Hour)
		sends, refused := w.sends, w.refused
		got := w.rate(4 * time.Hour)
		if sends, refused = w.sends-sends, w.refused-refused; got < tt.least || refused > sends/100 {
			t.Errorf("a bucket of %d: %.1f a minute are accepted, %d of %d refused; want %v and at most 1 %%", tt.burst, got, refused, sends, tt.least)
		}
	}
}

// An upstream that spaces strictly refuses what the network's jitter brings too close: the distance grows until the budget holds, and
// shrinks again.
func TestAStrictSpacerStretchesTheDistance(t *testing.T) {
	t.Parallel()
	d := newDesk(t, adapt.Terms{Start: 40, Most: 40})
	d.settle(40)
	even := d.Interval()
	for i := 0; d.View().Strain == 0; i++ { // refused beside an empty window, the last time although it was alone
		d.pass(10 * time.Minute)
		d.accept(2)
		d.pass(d.Interval() / 2)
		d.refuse(3)
		d.pass(10 * time.Second)
		d.accept(0)
		if i > 10 {
			t.Fatalf("after ten refusals in an empty window %+v; want strain", d.View())
		}
	}
	if got := d.Interval(); got <= even || d.Burst() != 1 || d.Free() != 1 {
		t.Errorf("Interval() = %v, Burst() = %d, Free() = %d; want more than %v, 1 and 1", got, d.Burst(), d.Free(), even)
	}
	strain := d.View().Strain
	for range 5 { // more than one in a window
		d.pass(40 * time.Second)
		d.refuse(30)
		d.pass(5 * time.Second)
		d.accept(20)
	}
	if got := d.View().Strain; got <= strain || got > 0.4 || d.Ceiling() != 40 {
		t.Errorf("after five more refusals strain %v, ceiling %d; want more than %v, at most 0.4, and 40", got, d.Ceiling(), strain)
	}
	for range 6 * 360 {
		d.pass(5 * time.Second)
		d.accept(10)
	}
	if got := d.View().Strain; got != 0 {
		t.Errorf("three hours after the last refusal the strain is %v; want none", got)
	}
}

// Three clicks must not wait, whatever the share is.
func TestFreeIsNeverLessThanAFewClicks(t *testing.T) {
	t.Parallel()
	for _, share := range []float64{0, 0.1, 0.5} {
		d := newDesk(t, adapt.Terms{Start: 40, Most: 160, Share: share})
		if got := d.Free(); got < 4 || got > 10 {
			t.Errorf("share %v: Free() = %d on a cold start; want 4 to a quarter of 40", share, got)
		}
		if small := newDesk(t, adapt.Terms{Start: 2, Share: share}).Free(); small > 2 {
			t.Errorf("share %v: Free() = %d of a window of 2", share, small)
		}
	}
	d := newDesk(t, adapt.Terms{Start: 40, Most: 40, Share: 0.5})
	d.settle(40)
	if got := d.Free(); got != 20 {
		t.Errorf("once a window was lived through Free() = %d; want half of 40", got)
	}
}

func TestAClimbHastens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hinted(), serves)
	steady := w.law.Interval()
	w.run(90 * time.Second)
	if v := w.law.View(); v.Phase != "climb" || w.law.Interval() >= steady || w.law.Hasten(60) <= 1 {
		t.Errorf("in %s Interval() = %v, Hasten = %v; want a climb, less than %v and more than 1", v.Phase, w.law.Interval(), w.law.Hasten(60), steady)
	}
	d := newDesk(t, hinted())
	d.settle(40)
	if got := d.Hasten(39); got != 1 {
		t.Errorf("outside of a climb Hasten = %v; want 1", got)
	}
}

// The pace is that of the window, plus a little, so that the window stays the binding rule and is filled to its last slot.
func TestTheIntervalFillsTheWindow(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 10, 40, 600} {
		d := newDesk(t, adapt.Terms{Start: n, Most: n})
		span := 60500 * time.Millisecond
		if got := d.Interval(); got > span/time.Duration(n) || got < span*95/100/time.Duration(n) {
			t.Errorf("Interval() for %d in %v = %v; want a little less than %v", n, span, got, span/time.Duration(n))
		}
	}
}
