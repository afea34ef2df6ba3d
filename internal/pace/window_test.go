package pace_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"nimsidecar/internal/pace"
)

// second is a time so many seconds after the start.
func second(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }

// sized is a window and how many charges it may hold.
type sized struct {
	*pace.Window
	n int
}

func newWindow(n int, period, margin time.Duration) sized {
	return sized{pace.NewWindow(period, margin, 0), n}
}

// wantNext checks what a window says at a time, both in seconds after the start; negative means that only an event will tell.
func wantNext(t *testing.T, w sized, now, want float64) {
	t.Helper()
	at, ok := w.Next(second(now), w.n)
	if want < 0 {
		if ok {
			t.Errorf("Next(%vs) = %v, true; want false: open charges fill it", now, at.Sub(start))
		}
		return
	}
	if !ok || !at.Equal(second(want)) {
		t.Errorf("Next(%vs) = %v, %t; want %vs, true", now, at.Sub(start), ok, want)
	}
}

// spend charges a window with an attempt that is written at once.
func spend(w sized, at float64) {
	w.Reserve(second(at))
	w.Sent(second(at))
}

func TestWindowWaitsForTheOldestToLeave(t *testing.T) {
	t.Parallel()
	w := newWindow(2, time.Minute, time.Second)
	wantNext(t, w, 0, 0)
	spend(w, 0)
	wantNext(t, w, 5, 5)
	spend(w, 5)
	wantNext(t, w, 6, 61)
	wantNext(t, w, 60.999, 61)
	wantNext(t, w, 61, 61)
	spend(w, 61)
	wantNext(t, w, 61, 66)
}

func TestOpenChargeDoesNotAge(t *testing.T) {
	t.Parallel()
	w := newWindow(1, time.Minute, time.Second)
	w.Reserve(second(0))
	wantNext(t, w, 3600, -1)
	w.Sent(second(3600))
	wantNext(t, w, 3601, 3661)
}

func TestRefundGivesTheSlotBackAtOnce(t *testing.T) {
	t.Parallel()
	w := newWindow(2, time.Minute, time.Second)
	spend(w, 0)
	w.Reserve(second(1))
	wantNext(t, w, 2, 61)
	w.Refund()
	wantNext(t, w, 2, 2)
}

func TestForcedChargesHoldTheNextBackLonger(t *testing.T) {
	t.Parallel()
	w := newWindow(2, time.Minute, time.Second)
	for at := range 4 {
		spend(w, float64(at))
	}
	wantNext(t, w, 5, 63) // two must be left at most one: the one of 2 s has to go
	w.Reserve(second(6))
	wantNext(t, w, 6, 64)
	w.Refund()
	wantNext(t, w, 6, 63)
}

func TestChargesOfOneGrainLeaveTogetherAndDoNotGrowTheLog(t *testing.T) {
	const period, margin, grain = time.Hour, time.Second, 15 * time.Second
	w := sized{pace.NewWindow(period, margin, grain), 100} // not parallel: it counts allocations
	for _, at := range []float64{0, 14.9, 15, 40} {
		spend(w, at)
	}
	w.n = 4
	wantNext(t, w, 50, 3601+14.9) // the first two are one entry, of the time of the second
	w.n = 3
	wantNext(t, w, 50, 3601+14.9)
	w.n = 2
	wantNext(t, w, 50, 3601+15)
	w.n = 1
	wantNext(t, w, 50, 3601+40)
	now := start
	flood := func() {
		now = now.Add(100 * time.Millisecond)
		w.Reserve(now)
		w.Sent(now)
	}
	for range 80_000 { // more than two hours
		flood()
	}
	if got := testing.AllocsPerRun(10_000, flood); got != 0 {
		t.Errorf("a charge allocates %v times; want 0, the log being as long as it gets", got)
	}
	if got, want := w.Used(now), 36_010; got < want || got > want+150 {
		t.Errorf("Used = %d; want %d and at most what one grain holds more", got, want)
	}
}

