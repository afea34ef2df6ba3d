package health

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// upstream is a check whose result and duration a test decides. Its fields may change while no check is under way.
type upstream struct {
	err   error
	takes time.Duration
	deaf  bool // it does not heed its context
	runs  int
}

func (u *upstream) check(ctx context.Context) error {
	u.runs++
	pause := time.NewTimer(u.takes)
	defer pause.Stop()
	if u.deaf {
		<-pause.C
		return u.err
	}
	select {
	case <-pause.C:
		return u.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// bubble runs a test in virtual time with a Health over u that is being Run, and ends Run with the test.
func bubble(t *testing.T, u *upstream, test func(t *testing.T, h *Health)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := New(Options{Checks: []Check{{Name: "upstream", Run: u.check}}})
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := h.Run(ctx); err != nil {
				t.Errorf("Run = %v; want nil", err)
			}
		})
		synctest.Wait()
		test(t, h)
		stop()
		running.Wait()
	})
}

// probe asks and returns the status, the body, and how long the answer took.
func probe(t *testing.T, handler http.Handler, path string) (status int, body string, took time.Duration) {
	t.Helper()
	begin := time.Now()
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w.Code, strings.TrimSpace(w.Body.String()), time.Since(begin)
}

// expect probes readiness and compares status and duration.
func expect(t *testing.T, h *Health, status int, took time.Duration) {
	t.Helper()
	gotStatus, body, gotTook := probe(t, h.Ready(), "/readyz?verbose")
	if gotStatus != status || gotTook != took {
		t.Errorf("readiness = %d after %v; want %d after %v; %s", gotStatus, gotTook, status, took, body)
	}
}

// expectRuns compares how often the check ran, once everybody has come to rest.
func (u *upstream) expectRuns(t *testing.T, want int) {
	t.Helper()
	synctest.Wait()
	if u.runs != want {
		t.Errorf("the check ran %d times; want %d", u.runs, want)
	}
}

func TestEveryCheckRunsOnceAtStart(t *testing.T) {
	u := &upstream{}
	bubble(t, u, func(t *testing.T, h *Health) {
		u.expectRuns(t, 1)
		if !h.Healthy() {
			t.Error("Healthy() = false after a good first check; want true")
		}
		expect(t, h, http.StatusOK, 0)
		u.expectRuns(t, 1)
	})
}

func TestNotReadyUntilTheFirstCheckHasEnded(t *testing.T) {
	bubble(t, &upstream{takes: 350 * time.Millisecond}, func(t *testing.T, h *Health) {
		expect(t, h, http.StatusServiceUnavailable, Patience)
		expect(t, h, http.StatusServiceUnavailable, Patience)
		expect(t, h, http.StatusServiceUnavailable, Patience)
		expect(t, h, http.StatusOK, 50*time.Millisecond)
	})
}

func TestWithoutRunTheAnswerIsNotReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := New(Options{Checks: []Check{{Name: "upstream", Run: new(upstream).check}}})
		expect(t, h, http.StatusServiceUnavailable, Patience)
		if h.Healthy() {
			t.Error("Healthy() = true before any check; want false")
		}
	})
}

func TestWithoutChecksTheAnswerIsReady(t *testing.T) {
	t.Parallel()
	if !New(Options{}).Healthy() {
		t.Error("Healthy() with nothing to check = false; want true")
	}
}

func TestAGoodResultIsBelievedForTenSeconds(t *testing.T) {
	u := &upstream{}
	bubble(t, u, func(t *testing.T, h *Health) {
		u.err = errors.New("connection refused")
		time.Sleep(DefaultTTL - time.Nanosecond)
		expect(t, h, http.StatusOK, 0)
		u.expectRuns(t, 1)
		time.Sleep(time.Nanosecond)
		expect(t, h, http.StatusServiceUnavailable, 0)
		u.expectRuns(t, 2)
	})
}

func TestABadResultIsBelievedForTwoSeconds(t *testing.T) {
	u := &upstream{err: errors.New("connection refused")}
	bubble(t, u, func(t *testing.T, h *Health) {
		u.err = nil
		time.Sleep(BadTTL - time.Nanosecond)
		expect(t, h, http.StatusServiceUnavailable, 0)
		u.expectRuns(t, 1)
		time.Sleep(time.Nanosecond)
		expect(t, h, http.StatusOK, 0)
		u.expectRuns(t, 2)
	})
}

