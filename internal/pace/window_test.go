package pace_test

import (
	"testing"
	"time"

	"nimsidecar/internal/pace"
)

// second is a time so many seconds after the start.
func second(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }

// wantNext checks what a window says at a time, both in seconds after the start; negative means that only an event will tell.
func wantNext(t *testing.T, w *pace.Window, now, want float64) {
	t.Helper()
	at, ok := w.Next(second(now))
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
func spend(w *pace.Window, at float64) {
	w.Reserve(second(at))
	w.Sent(second(at))
}

func TestWindowWaitsForTheOldestToLeave(t *testing.T) {
	t.Parallel()
	w := pace.NewWindow(2, time.Minute, time.Second)
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
	w := pace.NewWindow(1, time.Minute, time.Second)
	w.Reserve(second(0))
	wantNext(t, w, 3600, -1)
	w.Sent(second(3600))
	wantNext(t, w, 3601, 3661)
}

func TestRefundGivesTheSlotBackAtOnce(t *testing.T) {
	t.Parallel()
	w := pace.NewWindow(2, time.Minute, time.Second)
	spend(w, 0)
	w.Reserve(second(1))
	wantNext(t, w, 2, 61)
	w.Refund()
	wantNext(t, w, 2, 2)
}

func TestForcedChargesHoldTheNextBackLonger(t *testing.T) {
	t.Parallel()
	w := pace.NewWindow(2, time.Minute, time.Second)
	for at := range 4 {
		spend(w, float64(at))
	}
	wantNext(t, w, 5, 63) // two must be left at most one: the one of 2 s has to go
	w.Reserve(second(6))
	wantNext(t, w, 6, 64)
	w.Refund()
	wantNext(t, w, 6, 63)
}

func TestForcedChargesDoNotGrowTheLog(t *testing.T) {
	w := pace.NewWindow(100, time.Hour, time.Second) // not parallel: it counts allocations
	now := start
	if got := testing.AllocsPerRun(10_000, func() {
		now = now.Add(time.Millisecond)
		w.Reserve(now)
		w.Sent(now)
	}); got != 0 {
		t.Errorf("a forced charge allocates %v times; want 0 on average, the log having at most 100 places", got)
	}
	if got := w.Used(now); got != 100 {
		t.Errorf("Used = %d; want 100", got)
	}
}

func TestLogKeepsItsOrderWhenItGrows(t *testing.T) {
	t.Parallel()
	w := pace.NewWindow(20, 10*time.Second, 0)
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
	w := pace.NewWindow(1, time.Minute, time.Second)
	w.Reserve(second(10))
	w.Sent(second(9)) // stamped 10: rather too late than too early
	wantNext(t, w, 8, 71)
	wantNext(t, w, 71, 71)
	wantNext(t, w, 70, 70) // what has left stays away
}

func TestWindowTellsHowFullItIsAndWhenItWillBeEmpty(t *testing.T) {
	t.Parallel()
	w := pace.NewWindow(3, time.Minute, time.Second)
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
	w := pace.NewWindow(100, time.Minute, time.Second)
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
	spent := func() *pace.Window {
		w := pace.NewWindow(1, time.Minute, time.Second)
		spend(w, 0)
		return w
	}
	for name, call := range map[string]func(){
		"a window of nothing":  func() { pace.NewWindow(0, time.Minute, time.Second) },
		"a second Sent":        func() { spent().Sent(start) },
		"a Refund after Sent":  func() { spent().Refund() },
		"a Refund of nothing":  func() { pace.NewWindow(1, time.Minute, time.Second).Refund() },
		"a Sent of no Reserve": func() { pace.NewWindow(1, time.Minute, time.Second).Sent(start) },
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
	w := pace.NewWindow(40, time.Minute, time.Second)
	b.ReportAllocs()
	for now := start; b.Loop(); {
		now, _ = w.Next(now)
		w.Reserve(now)
		w.Sent(now)
	}
}