func TestGapFillsTheWindowEvenly(t *testing.T) {
	t.Parallel()
	burst := func(n int, at float64) func(sized) {
		return func(w sized) {
			for range n {
				spend(w, at)
			}
		}
	}
	for _, test := range []struct {
		name string
		past func(sized)
		now  float64
		want float64
	}{
		{"an empty log takes n in period and margin", func(sized) {}, 0, 60. / 10},
		{"an open one leaves when the next does, so one less", func(w sized) { w.Reserve(start) }, 0, 60. / 9},
		{"five at once leave a minute for the other five", burst(5, 0), 0, 60. / 5},
		{"half a minute later they have half the time", burst(5, 0), 30, 30. / 5},
		{"of a full log the oldest must leave first", burst(10, 0), 40, 20},
		{"and of one that holds too many, too", burst(12, 0), 40, 20},
		{"the even pace goes on", func(w sized) {
			for i := range 10 {
				spend(w, float64(i)*6)
			}
		}, 60, 6},
	} {
		w := newWindow(10, 50*time.Second, 10*time.Second)
		w.Used(start)
		test.past(w)
		w.Reserve(second(test.now))
		if got := w.Gap(second(test.now), w.n).Seconds(); math.Abs(got-test.want) > 1e-6 {
			t.Errorf("%s: Gap = %v s; want %v s", test.name, got, test.want)
		}
	}
}

// A window that is far from full is not looked through: the longest distance that its charges could ask for is too short to matter.
func TestABriefGapIsAtMostWhatTheLogWouldSay(t *testing.T) {
	t.Parallel()
	const n = 1_000_000
	w := pace.NewWindow(time.Second, 100*time.Millisecond, time.Microsecond)
	for i := range 10_000 {
		at := start.Add(time.Duration(i) * 100 * time.Microsecond)
		w.Reserve(at)
		w.Sent(at)
	}
	const least, most = 1100 * time.Millisecond / (n + 1), 1100 * time.Millisecond / (n - 10_000)
	if got := w.Gap(second(1), n); got < least || got > most {
		t.Errorf("Gap = %v; want %v to %v", got, least, most)
	}
}

// Whatever the past, a sender that keeps to the gap loses nothing against a greedy one, but for the sampling, and is not stopped.
func TestEvenSenderIsAsFastAsAGreedyOne(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 4))
		n := 1 + rng.IntN(30)
		even, greedy := newWindow(n, 55*time.Second, 5*time.Second), newWindow(n, 55*time.Second, 5*time.Second)
		for at, i := 0.0, rng.IntN(n+1); i > 0; i-- {
			spend(even, at)
			spend(greedy, at)
			at += rng.Float64() * 60 / float64(n)
		}
		count := func(w sized, even bool) (sent int) {
			for now := second(60); now.Before(second(60 + 600)); {
				at, _ := w.Next(now, w.n)
				if now = at; !now.Before(second(660)) {
					break
				}
				w.Reserve(now)
				gap := w.Gap(now, w.n)
				w.Sent(now)
				sent++
				if even {
					now = now.Add(gap)
				}
			}
			return sent
		}
		if e, g := count(even, true), count(greedy, false); e < g-n/8-1 || e > g {
			t.Errorf("seed %d, %d in a minute: an even sender sent %d in ten minutes, a greedy one %d", seed, n, e, g)
		}
	}
}

func TestLogKeepsItsOrderWhenItGrows(t *testing.T) {
	t.Parallel()
	w := newWindow(20, 10*time.Second, 0)
	for at := range 8 {
		spend(w, float64(at))
	}
	for range 16 { // those of 0 to 3 s have left, so the first of these take their places
		spend(w, 13.5)
	}
	now := 13.5
	for _, leaves := range []float64{14, 15, 16, 17, 23.5} {
		wantNext(t, w, now, leaves)
		now = leaves
		spend(w, now)
	}
}

func TestTimeThatStepsBackCountsAsTheLatest(t *testing.T) {
	t.Parallel()
	w := newWindow(1, time.Minute, time.Second)
	w.Reserve(second(10))
	w.Sent(second(9)) // stamped 10: rather too late than too early
	wantNext(t, w, 8, 71)
	wantNext(t, w, 71, 71)
	wantNext(t, w, 70, 70) // what has left stays away
}

