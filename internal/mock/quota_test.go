package mock_test

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"nimsidecar/internal/mock"
)

// bubble runs a test in virtual time.
func bubble(t *testing.T, name string, test func(t *testing.T)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, test)
	})
}

// sleepUntil waits until so long after start.
func sleepUntil(start time.Time, after time.Duration) { time.Sleep(time.Until(start.Add(after))) }

// The table measured on NVIDIA's limiter, one pod and three: how many of 100 requests pass 40-M, one at a time. The service
// time lets the check in the background end before the next request.
func TestABurstOfAHundredOneAtATime(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		o    mock.Options
		want int
	}{
		{"synchronous", mock.Options{}, 40},
		{"asynchronous, one pod: one leak", mock.Options{Async: true, AsyncPods: 1}, 41},
		{"asynchronous, three pods: a leak each", mock.Options{Async: true, AsyncPods: 3}, 43},
	} {
		bubble(t, tt.name, func(t *testing.T) {
			tt.o.Service = 25 * time.Millisecond
			s := newServer(t, tt.o)
			if got := passed(t, s, 100, ask{}); got != tt.want {
				t.Errorf("%d of 100 passed; want %d", got, tt.want)
			}
		})
	}
}

func TestABurstAllAtOnceLeaksWhole(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		async bool
		want  int64
	}{{"synchronous", false, 40}, {"asynchronous", true, 100}} {
		bubble(t, tt.name, func(t *testing.T) {
			s := newServer(t, mock.Options{Async: tt.async, AsyncPods: 1, Service: time.Second, Workers: -1})
			var ok atomic.Int64
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					if send(s, ask{}).Code == http.StatusOK {
						ok.Add(1)
					}
				})
			}
			wg.Wait()
			if got := ok.Load(); got != tt.want {
				t.Errorf("%d of 100 at once passed; want %d", got, tt.want)
			}
			if got := passed(t, s, 5, ask{}); got != 0 {
				t.Errorf("%d of the next 5 passed; want none: the flag is up", got)
			}
		})
	}
}

func TestTheFlagFallsAMinuteAfterTheLastRefusal(t *testing.T) {
	t.Parallel()
	bubble(t, "one pod", func(t *testing.T) {
		s := newServer(t, mock.Options{Limits: "1-H", Async: true, AsyncPods: 1, CheckLatency: 10 * time.Millisecond})
		start := time.Now()
		for _, step := range []struct {
			after time.Duration
			want  int
			why   string
		}{
			{0, 200, "within the limit"},
			{time.Second, 200, "over it, but nobody knows"},
			{2 * time.Second, 429, "flagged at 1.01 s"},
			{61 * time.Second, 429, "renewed at 2.01 s"},
			{121009 * time.Millisecond, 429, "renewed at 61.01 s"},
			{181 * time.Second, 429, "renewed at 121.019 s"},
			{241010 * time.Millisecond, 200, "the flag has gone by time, though the hour is spent"},
			{242 * time.Second, 429, "and is up again"},
		} {
			sleepUntil(start, step.after)
			if got := send(s, ask{}).Code; got != step.want {
				t.Errorf("after %v: %d; want %d: %s", step.after, got, step.want, step.why)
			}
		}
	})
}

func TestCloseWaitsForChecksUnderWay(t *testing.T) {
	t.Parallel()
	bubble(t, "latency of an hour", func(t *testing.T) {
		s := newServer(t, mock.Options{Async: true, CheckLatency: time.Hour})
		start := time.Now()
		passed(t, s, 50, ask{})
		s.Close() // a goroutine left behind would end the bubble with a failure
		if got := time.Since(start); got != 0 {
			t.Errorf("Close took %v; want it to end the checks at once", got)
		}
	})
}

// One hour of a client that retries blindly, by the figures of the description: every refused retry spends the hour's window.
func TestBlindRetriesSpendTheLongerWindow(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		limits string
		every  time.Duration
		want   int
	}{
		{"40-M,1000-H", time.Second, 680},
		{"40-M,1000-H", 500 * time.Millisecond, 360},
		{"40-M,2400-H", time.Second, 1600},
		{"40-M,2400-H", 500 * time.Millisecond, 800},
		{"40-M,1000-H", 1500 * time.Millisecond, 1000},
		{"40-M,2400-H", 1500 * time.Millisecond, 2400},
	} {
		bubble(t, fmt.Sprint(tt.limits, " every ", tt.every), func(t *testing.T) {
			s := newServer(t, mock.Options{Limits: tt.limits, Chunks: 1})
			got := 0
			for end := time.Now().Add(time.Hour); time.Now().Before(end); time.Sleep(tt.every) {
				got += passed(t, s, 1, ask{})
			}
			if got != tt.want {
				t.Errorf("%d got through in an hour; want %d", got, tt.want)
			}
		})
	}
}