func TestACheckMayChooseItsOwnTTL(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		ttl      time.Duration
		err      error
		believed time.Duration
	}{
		{"longer and good", time.Minute, nil, time.Minute},
		{"longer and bad", time.Minute, errors.New("down"), BadTTL},
		{"shorter and good", time.Second, nil, time.Second},
		{"shorter and bad", time.Second, errors.New("down"), time.Second},
		{"default and good", 0, nil, DefaultTTL},
		{"default and bad", 0, errors.New("down"), BadTTL},
	} {
		c := New(Options{Checks: []Check{{TTL: tt.ttl}}}).checks[0]
		ended := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		c.err, c.ended = tt.err, ended
		if !c.fresh(ended.Add(tt.believed-1)) || c.fresh(ended.Add(tt.believed)) {
			t.Errorf("%s: the result is not believed for exactly %v", tt.name, tt.believed)
		}
	}
}

func TestAHangingCheckDelaysNoAnswerAndBecomesABadResult(t *testing.T) {
	u := &upstream{}
	bubble(t, u, func(t *testing.T, h *Health) {
		u.takes = time.Hour
		time.Sleep(DefaultTTL)
		for range int(DefaultTimeout/Patience) - 1 {
			expect(t, h, http.StatusOK, Patience) // the last result known is a good one
		}
		time.Sleep(Patience)
		expect(t, h, http.StatusServiceUnavailable, 0)
		if _, body, _ := probe(t, h.Ready(), "/readyz?verbose"); !strings.Contains(body, context.DeadlineExceeded.Error()) {
			t.Errorf("body = %s; want it to hold %q", body, context.DeadlineExceeded)
		}
		u.expectRuns(t, 2)
		u.takes = 0
		time.Sleep(BadTTL)
		expect(t, h, http.StatusOK, 0)
	})
}

func TestACheckThatDoesNotHeedItsContextIsABadResult(t *testing.T) {
	u := &upstream{}
	bubble(t, u, func(t *testing.T, h *Health) {
		u.takes, u.deaf = time.Minute, true
		time.Sleep(DefaultTTL)
		expect(t, h, http.StatusOK, Patience)
		time.Sleep(DefaultTimeout - Patience)
		if !h.Healthy() {
			t.Error("Healthy() = false before the check's time is over; want true")
		}
		time.Sleep(time.Nanosecond)
		if h.Healthy() {
			t.Error("Healthy() = true after the check's time is over; want false")
		}
		expect(t, h, http.StatusServiceUnavailable, Patience)
		if _, body, _ := probe(t, h.Ready(), "/readyz?verbose"); !strings.Contains(body, errHangs.Error()) {
			t.Errorf("body = %s; want it to hold %q", body, errHangs)
		}
		u.expectRuns(t, 2)
		time.Sleep(time.Minute)
		expect(t, h, http.StatusOK, 0) // it came back
	})
}

func TestAThousandProbesCostOneCheck(t *testing.T) {
	u := &upstream{}
	bubble(t, u, func(t *testing.T, h *Health) {
		u.takes = 50 * time.Millisecond
		time.Sleep(DefaultTTL)
		var probes sync.WaitGroup
		for range 1000 {
			probes.Go(func() { expect(t, h, http.StatusOK, u.takes) })
		}
		probes.Wait()
		u.expectRuns(t, 2)
	})
}

func TestAProbeSeesTheChangeThatItsCheckFinds(t *testing.T) {
	u := &upstream{}
	bubble(t, u, func(t *testing.T, h *Health) {
		u.err, u.takes = errors.New("connection refused"), 99*time.Millisecond
		time.Sleep(DefaultTTL)
		expect(t, h, http.StatusServiceUnavailable, 99*time.Millisecond)
	})
}

func TestHealthyDoesNotWaitButHasStaleChecksRunAgain(t *testing.T) {
	u := &upstream{}
	bubble(t, u, func(t *testing.T, h *Health) {
		u.err = errors.New("connection refused")
		time.Sleep(time.Hour)
		u.expectRuns(t, 1) // nobody asked
		if !h.Healthy() {
			t.Error("Healthy() = false; want the last result known, which is good")
		}
		synctest.Wait()
		if h.Healthy() {
			t.Error("Healthy() = true; want what the check asked for by the call before has found")
		}
		u.expectRuns(t, 2)
	})
}

func TestAProbeThatLeavesIsNotHeldBack(t *testing.T) {
	bubble(t, &upstream{takes: time.Second}, func(t *testing.T, h *Health) {
		ctx, leave := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer leave()
		begin := time.Now()
		h.Ready().ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/readyz", nil))
		if took := time.Since(begin); took != 30*time.Millisecond {
			t.Errorf("the handler returned after %v; want 30ms", took)
		}
	})
}

