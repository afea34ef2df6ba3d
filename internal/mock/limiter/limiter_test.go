package limiter_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nimsidecar/internal/mock/limiter"
)

var start = time.Date(2026, 1, 2, 3, 4, 30, 0, time.UTC)

// build returns a Limiter of the kind for a list of limits.
func build(t testing.TB, kind limiter.Kind, limits string, burst int) limiter.Limiter {
	t.Helper()
	l, err := limiter.New(limiter.Options{Kind: kind, Rates: rates(t, limits), Burst: burst})
	if err != nil {
		t.Fatalf("New(%s, %q) failed: %v", kind, limits, err)
	}
	return l
}

func rates(t testing.TB, limits string) []limiter.Rate {
	t.Helper()
	r, err := limiter.ParseRates(limits)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// passed sends hits at one moment and returns how many went through.
func passed(l limiter.Limiter, hits int, after time.Duration) (n int) {
	for range hits {
		if l.Hit(start.Add(after)) {
			n++
		}
	}
	return n
}

func TestNewRefusesWhatItCannotBuild(t *testing.T) {
	t.Parallel()
	minute := limiter.Rate{N: 40, Period: time.Minute}
	for _, tt := range []struct {
		name string
		o    limiter.Options
		want string
	}{
		{"no kind", limiter.Options{}, `unknown kind "", want one of nvidia, minute, sliding,`},
		{"a kind nobody knows", limiter.Options{Kind: "leaky"}, `unknown kind "leaky"`},
		{"negative burst", limiter.Options{Kind: limiter.Bucket, Burst: -1}, "burst -1 is negative"},
		{"window without period", limiter.Options{Kind: limiter.Sliding, Rates: []limiter.Rate{{N: 8}}}, "limit 8 has no period"},
		{"two of one period", limiter.Options{Kind: limiter.Minute, Rates: []limiter.Rate{minute, {N: 3, Period: time.Minute}}}, "limit 3-M: there is another"},
		{"cap with period", limiter.Options{Kind: limiter.InFlight, Rates: []limiter.Rate{minute}}, "limit 40-M: a cap"},
		{"two caps", limiter.Options{Kind: limiter.InFlight, Rates: []limiter.Rate{{N: 1}, {N: 2}}}, "only one cap"},
		{"bucket too large", limiter.Options{Kind: limiter.Bucket, Rates: []limiter.Rate{{N: 1, Period: day}}, Burst: 60_000}, "at most 53375"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := limiter.New(tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New(%+v) failed with %v; want %q", tt.o, err, tt.want)
			}
		})
	}
}

func TestWithoutRatesEverythingPasses(t *testing.T) {
	t.Parallel()
	for _, kind := range limiter.Kinds() {
		l, err := limiter.New(limiter.Options{Kind: kind})
		if err != nil {
			t.Fatal(err)
		}
		if got := passed(l, 100, 0); got != 100 {
			t.Errorf("%s without rates let %d of 100 through; want all", kind, got)
		}
		if got := l.State(start); got.Left < 1 || got.Wait != 0 {
			t.Errorf("%s without rates: State = %+v; want room at once", kind, got)
		}
	}
}

// The figures of the measurement on NVIDIA's own limiter: 5-S,40-M at ten a second admits 20 of the 40 of the minute, since
// the refused ones eat the rest.
func TestRefusedHitsEatTheLongerWindow(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		kind limiter.Kind
		want int
	}{{limiter.FirstHit, 20}, {limiter.Sliding, 40}} {
		l := build(t, tt.kind, "5-S,40-M", 0)
		got := 0
		for tick := range 600 {
			got += passed(l, 1, time.Duration(tick)*100*time.Millisecond)
		}
		if got != tt.want {
			t.Errorf("%s: ten a second for a minute against 5-S,40-M got %d through; want %d", tt.kind, got, tt.want)
		}
	}
}

func TestFirstHitOpensAWindowThatNothingExtends(t *testing.T) {
	t.Parallel()
	l := build(t, limiter.FirstHit, "40-M", 0)
	if got := passed(l, 1, 0) + passed(l, 39, 59900*time.Millisecond); got != 40 {
		t.Errorf("the first window let %d through; want 40", got)
	}
	if got := passed(l, 1, 60*time.Second-1); got != 0 {
		t.Error("a hit passed a nanosecond before the end of the window; want it refused")
	}
	// The worst burst a client can see: 79 within 0.2 s.
	if got := passed(l, 41, 60100*time.Millisecond); got != 40 {
		t.Errorf("the second window let %d of 41 through; want 40", got)
	}
}

