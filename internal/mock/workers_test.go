package mock_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/mock"
)

// answered is an answer and how long it took.
type answered struct {
	status int
	body   string
	after  time.Duration
}

// sendAll sends the requests in order, each as soon as the one before it has got its place, and returns their answers.
func sendAll(s *mock.Server, asks ...ask) []answered {
	start := time.Now()
	answers := make([]answered, len(asks))
	var wg sync.WaitGroup
	for i, a := range asks {
		wg.Go(func() {
			rec := send(s, a)
			answers[i] = answered{rec.Code, rec.Body.String(), time.Since(start)}
		})
		synctest.Wait()
	}
	wg.Wait()
	return answers
}

func TestRequestsWaitForAWorkerInOrder(t *testing.T) {
	t.Parallel()
	bubble(t, "two workers, a queue of two", func(t *testing.T) {
		s := newServer(t, mock.Options{Workers: 2, QueueLength: 2, Service: 10 * time.Second})
		got := sendAll(s, ask{}, ask{}, ask{}, ask{}, ask{}, ask{model: "other"})
		for i, want := range []answered{
			{status: 200, after: 10 * time.Second},
			{status: 200, after: 10 * time.Second},
			{status: 200, after: 20 * time.Second},
			{status: 200, after: 20 * time.Second},
			{429, `{"status":429,"title":"Too Many Requests","detail":"maximum messages exceeded"}`, 0},
			{status: 200, after: 10 * time.Second}, // another model has its own workers
		} {
			if got[i].status != want.status || got[i].after != want.after || want.body != "" && got[i].body != want.body {
				t.Errorf("request %d: %+v; want %+v", i, got[i], want)
			}
		}
		if got := charges(s); got != 6 {
			t.Errorf("%d charged; want 6: a full queue comes after the limiter", got)
		}
	})
	bubble(t, "no queue", func(t *testing.T) {
		s := newServer(t, mock.Options{Workers: 2, QueueLength: -1, Service: 10 * time.Second})
		got := sendAll(s, ask{}, ask{}, ask{})
		if got[2].status != 503 || !strings.Contains(got[2].body, "ResourceExhausted: Worker local total request limit reached (3/2)") || got[2].after != 0 {
			t.Errorf("a third request beside two workers: %+v; want a 503 that says 3/2, at once", got[2])
		}
	})
	bubble(t, "any number of workers", func(t *testing.T) {
		s := newServer(t, mock.Options{Workers: -1, Service: 10 * time.Second})
		for i, got := range sendAll(s, make([]ask, 40)...) {
			if got.status != 200 || got.after != 10*time.Second {
				t.Errorf("request %d: %+v; want 200 after 10s", i, got)
			}
		}
	})
}

func TestTheGatewayWaitsAsLongAsThePollTime(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, poll string
		service    time.Duration
		want       []answered // of two requests for one worker
	}{
		{"short work", "5", 3 * time.Second, []answered{{200, "", 3 * time.Second}, {200, "", 6 * time.Second}}},
		{"work longer than the poll time: 202 while the worker goes on", "5", 8 * time.Second, []answered{{202, "", 5 * time.Second}, {202, "", 10 * time.Second}}},
		{"by default five minutes", "", 301 * time.Second, []answered{{202, "", 300 * time.Second}, {202, "", 600 * time.Second}}},
		{"at least a second", "0", 2 * time.Second, []answered{{202, "", time.Second}, {202, "", 2 * time.Second}}},
	} {
		bubble(t, tt.name, func(t *testing.T) {
			s := newServer(t, mock.Options{Workers: 1, Service: tt.service})
			a := ask{header: []string{"NVCF-POLL-SECONDS: " + tt.poll}}
			for i, got := range sendAll(s, a, a) {
				if got.status != tt.want[i].status || got.after != tt.want[i].after {
					t.Errorf("request %d: %d after %v; want %d after %v", i, got.status, got.after, tt.want[i].status, tt.want[i].after)
				}
			}
		})
	}
	bubble(t, "no worker in that time and two seconds: an empty 504", func(t *testing.T) {
		s := newServer(t, mock.Options{Workers: 1, Service: time.Minute})
		got := sendAll(s, ask{}, ask{header: []string{"NVCF-POLL-SECONDS: 5"}})
		if got[1] != (answered{504, "", 7 * time.Second}) {
			t.Errorf("the second of two: %+v; want an empty 504 after 7s", got[1])
		}
	})
}

func TestAClientThatLeavesTheQueueGivesItsPlaceBack(t *testing.T) {
	t.Parallel()
	bubble(t, "", func(t *testing.T) {
		s := newServer(t, mock.Options{Workers: 1, QueueLength: 1, Service: 10 * time.Second})
		ctx, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		got := sendAll(s, ask{}, ask{ctx: ctx})
		if got[1] != (answered{-1, "", time.Second}) {
			t.Errorf("who left after a second got %+v; want nothing, after 1s", got[1])
		}
		got = sendAll(s, ask{}, ask{}, ask{})
		if got[0].status != 200 || got[1].status != 200 || got[2].status != 429 {
			t.Errorf("then three got %+v; want a worker, a place in the queue, and 429", got)
		}
		if got := s.Stats(); got.Aborted != 1 || got.Scopes[0].Running != 0 {
			t.Errorf("Stats() = %+v; want one aborted and none running", got)
		}
	})
}

func TestSilenceBeforeTheFirstByteAndBetweenEvents(t *testing.T) {
	t.Parallel()
	bubble(t, "", func(t *testing.T) {
		s := newServer(t, mock.Options{Service: 40 * time.Second, FirstByte: 50 * time.Second, ChunkGap: 2 * time.Second, Chunks: 3})
		start := time.Now()
		w := &watch{ResponseRecorder: httptest.NewRecorder()}
		s.ServeHTTP(w, ask{body: `{"model":"m","stream":true}`}.request())
		want := []time.Duration{90 * time.Second, 92 * time.Second, 94 * time.Second, 96 * time.Second, 98 * time.Second}
		if len(w.flushes) != len(want) {
			t.Fatalf("%d flushes; want one for each of 3 words, the end and [DONE]", len(w.flushes))
		}
		for i, got := range w.flushes {
			if got.Sub(start) != want[i] {
				t.Errorf("event %d came after %v; want %v", i, got.Sub(start), want[i])
			}
		}
	})
}

// watch notes when it is flushed.
type watch struct {
	*httptest.ResponseRecorder
	flushes []time.Time
}

func (w *watch) Flush() { w.flushes = append(w.flushes, time.Now()) }

func TestCloseEndsEveryWait(t *testing.T) {
	t.Parallel()
	bubble(t, "", func(t *testing.T) {
		s := newServer(t, mock.Options{Workers: 1, Service: time.Hour})
		arm(t, s, mock.Fault{Name: "hang", Model: "silent"})
		time.AfterFunc(time.Second, func() { s.Close() })
		a := ask{header: []string{"NVCF-POLL-SECONDS: 3600"}}
		for i, got := range sendAll(s, a, a, ask{model: "silent", header: a.header}) {
			if got != (answered{-1, "", time.Second}) {
				t.Errorf("request %d: %+v; want it broken off after 1s", i, got)
			}
		}
	})
}