func TestDrainingIsNotReadyAtOnceAndAlive(t *testing.T) {
	u := &upstream{}
	bubble(t, u, func(t *testing.T, h *Health) {
		u.takes = time.Hour
		time.Sleep(DefaultTTL) // stale: a probe would wait
		h.SetDraining()
		status, body, took := probe(t, h.Ready(), "/readyz")
		if status != http.StatusServiceUnavailable || body != `{"status":"draining"}` || took != 0 {
			t.Errorf("readiness = %d %s after %v; want 503 draining at once", status, body, took)
		}
		if h.Healthy() {
			t.Error("Healthy() = true while draining; want false")
		}
		if status, _, _ := probe(t, h.Live(), "/livez"); status != http.StatusOK {
			t.Errorf("liveness while draining = %d; want 200", status)
		}
		u.expectRuns(t, 1)
	})
}

func TestLivenessAsksNoCheck(t *testing.T) {
	u := &upstream{err: errors.New("connection refused")}
	bubble(t, u, func(t *testing.T, h *Health) {
		time.Sleep(time.Hour)
		status, body, took := probe(t, h.Live(), "/livez")
		if status != http.StatusOK || body != `{"status":"alive"}` || took != 0 {
			t.Errorf("liveness = %d %s after %v; want 200 alive at once", status, body, took)
		}
		u.expectRuns(t, 1)
	})
}

func TestTheBodySaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := New(Options{Checks: []Check{
			{Name: "store", Run: func(context.Context) error { return nil }},
			{Name: "upstream", Run: func(context.Context) error { return errors.New(`dial "up": refused`) }},
		}})
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if err := h.Run(ctx); err != nil {
			t.Errorf("Run = %v; want nil", err)
		}
		const unknown = `{"status":"not_ready","failed":["store","upstream"]}`
		if _, body, _ := probe(t, h.Ready(), "/readyz"); body != unknown {
			t.Errorf("after checks that were cut short: body = %s; want %s", body, unknown)
		}

		for _, c := range h.checks {
			h.refresh(t.Context(), c)
		}
		time.Sleep(1500 * time.Millisecond)
		for path, want := range map[string]string{
			"/readyz": `{"status":"not_ready","failed":["upstream"]}`,
			"/readyz?verbose": `{"status":"not_ready","failed":["upstream"],"checks":[{"name":"store","ok":true,"age_ms":1500},` +
				`{"name":"upstream","ok":false,"error":"dial \"up\": refused","age_ms":1500}]}`,
		} {
			w := httptest.NewRecorder()
			h.Ready().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
			if got := strings.TrimSpace(w.Body.String()); got != want {
				t.Errorf("%s = %s; want %s", path, got, want)
			}
			if got := w.Header().Get("Content-Type") + ", " + w.Header().Get("Cache-Control"); got != "application/json, no-store" {
				t.Errorf("%s has the headers %s; want application/json, no-store", path, got)
			}
		}
	})
}

func TestRunEndsWithItsContextAndNotBeforeItsCheck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ended := false
		h := New(Options{Checks: []Check{{Name: "upstream", Run: func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(time.Second) // it closes its connection
			ended = true
			return ctx.Err()
		}}}})
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		begin := time.Now()
		if err := h.Run(ctx); err != nil {
			t.Errorf("Run = %v; want nil", err)
		}
		if took := time.Since(begin); took != 2*time.Second || !ended {
			t.Errorf("Run returned after %v, check ended %v; want 2s, true", took, ended)
		}
	})
}

// BenchmarkReady: budget 5 µs for a probe with fresh results, most of it the recorder and the JSON.
func BenchmarkReady(b *testing.B) {
	h := New(Options{Checks: []Check{{Name: "upstream", Run: func(context.Context) error { return nil }, TTL: time.Hour}}})
	h.refresh(b.Context(), h.checks[0])
	ready, r := h.Ready(), httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/readyz", nil)
	b.ReportAllocs()
	for b.Loop() {
		ready.ServeHTTP(httptest.NewRecorder(), r)
	}
}

func ExampleHealth() {
	h := New(Options{Checks: []Check{{Name: "upstream", Run: func(context.Context) error { return errors.New("no route to host") }}}})
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = h.Run(ctx) })

	w := httptest.NewRecorder()
	h.Ready().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	fmt.Print(w.Code, " ", w.Body)
	stop()
	running.Wait()
	// Output:
	// 503 {"status":"not_ready","failed":["upstream"]}
}