func TestAChangedLimitIsCountedAsTheKindWould(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name              string
		kind              limiter.Kind
		lowered, restored int // let through of 40, right after 40-M became 20-M, and after it became 40-M again
	}{
		{"nvidia keys by the text: the new counter is empty, the old one still full", limiter.FirstHit, 20, 0},
		{"the clock's minute has one counter", limiter.Minute, 0, 0},
		{"a log is a log", limiter.Sliding, 0, 0},
		{"an empty bucket stays empty", limiter.Bucket, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := build(t, tt.kind, "40-M", 0)
			if got := passed(l, 40, 0); got != 40 {
				t.Fatalf("40-M let %d of 40 through; want 40", got)
			}
			l.SetRates(rates(t, "20-M"))
			if got := passed(l, 40, 0); got != tt.lowered {
				t.Errorf("20-M let %d of 40 through; want %d", got, tt.lowered)
			}
			l.SetRates(rates(t, "40-M"))
			if got := passed(l, 40, 0); got != tt.restored {
				t.Errorf("40-M again let %d of 40 through; want %d", got, tt.restored)
			}
		})
	}
}

func TestARaisedLimitGivesTheDifference(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		kind limiter.Kind
		want int
	}{{limiter.Minute, 20}, {limiter.Sliding, 20}, {limiter.SlidingRefusals, 20}, {limiter.FirstHit, 40}} {
		l := build(t, tt.kind, "20-M", 0)
		passed(l, 20, 0)
		l.SetRates(rates(t, "40-M"))
		if got := passed(l, 50, time.Second); got != tt.want {
			t.Errorf("%s: after 20 of 20-M a raise to 40-M let %d through; want %d", tt.kind, got, tt.want)
		}
	}
}

func TestInFlightCountsWhatHasNotEnded(t *testing.T) {
	t.Parallel()
	l := build(t, limiter.InFlight, "2", 0)
	if got := passed(l, 3, 0); got != 2 {
		t.Fatalf("a cap of 2 let %d of 3 through; want 2", got)
	}
	if got := l.State(start); got.Left != 0 || got.Wait != 0 {
		t.Errorf("State of a full cap = %+v; want no room, and no wait that time would end", got)
	}
	l.Done()
	if got := passed(l, 2, 0); got != 1 {
		t.Errorf("after one had ended the cap let %d of 2 through; want 1", got)
	}
	l.SetRates(rates(t, "1"))
	l.Done()
	if got := passed(l, 1, 0); got != 0 {
		t.Error("a cap lowered to 1 let a second one through; want it refused")
	}
	l.Done()
	defer func() {
		if recover() == nil {
			t.Error("Done without a hit did not panic; want the caller's bug named")
		}
	}()
	l.Done()
}

func TestStateTellsWhatHeadersSay(t *testing.T) {
	t.Parallel()
	minute, hour := limiter.Rate{N: 4, Period: time.Minute}, limiter.Rate{N: 6, Period: time.Hour}
	for _, tt := range []struct {
		name   string
		kind   limiter.Kind
		limits string
		hits   int
		after  time.Duration
		want   limiter.State
	}{
		{"fresh", limiter.FirstHit, "4-M", 0, 0, limiter.State{Rate: minute, Left: 4}},
		{"window half used", limiter.FirstHit, "4-M", 2, 10 * time.Second, limiter.State{Rate: minute, Left: 2, Reset: 50 * time.Second}},
		{"window full", limiter.FirstHit, "4-M", 5, 10 * time.Second, limiter.State{Rate: minute, Reset: 50 * time.Second, Wait: 50 * time.Second}},
		{"window over", limiter.FirstHit, "4-M", 5, time.Minute, limiter.State{Rate: minute, Left: 4}},
		{"clock's minute", limiter.Minute, "4-M", 4, 10 * time.Second, limiter.State{Rate: minute, Reset: 20 * time.Second, Wait: 20 * time.Second}},
		{"hour is the tighter one", limiter.FirstHit, "4-M,6-H", 6, time.Minute, limiter.State{Rate: hour, Reset: 59 * time.Minute, Wait: 59 * time.Minute}},
		{"of two that are full the one that lasts longer", limiter.FirstHit, "4-M,4-H", 4, 0, limiter.State{Rate: limiter.Rate{N: 4, Period: time.Hour}, Reset: time.Hour, Wait: time.Hour}},
		{"sliding", limiter.Sliding, "4-M", 3, 20 * time.Second, limiter.State{Rate: minute, Left: 1, Reset: 40 * time.Second}},
		{"bucket", limiter.Bucket, "4-M", 4, 6 * time.Second, limiter.State{Rate: minute, Reset: 54 * time.Second, Wait: 9 * time.Second}},
		{"cap", limiter.InFlight, "4", 3, 0, limiter.State{Rate: limiter.Rate{N: 4}, Left: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := build(t, tt.kind, tt.limits, 0)
			passed(l, tt.hits, 0)
			if diff := cmp.Diff(tt.want, l.State(start.Add(tt.after))); diff != "" {
				t.Errorf("State (-want +got):\n%s", diff)
			}
		})
	}
}

// BenchmarkHit has a budget of 100 ns and no allocation.
func BenchmarkHit(b *testing.B) {
	for _, kind := range limiter.Kinds() {
		b.Run(string(kind), func(b *testing.B) {
			limits := "40-M,1000-H"
			if kind == limiter.InFlight {
				limits = "8"
			}
			l := build(b, kind, limits, 0)
			now := start
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(700 * time.Millisecond)
				l.Hit(now)
			}
		})
	}
}