func TestWindowTellsHowFullItIsAndWhenItWillBeEmpty(t *testing.T) {
	t.Parallel()
	w := newWindow(3, time.Minute, time.Second)
	steps := []struct {
		name   string
		do     func(now time.Time)
		now    float64
		used   int
		resets float64
	}{
		{"nothing yet", func(time.Time) {}, 1, 0, 1},
		{"one is sent", func(now time.Time) { w.Reserve(now); w.Sent(now) }, 2, 1, 63},
		{"one is open", w.Reserve, 10, 2, 71},
		{"it is open still", func(time.Time) {}, 20, 2, 81},
		{"it is sent", w.Sent, 30, 2, 91},
		{"the first has left", func(time.Time) {}, 63, 1, 91},
		{"all have left", func(time.Time) {}, 91, 0, 91},
	}
	for _, s := range steps {
		now := second(s.now)
		s.do(now)
		if used, resets := w.Used(now), w.Resets(now); used != s.used || !resets.Equal(second(s.resets)) {
			t.Errorf("%s: Used, Resets = %d, %v; want %d, %vs", s.name, used, resets.Sub(start), s.used, s.resets)
		}
	}
}

func TestEndIsOnePeriodAndMarginAfterTheFirstSend(t *testing.T) {
	t.Parallel()
	w := newWindow(100, time.Minute, time.Second)
	steps := []struct {
		name     string
		send     bool
		now, end float64
	}{
		{"nothing sent", false, 5, 5},
		{"opened", true, 10, 71},
		{"not extended by a later send", true, 69.9, 71},
		{"the first send after the period opens the next", true, 70, 131},
		{"running", false, 130.9, 131},
		{"over", false, 131, 131},
		{"opened after idleness", true, 500, 561},
	}
	for _, s := range steps {
		if s.send {
			spend(w, s.now)
		}
		if got := w.End(second(s.now)); !got.Equal(second(s.end)) {
			t.Errorf("%s: End(%vs) = %v; want %vs", s.name, s.now, got.Sub(start), s.end)
		}
	}
}

func TestBrokenBookkeepingPanics(t *testing.T) {
	t.Parallel()
	spent := func() sized {
		w := newWindow(1, time.Minute, time.Second)
		spend(w, 0)
		return w
	}
	for name, call := range map[string]func(){
		"a second Sent":        func() { spent().Sent(start) },
		"a Refund after Sent":  func() { spent().Refund() },
		"a Refund of nothing":  func() { newWindow(1, time.Minute, time.Second).Refund() },
		"a Sent of no Reserve": func() { newWindow(1, time.Minute, time.Second).Sent(start) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s passed; want a panic", name)
				}
			}()
			call()
		}()
	}
}

// Budget: 60 ns, no allocation.
func BenchmarkWindow(b *testing.B) {
	w := newWindow(40, time.Minute, time.Second)
	b.ReportAllocs()
	for now := start; b.Loop(); {
		now, _ = w.Next(now, w.n)
		w.Reserve(now)
		w.Sent(now)
	}
}

// Budget: 500 ns, no allocation, with an hour's log of 240 entries.
func BenchmarkGap(b *testing.B) {
	w := pace.NewWindow(time.Hour, 2*time.Second, 15*time.Second)
	for at := range 240 {
		w.Reserve(second(float64(at) * 15))
		w.Sent(second(float64(at) * 15))
	}
	b.ReportAllocs()
	for b.Loop() {
		w.Gap(second(3600), 1000)
	}
}

// Budget: 20 ns, no allocation, with 10,000 entries of a window that takes a hundred times as many.
func BenchmarkGapThatMakesNoDifference(b *testing.B) {
	w := pace.NewWindow(time.Second, 100*time.Millisecond, time.Microsecond)
	for i := range 10_000 {
		at := start.Add(time.Duration(i) * 100 * time.Microsecond)
		w.Reserve(at)
		w.Sent(at)
	}
	b.ReportAllocs()
	for b.Loop() {
		w.Gap(second(1), 1_000_000)
	}
}