func TestKeysOfAnAccountShareModelsDoNot(t *testing.T) {
	t.Parallel()
	s := newServer(t, mock.Options{
		Limits:        "3-D",
		ModelLimits:   map[string]string{"big": "1-D", "free": "none"},
		AccountLimits: map[string]string{"vip": "5-D"},
		Accounts:      map[string]string{"a1": "acme", "a2": "acme", "v": "vip"},
	})
	for _, tt := range []struct {
		ask  ask
		want int
		why  string
	}{
		{ask{key: "a1"}, 3, "the limit of everybody"},
		{ask{key: "a2"}, 0, "the same account"},
		{ask{key: "b"}, 3, "another account"},
		{ask{key: "a2", model: "other"}, 3, "another model"},
		{ask{key: "a1", model: "big"}, 1, "the model's own limit"},
		{ask{key: "a1", model: "free"}, 9, "a model without limit"},
		{ask{key: "v", model: "big"}, 5, "the account's own limit before the model's"},
	} {
		if got := passed(t, s, 9, tt.ask); got != tt.want {
			t.Errorf("key %s, model %s: %d of 9 passed; want %d: %s", tt.ask.key, tt.ask.model, got, tt.want, tt.why)
		}
	}
}

func TestTwoActiveVersionsAdmitAboutTwice(t *testing.T) {
	t.Parallel()
	s := newServer(t, mock.Options{Limits: "40-D", Versions: 2})
	if got := passed(t, s, 200, ask{}); got != 80 {
		t.Errorf("%d of 200 passed two versions of 40-D; want 80", got)
	}
	if first := newServer(t, mock.Options{Limits: "40-D", Versions: 2}); passed(t, first, 79, ask{}) == 79 {
		t.Error("79 of 79 passed; want a refusal before both versions are full, since they are drawn at random")
	}
}

func TestATimeScaleOfSixtyMakesTheMinuteASecond(t *testing.T) {
	t.Parallel()
	bubble(t, "40-M", func(t *testing.T) {
		s := newServer(t, mock.Options{TimeScale: 60})
		start := time.Now()
		for _, step := range []struct {
			after time.Duration
			want  int
		}{{0, 40}, {999 * time.Millisecond, 0}, {time.Second, 40}, {2 * time.Second, 40}} {
			sleepUntil(start, step.after)
			if got := passed(t, s, 41, ask{}); got != step.want {
				t.Errorf("after %v %d of 41 passed; want %d", step.after, got, step.want)
			}
		}
		last := s.Arrivals()[len(s.Arrivals())-1]
		if real, scaled := last.Time.Sub(start), last.At.Sub(start); real != 2*time.Second || scaled != 2*time.Minute {
			t.Errorf("the last arrival came after %v, on the limiter's clock %v; want 2s and 2m0s", real, scaled)
		}
	})
	bubble(t, "asynchronous flag", func(t *testing.T) {
		s := newServer(t, mock.Options{Limits: "1-H", TimeScale: 60, Async: true, AsyncPods: 1, CheckLatency: time.Millisecond})
		start := time.Now()
		for _, step := range []struct {
			after time.Duration
			want  int
		}{{0, 200}, {10 * time.Millisecond, 200}, {20 * time.Millisecond, 429}, {1022 * time.Millisecond, 200}} {
			sleepUntil(start, step.after)
			if got := send(s, ask{}).Code; got != step.want {
				t.Errorf("after %v: %d; want %d", step.after, got, step.want)
			}
		}
	})
}

