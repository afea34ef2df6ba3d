package pace_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"nimsidecar/internal/pace"
)

// start is when the clocks of these tests begin.
var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// oracle is the window as its contract says it, by brute force: it keeps every stamp for ever and looks at all of them.
type oracle struct {
	n            int
	period, span time.Duration
	now          time.Time
	open         int
	sent         []time.Time
}

// used counts the charges at a time that is not before now, if nothing happens until then.
func (o *oracle) used(at time.Time) int {
	used := o.open
	for _, s := range o.sent {
		if s.Add(o.span).After(at) {
			used++
		}
	}
	return used
}

func (o *oracle) next() (time.Time, bool) {
	times := []time.Time{o.now}
	for _, s := range o.sent {
		times = append(times, s.Add(o.span))
	}
	slices.SortFunc(times, time.Time.Compare)
	i := slices.IndexFunc(times, func(at time.Time) bool { return !at.Before(o.now) && o.used(at) < o.n })
	if i < 0 {
		return time.Time{}, false
	}
	return times[i], true
}

func (o *oracle) resets() time.Time {
	last := o.now
	for _, s := range o.sent {
		if at := s.Add(o.span); at.After(last) {
			last = at
		}
	}
	if o.open > 0 {
		return o.now.Add(o.span)
	}
	return last
}

// end replays a limiter whose windows open at the first hit.
func (o *oracle) end() time.Time {
	var opened time.Time
	for _, s := range o.sent {
		if opened.IsZero() || !s.Before(opened.Add(o.period)) {
			opened = s
		}
	}
	if end := opened.Add(o.span); !opened.IsZero() && end.After(o.now) {
		return end
	}
	return o.now
}

// script plays a program of two bytes a step on a window and on its oracle, and compares all they say after each step. The first
// byte of a step chooses what happens, the second how much time passes.
func script(t *testing.T, program []byte) {
	if len(program) < 2 {
		return
	}
	sizes := [...]int{1, 2, 3, 5, 12, 20} // the last two outgrow their first buffer
	o := &oracle{n: sizes[int(program[0])%len(sizes)], period: 1000, now: start}
	margin := time.Duration(program[1]) * 2
	o.span = o.period + margin
	w := pace.NewWindow(o.period, margin, 0)
	w.Used(start) // both have seen the same first time
	forced := false
	now := start
	for program = program[2:]; len(program) >= 2; program = program[2:] {
		now = now.Add(time.Duration(program[1])*5 - 25) // it may also step back a little
		if now.After(o.now) {
			o.now = now
		}
		switch at, ok := o.next(); program[0] % 8 {
		case 0, 1, 2: // an attempt that keeps to what it is told
			if ok && !at.After(o.now) {
				o.open++
				w.Reserve(now)
			}
		case 3: // time passes until it may
			if ok && at.After(o.now) {
				o.now, now = at, at
			}
		case 4, 5:
			if o.open > 0 {
				o.open--
				o.sent = append(o.sent, o.now)
				w.Sent(now)
			}
		case 6:
			if o.open > 0 {
				o.open--
				w.Refund()
			}
		case 7: // one that does not ask
			if program[1]%4 == 0 {
				forced = true
				o.open++
				w.Reserve(now)
			}
		}
		compare(t, o, w, now)
	}
	if !forced {
		neverMore(t, o.sent, o.n, o.span)
	}
}

// compare reports where a window and its oracle differ. Times up to the latest now are all the same: at once.
func compare(t *testing.T, o *oracle, w *pace.Window, now time.Time) {
	t.Helper()
	same := func(got, want time.Time) bool {
		return got.Equal(want) || !got.After(o.now) && !want.After(o.now)
	}
	wantAt, wantOK := o.next()
	if at, ok := w.Next(now, o.n); ok != wantOK || !same(at, wantAt) {
		t.Fatalf("Next(%v) = %v, %t; want %v, %t", now.Sub(start), at.Sub(start), ok, wantAt.Sub(start), wantOK)
	}
	if got, want := w.Used(now), o.used(o.now); got != want {
		t.Fatalf("Used(%v) = %d; want %d", now.Sub(start), got, want)
	}
	if got, want := w.End(now), o.end(); !same(got, want) {
		t.Fatalf("End(%v) = %v; want %v", now.Sub(start), got.Sub(start), want.Sub(start))
	}
	if got, want := w.Resets(now), o.resets(); !same(got, want) {
		t.Fatalf("Resets(%v) = %v; want %v", now.Sub(start), got.Sub(start), want.Sub(start))
	}
}

// neverMore checks every window that begins at a stamp: the fullest ones do.
func neverMore(t *testing.T, stamps []time.Time, n int, span time.Duration) {
	t.Helper()
	for i, from := range stamps {
		inside := 0
		for _, s := range stamps[i:] {
			if s.Before(from.Add(span)) {
				inside++
			}
		}
		if inside > n {
			t.Fatalf("the %v from %v hold %d charges; want at most %d", span, from.Sub(start), inside, n)
		}
	}
}

func TestWindowAgreesWithTheOracleOnRandomScripts(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		program := make([]byte, 400)
		for i := range program {
			program[i] = byte(rng.Uint32())
		}
		script(t, program)
	}
}

func FuzzWindow(f *testing.F) {
	f.Add([]byte("\x00\x10" + "\x00\x05\x04\x05\x03\x05\x00\x05\x06\x05"))         // one at a time, the second given back
	f.Add([]byte("\x02\x00" + "\x00\x05\x00\x05\x00\x05\x04\xff\x04\xff\x03\x05")) // open while time passes
	f.Add([]byte("\x01\x20" + "\x07\x04\x07\x04\x07\x04\x04\x05\x04\x05\x04\x05")) // three forced into two
	f.Fuzz(func(t *testing.T, program []byte) {
		script(t, program[:min(len(program), 400)])
	})
}
