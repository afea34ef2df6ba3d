package sim

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/mock"
)

// crowd sends n chats from that many clients at once, each with the headers that of gives for its number, and returns the replies.
func crowd(l *Lab, n, clients int, of func(i int) (model string, stream bool, headers []string)) []Reply {
	replies := make([]Reply, n)
	next := make(chan int, n)
	for i := range n {
		next <- i
	}
	close(next)
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for i := range next {
				model, stream, headers := of(i)
				replies[i] = l.Chat(model, stream, headers...)
			}
		})
	}
	wg.Wait()
	return replies
}

// wantAll200 fails for each reply that is not a whole 200.
func wantAll200(t *testing.T, replies []Reply) {
	t.Helper()
	for i, r := range replies {
		if r.Err != nil || r.Status != http.StatusOK {
			t.Errorf("reply %d = %d %q, error %v; want a whole 200", i, r.Status, r.Body, r.Err)
		}
	}
}

// wantNoRefusal fails if the mock refused anything or found a window with more than its limit.
func wantNoRefusal(t *testing.T, m *mock.Server) {
	t.Helper()
	stats := m.Stats()
	if stats.Refused != 0 {
		t.Errorf("the upstream refused %d; want 0", stats.Refused)
	}
	for _, scope := range stats.Scopes {
		for _, w := range scope.Windows {
			if most, _, _ := strings.Cut(w.Rate, "-"); w.MostCharged > atoi(t, most) {
				t.Errorf("%s/%s: a window of %s held %d", scope.Account, scope.Model, w.Rate, w.MostCharged)
			}
		}
	}
}

// 20 leave in each 60.5 s, the margin included, evenly: so the 100th leaves before five times that, and is answered 300 ms later.
func TestACrowdIsServedWithoutARefusalWhateverTheUpstreamCounts(t *testing.T) {
	const window, service = 60500 * time.Millisecond, 300 * time.Millisecond
	for _, limiter := range []string{"nvidia", "minute", "sliding", "sliding-refusals", "bucket"} {
		t.Run(limiter, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(t, Setup{Mock: mock.Options{Limits: "20-M", Limiter: limiter, Service: service}, Env: []string{"SIDECAR_LIMITS=20-M"}})
				defer l.Close()
				replies := crowd(l, 100, 30, func(i int) (string, bool, []string) {
					return "m/a", i%2 == 0, []string{fmt.Sprintf("X-Sidecar-Priority: %d", i%4)}
				})
				wantAll200(t, replies)
				wantNoRefusal(t, l.Mock)
				if took, most := slices.MaxFunc(replies, byEnd).At.Sub(epoch), 5*window+service; took > most {
					t.Errorf("100 requests at 20 a minute took %s; want at most %s", took, most)
				}
			})
		})
	}
}

// atoi reads the number of a limit.
func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("the mock names a limit %q: %v", s, err)
	}
	return n
}

// epoch is when a bubble's clock begins.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func byEnd(a, b Reply) int { return a.At.Compare(b.At) }

func TestUrgentOvertakesABacklogOfLow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(t, Setup{Mock: mock.Options{Limits: "20-M"}, Env: []string{"SIDECAR_LIMITS=20-M"}})
		defer l.Close()
		var low []Reply
		done := make(chan struct{})
		go func() {
			defer close(done)
			low = crowd(l, 60, 60, func(int) (string, bool, []string) { return "m/a", false, []string{"X-Sidecar-Priority: low"} })
		}()
		time.Sleep(time.Second)
		urgent := crowd(l, 3, 3, func(int) (string, bool, []string) { return "m/a", false, []string{"X-Sidecar-Priority: urgent"} })
		<-done
		wantAll200(t, append(slices.Clone(low), urgent...))
		// Paced at 20 in 60.5 s, the next three slots come within three send intervals of 60.5 s / 20.4.
		for i, r := range urgent {
			if most := 9 * time.Second; r.Took > most {
				t.Errorf("urgent request %d took %s behind 56 LOW ones; want at most %s", i, r.Took, most)
			}
		}
	})
}

func TestARefusedRequestKeepsItsPlaceAndItsClientSees200(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Told 20, the upstream allows 10: it refuses, and the refusals count in its windows.
		l := New(t, Setup{Mock: mock.Options{Limits: "10-M"}, Env: []string{"SIDECAR_LIMITS=20-M"}})
		defer l.Close()
		replies := crowd(l, 30, 30, func(int) (string, bool, []string) { return "m/a", false, nil })
		wantAll200(t, replies)
		if refused := l.Mock.Stats().Refused; refused == 0 {
			t.Errorf("the upstream refused none; want some, or the test shows nothing")
		}
		if n := len(l.Log.Lines(`"msg":"request"`, `"status":200`)); n != 30 {
			t.Errorf("%d log lines with status 200; want 30", n)
		}
	})
}

func TestAPausedModelDoesNotHoldBackAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(t, Setup{Mock: mock.Options{Limits: "40-M", ModelLimits: map[string]string{"m/closed": "1-H"}}, Env: []string{"SIDECAR_LIMITS=40-M"}})
		defer l.Close()
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			crowd(l, 5, 5, func(int) (string, bool, []string) {
				return "m/closed", false, []string{"X-Sidecar-Priority: urgent", "X-Sidecar-Max-Wait: 2m"}
			})
		}()
		time.Sleep(5 * time.Second)
		if r := l.Chat("m/open", false, "X-Sidecar-Priority: low"); r.Status != http.StatusOK || r.Took > time.Second {
			t.Errorf("LOW on another model = %d after %s; want 200 at once", r.Status, r.Took)
		}
		<-closed
	})
}

func TestAWaitEndsExactlyAtItsLongest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(t, Setup{Mock: mock.Options{Limits: "none", Limiter: "none"}, Env: []string{"SIDECAR_LIMITS=1-H", "SIDECAR_MAX_WAIT=15m"}})
		defer l.Close()
		if r := l.Chat("m/a", false); r.Status != http.StatusOK {
			t.Fatalf("first = %d; want 200", r.Status)
		}
		r := l.Chat("m/a", false)
		if r.Status != http.StatusServiceUnavailable || r.Header.Get("X-Sidecar-Reason") != "queue_timeout" || r.Took != 15*time.Minute {
			t.Errorf("second = %d %q after %s; want 503 queue_timeout after exactly 15m", r.Status, r.Header.Get("X-Sidecar-Reason"), r.Took)
		}
	})
}

func TestAClientThatLeavesTheQueueCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(t, Setup{Mock: mock.Options{Limits: "none", Limiter: "none"}, Env: []string{"SIDECAR_LIMITS=1-M"}})
		defer l.Close()
		l.Chat("m/a", false)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if r := l.Do(ctx, http.MethodPost, "/v1/chat/completions", `{"model":"m/a"}`); r.Err == nil {
			t.Fatalf("the abandoned request = %d; want an error", r.Status)
		}
		r := l.Chat("m/a", false) // the slot of the second minute is this one's
		if r.Status != http.StatusOK || r.At.Sub(epoch) > 61*time.Second {
			t.Errorf("the next request = %d at %s; want 200 within 61s", r.Status, r.At.Sub(epoch))
		}
		if n := l.Mock.Stats().Accepted; n != 2 {
			t.Errorf("the upstream charged %d requests; want 2", n)
		}
		if n := len(l.Log.Lines(`"status":499`, `"reason":"cancelled"`, `"phase":"queue"`)); n != 1 {
			t.Errorf("%d log lines of the client that left; want 1:\n%s", n, l.Log)
		}
	})
}
