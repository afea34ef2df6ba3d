package pace_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"nimsidecar/internal/pace"
)

func TestMarginIsA120thWithinBounds(t *testing.T) {
	t.Parallel()
	for period, want := range map[time.Duration]time.Duration{
		time.Second:      100 * time.Millisecond,
		12 * time.Second: 100 * time.Millisecond,
		time.Minute:      500 * time.Millisecond,
		4 * time.Minute:  2 * time.Second,
		time.Hour:        2 * time.Second,
		24 * time.Hour:   2 * time.Second,
	} {
		if got := pace.Margin(period); got != want {
			t.Errorf("Margin(%v) = %v; want %v", period, got, want)
		}
	}
}

func TestIntervalFillsTheWindowTwoPercentEarly(t *testing.T) {
	t.Parallel()
	got := pace.Interval(40, time.Minute, 500*time.Millisecond).Round(time.Millisecond)
	if want := 1483 * time.Millisecond; got != want {
		t.Errorf("Interval(40, 1m, 0.5s) = %v; want %v", got, want)
	}
}

// leave says how many of a crowd may leave at a time.
func leave(s *pace.Spacing, at float64) int {
	for n := range 1000 {
		if s.Next(second(at)).After(second(at)) {
			return n
		}
		s.Reserve(second(at))
	}
	return 1000
}

func TestSpacingAllowsABurstAndThenTheEvenPace(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		burst int
		want  []int // how many leave at 0, 1, 2, … seconds; the interval is 2 s
	}{
		{0, []int{1, 0, 1, 0, 1}},
		{1, []int{1, 0, 1, 0, 1}},
		{10, []int{10, 0, 1, 0, 1}},
	} {
		s := pace.NewSpacing(2*time.Second, test.burst)
		for at, want := range test.want {
			if got := leave(s, float64(at)); got != want {
				t.Errorf("burst %d: %d leave at %d s; want %d", test.burst, got, at, want)
			}
		}
	}
}

func TestIdlenessRestoresTheBurstStepByStep(t *testing.T) {
	t.Parallel()
	s := pace.NewSpacing(2*time.Second, 10)
	leave(s, 0)
	if got := leave(s, 7); got != 3 {
		t.Errorf("%d leave after 7 s; want 3", got)
	}
	if got := leave(s, 1000); got != 10 {
		t.Errorf("%d leave after a long time; want 10", got)
	}
}

func TestZeroSpacingSpacesNothing(t *testing.T) {
	t.Parallel()
	if got := leave(new(pace.Spacing), 1); got != 1000 {
		t.Errorf("%d leave at once; want all 1000", got)
	}
}

func TestForcedAttemptsBeyondTheBurstAreForgotten(t *testing.T) {
	t.Parallel()
	s := pace.NewSpacing(time.Second, 3)
	for range 100 {
		s.Reserve(second(0))
	}
	if got := s.Next(second(0)); !got.Equal(second(1)) {
		t.Errorf("Next after 100 forced = %v; want 1s", got.Sub(start))
	}
}

func TestRefundGivesBackWhatIsLeftOfThePlace(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name       string
		refundedAt float64
		want       float64
	}{
		{"at once", 0, 0},
		{"half way", 1, 1},
		{"when its interval is over", 2, 2},
		{"long after", 50, 50},
		{"before it was taken, by a clock that stepped back", -1, 0},
	} {
		s := pace.NewSpacing(2*time.Second, 1)
		s.Reserve(second(0))
		s.Refund(second(0), second(test.refundedAt))
		if got := s.Next(second(test.refundedAt)); !got.Equal(second(test.want)) {
			t.Errorf("%s: Next = %v; want %vs", test.name, got.Sub(start), test.want)
		}
	}
	late := pace.NewSpacing(2*time.Second, 1)
	late.Reserve(second(0))
	late.Reserve(second(10))
	late.Refund(second(0), second(10))
	if got := late.Next(second(10)); !got.Equal(second(12)) {
		t.Errorf("a late refund: Next = %v; want 12s: the other place is untouched", got.Sub(start))
	}
}

// What is due in no time need not wait.
func TestTenMicrosecondsMakeNoDifference(t *testing.T) {
	t.Parallel()
	s := pace.NewSpacing(time.Second, 1)
	s.Reserve(second(0))
	for _, test := range []struct{ early, want time.Duration }{{11 * time.Microsecond, time.Second}, {10 * time.Microsecond, time.Second - 10*time.Microsecond}} {
		if got := s.Next(second(1).Add(-test.early)).Sub(start); got != test.want {
			t.Errorf("Next %v before an attempt is due = %v; want %v", test.early, got, test.want)
		}
	}
	s.Pace(10*time.Microsecond, 1)
	for range 100 {
		s.Reserve(second(2))
	}
	if got := s.Next(second(2)); !got.Equal(second(2)) {
		t.Errorf("Next with an interval of 10 µs = %v; want now", got.Sub(start))
	}
}

// Whatever is reserved and given back when, no stretch of time holds more kept places than the contract says.
func TestNoStretchHoldsMoreThanTheBurstAndTheEvenPace(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 2))
		interval, burst := time.Duration(10+rng.IntN(100))*time.Millisecond, 1+rng.IntN(6)
		s := pace.NewSpacing(interval, burst)
		var kept, open []time.Time
		now := start
		for range 300 {
			switch rng.IntN(4) {
			case 0:
				now = now.Add(time.Duration(rng.IntN(int(interval) * 2)))
			case 1:
				if i := len(open) - 1; i >= 0 {
					j := rng.IntN(len(open))
					s.Refund(open[j], now)
					open[j], open = open[i], open[:i]
				}
			default:
				if now = s.Next(now); rng.IntN(3) > 0 {
					kept = append(kept, now)
				} else {
					open = append(open, now)
				}
				s.Reserve(now)
			}
		}
		kept = append(kept, open...) // never given back
		slices.SortFunc(kept, time.Time.Compare)
		for i := range kept {
			for j := i; j < len(kept); j++ {
				if most := burst + int(kept[j].Sub(kept[i])/(interval-10*time.Microsecond)); j-i+1 > most {
					t.Fatalf("seed %d: %d left within %v; want at most %d (burst %d, one in %v)", seed, j-i+1, kept[j].Sub(kept[i]), most, burst, interval)
				}
			}
		}
	}
}

// Budget: 40 ns, no allocation.
func BenchmarkSpacing(b *testing.B) {
	s := pace.NewSpacing(time.Second, 4)
	b.ReportAllocs()
	for now := start; b.Loop(); {
		now = s.Next(now)
		s.Reserve(now)
	}
}