func TestOtherKindsOfLimiter(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		o    mock.Options
		want []int // passed of 41 at 0, 30, 60 and 90 s; the bubble's clock begins at midnight
	}{
		{mock.Options{}, []int{40, 0, 40, 0}},
		{mock.Options{Limiter: "minute"}, []int{40, 0, 40, 0}},
		{mock.Options{Limiter: "sliding"}, []int{40, 0, 40, 0}},
		{mock.Options{Limiter: "sliding-refusals"}, []int{40, 0, 0, 0}},
		{mock.Options{Limiter: "bucket"}, []int{40, 20, 20, 20}},
		{mock.Options{Limiter: "bucket", Burst: 10}, []int{10, 10, 10, 10}},
		{mock.Options{Limiter: "none"}, []int{41, 41, 41, 41}},
	} {
		bubble(t, fmt.Sprint(tt.o.Limiter, tt.o.Burst), func(t *testing.T) {
			s := newServer(t, tt.o)
			start := time.Now()
			var got []int
			for i := range tt.want {
				sleepUntil(start, time.Duration(i)*30*time.Second)
				got = append(got, passed(t, s, 41, ask{}))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("passed of 41 every 30 s (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInFlightRefusesWhatFindsTooManyRunning(t *testing.T) {
	t.Parallel()
	bubble(t, "2", func(t *testing.T) {
		s := newServer(t, mock.Options{Limiter: "inflight", Limits: "2", Service: time.Minute})
		var wg sync.WaitGroup
		wg.Go(func() { send(s, ask{}) })
		wg.Go(func() { send(s, ask{}) })
		synctest.Wait()
		if got := passed(t, s, 3, ask{}); got != 0 {
			t.Errorf("%d passed beside two; want none", got)
		}
		wg.Wait()
		if got := passed(t, s, 3, ask{}); got != 3 {
			t.Errorf("%d of 3 one after the other passed; want all", got)
		}
		if got := s.Stats().Scopes[0]; got.MostRunning != 2 || got.Running != 0 || len(got.Windows) != 0 {
			t.Errorf("scope %+v; want two at once at most, none now, and no windows", got)
		}
	})
}

func TestLimitsChangeWhileItRuns(t *testing.T) {
	t.Parallel()
	bubble(t, "a limit that moves on a schedule", func(t *testing.T) {
		s := newServer(t, mock.Options{Limiter: "sliding", TimeScale: 60})
		start := time.Now()
		for _, c := range []mock.LimitChange{
			{Limits: "50-M", After: 3 * time.Minute},
			{Limits: "20-M", After: time.Minute},
			{Limits: "7-M", Model: "own"},
			{Limits: "none", Account: "nobody"},
		} {
			if err := s.SetLimits(c); err != nil {
				t.Fatalf("SetLimits(%+v) failed: %v", c, err)
			}
		}
		var got []int
		for i := range 4 {
			sleepUntil(start, time.Duration(i)*time.Second)
			got = append(got, passed(t, s, 60, ask{}), passed(t, s, 60, ask{model: "own"}))
		}
		if diff := cmp.Diff([]int{40, 7, 20, 7, 20, 7, 50, 7}, got); diff != "" {
			t.Errorf("passed of 60 each minute of the limiter (-want +got):\n%s", diff)
		}
	})
	bubble(t, "an nvidia limit of another text is another counter", func(t *testing.T) {
		s := newServer(t, mock.Options{Limits: "40-M,100-H"})
		var got []int
		for _, limits := range []string{"", "20-M,100-H", "40-M,100-H", "30-M,100-H", "30-M"} {
			if limits != "" {
				if err := s.SetLimits(mock.LimitChange{Limits: limits}); err != nil {
					t.Fatal(err)
				}
			}
			got = append(got, passed(t, s, 45, ask{}))
		}
		// 40; a fresh 20-M; 40-M still full; then the hour has seen 135 hits; and without it 30-M is full of refused hits.
		if diff := cmp.Diff([]int{40, 20, 0, 0, 0}, got); diff != "" {
			t.Errorf("passed of 45 after each change (-want +got):\n%s", diff)
		}
	})
	for _, tt := range []struct {
		name string
		c    mock.LimitChange
	}{
		{"no limits", mock.LimitChange{}},
		{"bad limits", mock.LimitChange{Limits: "x"}},
		{"both model and account", mock.LimitChange{Limits: "1-M", Model: "m", Account: "a"}},
		{"before now", mock.LimitChange{Limits: "1-M", After: -1}},
	} {
		if err := newServer(t, mock.Options{}).SetLimits(tt.c); err == nil {
			t.Errorf("SetLimits with %s succeeded; want an error", tt.name)
		}
	}
}

func TestResetForgetsEverything(t *testing.T) {
	t.Parallel()
	bubble(t, "", func(t *testing.T) {
		s := newServer(t, mock.Options{Limiter: "inflight", Limits: "1", Service: time.Minute})
		arm(t, s, mock.Fault{Name: "gone", Model: "other"})
		if err := s.SetLimits(mock.LimitChange{Limits: "9"}); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() { send(s, ask{}) })
		synctest.Wait()
		s.Reset()
		if got := s.Stats(); got.Requests != 0 || len(got.Scopes) != 0 || len(s.Arrivals()) != 0 {
			t.Errorf("Stats() after Reset = %+v; want nothing", got)
		}
		wg.Go(func() { send(s, ask{}) })
		synctest.Wait()
		if got := send(s, ask{}).Code; got != http.StatusTooManyRequests {
			t.Errorf("a second request beside one got %d; want 429: the limit is 1 again", got)
		}
		wg.Wait() // the old request must end against its old counters
		if got := send(s, ask{model: "other"}).Code; got != http.StatusOK {
			t.Errorf("the model of a fault armed before got %d; want 200", got)
		}
		if got := s.Stats().Scopes[0].Running; got != 0 {
			t.Errorf("%d still running; want none", got)
		}
	})
}
