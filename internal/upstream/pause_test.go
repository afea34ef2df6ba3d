package upstream

import (
	"math/rand/v2"
	"testing"
	"time"

	"nimsidecar/internal/hint"
)

// epoch is when the tests of pure state begin.
var epoch = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// at is a time in seconds after the epoch.
func at(seconds float64) time.Time {
	return epoch.Add(time.Duration(seconds * float64(time.Second)))
}

func TestAPauseBeginsGrowsAndEnds(t *testing.T) {
	t.Parallel()
	s := schedule{after: 2, first: time.Second, most: 4 * time.Second}
	const fail, enter, succeed = "fail", "enter", "succeed"
	var p pause
	for i, step := range []struct {
		do        string
		at, began float64
		counts    bool
		until     float64 // out of use until then; 0 = in use
	}{
		{do: fail, at: 1, began: 0},                             // the first of two
		{do: enter, at: 1},                                      // changes nothing while it is in use
		{do: fail, at: 2, began: 1, counts: true, until: 3},     // now it is out
		{do: fail, at: 2.5, began: 1, until: 3},                 // was under way: the same story
		{do: fail, at: 2.9, began: 2.5, until: 3},               // was sent in spite of it
		{do: enter, at: 2.9, until: 3},                          // is sent in spite of it
		{do: enter, at: 3, until: 4},                            // tries it; the next has to wait
		{do: fail, at: 3.5, began: 3, counts: true, until: 5.5}, // in vain: twice as long
		{do: fail, at: 5, began: 2.2, until: 5.5},               // comes late
		{do: enter, at: 6, until: 8},                            // tries it
		{do: enter, at: 8, until: 10},                           // so does this, since nothing was heard
		{do: fail, at: 9, began: 8, counts: true, until: 13},    // the longest
		{do: fail, at: 9.5, began: 6, until: 13},                // the one of which nothing was heard
		{do: fail, at: 14, began: 13, counts: true, until: 18},  // and no longer than that
		{do: succeed, at: 14, counts: true},                     // of whatever attempt
		{do: succeed, at: 14},                                   // is nothing new
		{do: fail, at: 15, began: 15},                           // begins anew
		{do: fail, at: 15, began: 15, counts: true, until: 16},
	} {
		counts := false
		switch now := at(step.at); step.do {
		case fail:
			counts = p.fail(now, at(step.began), cause{class: hint.KeyDead}, s, 0)
		case enter:
			p.enter(now)
		case succeed:
			counts = p.succeed()
		}
		until := time.Time{}
		if step.until > 0 {
			until = at(step.until)
		}
		if counts != step.counts || !p.until.Equal(until) {
			t.Errorf("step %d, %s at %v: counts %t, out until %s; want %t, %s", i, step.do, step.at, counts, p.until, step.counts, until)
		}
	}
}

func TestASpanIsBoundedAndJittered(t *testing.T) {
	t.Parallel()
	s := schedule{first: time.Second, most: 7 * time.Second, jitter: 0.2}
	for further, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 7 * time.Second, 7 * time.Second} {
		if got := s.span(further, 0); got != want {
			t.Errorf("span(%d, 0) = %s; want %s", further, got, want)
		}
		if got := s.span(further, 0.5); got != want+want/10 {
			t.Errorf("span(%d, 0.5) = %s; want %s", further, got, want+want/10)
		}
	}
	for _, random := range []float64{-5, 5} {
		if got := s.span(1_000_000, random); got < 7*time.Second || got > 8400*time.Millisecond {
			t.Errorf("span(1000000, %v) = %s; want between 7s and 8.4s", random, got)
		}
	}
}

// drive runs a pause through the events that a string of bytes stands for, and checks after each what must always hold.
func drive(t *testing.T, s schedule, events []byte) {
	t.Helper()
	var p pause
	now, admitted := epoch, time.Time{}
	longest := s.span(1<<10, 1)
	began := []time.Time{epoch}
	for i, event := range events {
		now = now.Add(time.Duration(event>>2) * 100 * time.Millisecond)
		switch event & 3 {
		case 0, 1: // an attempt begins, if it may
			if p.out(now) {
				continue
			}
			if !p.since.IsZero() {
				if now.Before(admitted.Add(s.first)) {
					t.Fatalf("event %d: two attempts within a pause: at %s and %s", i, admitted, now)
				}
				admitted = now
			}
			p.enter(now)
			began = append(began, now)
		case 2: // any of the attempts fails, the last ones too
			p.fail(now, began[int(event>>2)%len(began)], cause{}, s, float64(event)/256)
			p.fail(now, began[len(began)-1], cause{}, s, float64(event)/256)
		case 3:
			p.succeed()
			admitted = time.Time{}
			if p != (pause{}) {
				t.Fatalf("event %d: after a success it is %+v; want it in use", i, p)
			}
		}
		if p.until.Sub(now) > longest {
			t.Fatalf("event %d: out until %s, %s from now; want at most %s", i, p.until, p.until.Sub(now), longest)
		}
		if p.out(now.Add(longest)) {
			t.Fatalf("event %d: it is stuck", i)
		}
		if p.out(now) && (p.failures < s.after || p.since.IsZero() || p.since.After(now)) {
			t.Fatalf("event %d: out after %d failures since %s", i, p.failures, p.since)
		}
	}
}

func TestAPauseIsNeverStuckWhateverHappens(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		events := make([]byte, 200)
		for i := range events {
			events[i] = byte(r.Uint32())
		}
		drive(t, schedule{after: 1 + r.IntN(5), first: time.Second, most: 9 * time.Second, jitter: 0.2}, events)
	}
}

// FuzzPause looks for a history that leaves a pause stuck, or lets two attempts through where one should try.
func FuzzPause(f *testing.F) {
	f.Add([]byte{0, 2, 2, 2, 0x80, 3}, uint8(1))
	f.Add([]byte("\xff\x02\xfe\x00\x04\x02\x06"), uint8(3))
	f.Fuzz(func(t *testing.T, events []byte, after uint8) {
		drive(t, schedule{after: int(after), first: time.Second, most: 4 * time.Second, jitter: 0.5}, events)
	})
}
