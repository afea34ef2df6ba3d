package pace

import (
	"math/rand/v2"
	"testing"
	"time"
)

// naive counts charges one by one.
type naive struct{ sent []time.Time }

// within returns how many were sent in the span before now, that moment excluded.
func (n *naive) within(now time.Time, span time.Duration) (count int) {
	for _, at := range n.sent {
		if at.After(now.Add(-span)) {
			count++
		}
	}
	return count
}

func TestALogOfAnotherPeriodHoldsTheChargesThatCountInIt(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1))
	start := time.Unix(1_700_000_000, 0)
	for range 50 {
		w, truth, now := NewWindow(time.Hour, 2*time.Second, 0), naive{}, start
		for range 300 {
			now = now.Add(time.Duration(random.Int64N(int64(20 * time.Second))))
			w.Reserve(now)
			w.Sent(now)
			truth.sent = append(truth.sent, now)
		}
		open := random.IntN(4)
		for range open {
			w.Reserve(now)
		}
		for _, period := range []time.Duration{time.Second, time.Minute, time.Hour, 24 * time.Hour} {
			o := w.Over(now, period, Margin(period), 0)
			known := min(period+Margin(period), time.Hour+2*time.Second)
			if got, want := o.Used(now), truth.within(now, known)+open; got != want {
				t.Errorf("Over(%v) holds %d charges; want %d", period, got, want)
			}
			later := now.Add(period / 2)
			if got, want := o.Used(later), truth.within(later, min(period+Margin(period), known+period/2))+open; period < time.Hour && got != want {
				t.Errorf("Over(%v) holds %d charges half a period later; want %d", period, got, want)
			}
			for range open {
				o.Sent(now) // it panics if one is not there
			}
		}
	}
}

func TestASpacingOfAnotherPaceIsAsEmptyAsItWas(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	for _, tt := range []struct {
		name         string
		interval     time.Duration
		burst, taken int
		faster       time.Duration
		most         int
		want         time.Duration // until the next
	}{
		{"nothing taken", time.Second, 3, 0, 2 * time.Second, 3, 0},
		{"one of three", time.Second, 3, 1, 2 * time.Second, 3, 0},
		{"all of three, slower", time.Second, 3, 3, 4 * time.Second, 3, 4 * time.Second},
		{"all of three, faster", 8 * time.Second, 3, 3, time.Second, 3, time.Second},
		{"all of three, then one at a time", time.Second, 3, 3, time.Second, 1, 3 * time.Second},
		{"no spacing any more", time.Second, 3, 3, 0, 3, 0},
	} {
		s := NewSpacing(tt.interval, tt.burst)
		for range tt.taken {
			s.Reserve(now)
		}
		o := s.Over(now, tt.faster, tt.most)
		if got := o.Next(now).Sub(now); got != tt.want {
			t.Errorf("%s: the next may leave after %v; want %v", tt.name, got, tt.want)
		}
	}
}
