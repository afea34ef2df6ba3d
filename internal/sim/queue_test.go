package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/mock"
)

// queued starts n chats that have to wait and returns a function that collects their replies.
func queued(l *Lab, n int, headers ...string) (collect func() []Reply) {
	replies := make([]Reply, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { replies[i] = l.Chat("m/a", false, headers...) })
		synctest.Wait() // one after the other, so that their order is known
	}
	return func() []Reply {
		wg.Wait()
		return replies
	}
}

func TestAFullQueueGivesTheLeastUrgentPlaceAway(t *testing.T) {
	bubble(t, Setup{Mock: mock.Options{Limiter: "none"}, Env: []string{"SIDECAR_LIMITS=1-M", "SIDECAR_QUEUE_CAPACITY=2"}}, func(t *testing.T, l *Lab) {
		l.Chat("m/a", false)
		low := queued(l, 2, "X-Sidecar-Priority: low")
		urgent := queued(l, 1, "X-Sidecar-Priority: urgent")
		normal := queued(l, 2) // the first takes the other LOW place, the second finds nothing below itself
		replies := slices.Concat(low(), urgent(), normal())
		var got []string
		for _, r := range replies {
			got = append(got, fmt.Sprintf("%d %s", r.Status, r.Header.Get("X-Sidecar-Reason")))
		}
		want := []string{"429 displaced", "429 displaced", "200 ", "200 ", "429 queue_full"}
		if !slices.Equal(got, want) {
			t.Errorf("replies = %q; want %q", got, want)
		}
		for _, r := range replies {
			if r.Status == http.StatusTooManyRequests && (r.Header.Get("Retry-After") == "" || r.Header.Get("Retry-After-Ms") == "" || r.Header.Get("X-Should-Retry") != "true") {
				t.Errorf("a refusal without its retry headers: %v", r.Header)
			}
		}
		metrics := l.Metrics()
		for _, line := range []string{
			`sidecar_requests_total{priority="LOW",status="ratelimited"} 2`,
			`sidecar_requests_total{priority="NORMAL",status="ratelimited"} 1`,
			`sidecar_requests_total{priority="NORMAL",status="success"} 2`,
			`sidecar_requests_total{priority="URGENT",status="success"} 1`,
			`sidecar_queue_depth{priority="LOW"} 0`,
			`sidecar_queue_latency_seconds_count{priority="URGENT"} 1`,
		} {
			if !strings.Contains(metrics, line+"\n") {
				t.Errorf("the metrics lack %s", line)
			}
		}
	})
}

func TestPassthroughSendsWithoutASlotAndCountsIt(t *testing.T) {
	env := []string{"SIDECAR_LIMITS=1-M", "SIDECAR_QUEUE_CAPACITY=1", "SIDECAR_OVERFLOW=passthrough"}
	bubble(t, Setup{Mock: mock.Options{Limiter: "none"}, Env: env}, func(t *testing.T, l *Lab) {
		l.Chat("m/a", false)
		waiting := queued(l, 1)
		if r := l.Chat("m/a", false); r.Status != http.StatusOK || r.Took != 0 {
			t.Errorf("overflow = %d after %s; want 200 at once", r.Status, r.Took)
		}
		wantAll200(t, waiting())
		if want := "sidecar_fallback_passthrough_total 1\n"; !strings.Contains(l.Metrics(), want) {
			t.Errorf("the metrics lack %s", want)
		}
	})
}

func TestAPassthroughThatIsRefusedShowsTheUpstreams429(t *testing.T) {
	env := []string{"SIDECAR_LIMITS=1-M", "SIDECAR_QUEUE_CAPACITY=1", "SIDECAR_OVERFLOW=passthrough"}
	bubble(t, Setup{Mock: mock.Options{Limits: "1-M"}, Env: env}, func(t *testing.T, l *Lab) {
		l.Chat("m/a", false)
		waiting := queued(l, 1)
		if r := l.Chat("m/a", false); r.Status != http.StatusTooManyRequests || r.Took != 0 {
			t.Errorf("overflow = %d after %s; want the upstream's 429 at once", r.Status, r.Took)
		}
		wantAll200(t, waiting())
	})
}

func TestARequestThatMayNotWaitIsToldAtOnce(t *testing.T) {
	bubble(t, Setup{Mock: mock.Options{Limiter: "none"}, Env: []string{"SIDECAR_LIMITS=1-M"}}, func(t *testing.T, l *Lab) {
		if r := l.Chat("m/a", false, "X-Sidecar-Max-Wait: 0s"); r.Status != http.StatusOK {
			t.Errorf("with a free slot = %d; want 200", r.Status)
		}
		for _, header := range []string{"X-Sidecar-Max-Wait: 0s", "X-Sidecar-Max-Wait: 20s", "X-Stainless-Timeout: 20"} {
			r := l.Chat("m/a", false, header)
			if r.Status != http.StatusServiceUnavailable || r.Header.Get("X-Sidecar-Reason") != "deadline" || r.Took != 0 {
				t.Errorf("%s = %d %q after %s; want 503 deadline at once", header, r.Status, r.Header.Get("X-Sidecar-Reason"), r.Took)
			}
		}
	})
}

func TestARefusalBeyondTheDeadlineIsToldAtOnce(t *testing.T) {
	bubble(t, Setup{Env: []string{"SIDECAR_LIMITS=40-M", "SIDECAR_MAX_WAIT=1m"}}, func(t *testing.T, l *Lab) {
		if err := l.Mock.Arm(mock.Fault{Name: "quota", Times: 1, Header: map[string]string{"Retry-After": "300"}}); err != nil {
			t.Fatal(err)
		}
		r := l.Chat("m/a", false)
		if r.Status != http.StatusTooManyRequests || r.Header.Get("X-Sidecar-Reason") != "upstream_rate_limited" || r.Took != 0 {
			t.Errorf("answer = %d %q after %s; want 429 upstream_rate_limited at once", r.Status, r.Header.Get("X-Sidecar-Reason"), r.Took)
		}
		if again := r.Header.Get("Retry-After"); again != "60" {
			t.Errorf("Retry-After = %q; want 60, the most that is ever said", again)
		}
		if r := l.Chat("m/b", false); r.Status != http.StatusOK || r.Took != 0 {
			t.Errorf("another model = %d after %s; want 200 at once", r.Status, r.Took)
		}
	})
}

func TestRetryAfterIsKeptInEveryForm(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"Retry-After: 20":  20 * time.Second,
		"Retry-After: 1.5": 1500 * time.Millisecond,
		"Retry-After: Sat, 01 Jan 2000 00:00:30 GMT": 30 * time.Second,
		"Retry-After-Ms: 250":                        250 * time.Millisecond,
		"X-None: 1":                                  60*time.Second + 500*time.Millisecond, // the end of the window, by our own log
	} {
		bubble(t, Setup{Env: []string{"SIDECAR_LIMITS=40-M", "SIDECAR_ADAPTIVE=false"}}, func(t *testing.T, l *Lab) {
			name, value, _ := strings.Cut(header, ": ")
			if err := l.Mock.Arm(mock.Fault{Name: "quota", Times: 1, Header: map[string]string{name: value}}); err != nil {
				t.Fatal(err)
			}
			r := l.Chat("m/a", false)
			if r.Status != http.StatusOK || r.Took != want || r.Header.Get("X-Sidecar-Attempts") != "2" {
				t.Errorf("%s: %d after %s in %s attempts; want 200 after %s in 2", header, r.Status, r.Took, r.Header.Get("X-Sidecar-Attempts"), want)
			}
		})
	}
}

func TestOnlyQuotaMovesThePace(t *testing.T) {
	for _, fault := range []string{"queue_full", "worker_exhausted", "workers_busy", "worker_quota", "degraded", "inactive", "no_worker"} {
		bubble(t, Setup{Env: []string{"SIDECAR_LIMITS=40-M"}}, func(t *testing.T, l *Lab) {
			if err := l.Mock.Arm(mock.Fault{Name: fault, Times: 1}); err != nil {
				t.Fatalf("%v; there are %q", err, mock.FaultNames())
			}
			first := make(chan Reply, 1)
			go func() { first <- l.Chat("m/a", false) }()
			synctest.Wait()
			if r := l.Chat("m/b", false); r.Status != http.StatusOK || r.Took != 0 {
				t.Errorf("%s: another model = %d after %s; want 200 at once", fault, r.Status, r.Took)
			}
			if r := l.Chat("m/a", false); r.Status != http.StatusOK || r.Took > time.Second {
				t.Errorf("%s: another request = %d after %s; want 200 after at most the second that busy workers are given", fault, r.Status, r.Took)
			}
			if r := <-first; r.Status != http.StatusOK || r.Took == 0 {
				t.Errorf("%s: the request itself = %d after %s; want 200 after a back-off", fault, r.Status, r.Took)
			}
		})
	}
}

func TestADeadKeyIsLeftForTheNext(t *testing.T) {
	env := []string{"SIDECAR_API_KEYS=nvapi-revoked,nvapi-good"}
	bubble(t, Setup{Mock: mock.Options{Keys: []string{"nvapi-good"}}, Env: env}, func(t *testing.T, l *Lab) {
		for i := range 8 { // conversations, each with a key of its own
			body := fmt.Sprintf(`{"model":"m/a","messages":[{"role":"user","content":"%d"}]}`, i)
			if r := l.Do(t.Context(), http.MethodPost, "/v1/chat/completions", body); r.Status != http.StatusOK {
				t.Errorf("answer = %d %q; want 200", r.Status, r.Body)
			}
		}
		if strings.Contains(l.Log.String(), "nvapi-") {
			t.Errorf("a key stands in the log")
		}
		if n := len(l.Log.Lines("key benched")); n != 1 {
			t.Errorf("%d lines tell of the dead key; want 1", n)
		}
	})
}

func TestTheLogLineHasTheContractsFieldsAndNoContent(t *testing.T) {
	bubble(t, Setup{}, func(t *testing.T, l *Lab) {
		l.Do(t.Context(), http.MethodPost, "/v1/chat/completions", `{"model":"m/a","messages":[{"role":"user","content":"PROMPT-CANARY"}]}`,
			"X-Sidecar-Agent: tester", "X-Request-Id: id-1")
		lines := l.Log.Lines(`"msg":"request"`)
		if len(lines) != 1 {
			t.Fatalf("%d log lines; want 1", len(lines))
		}
		var fields map[string]any
		if err := json.Unmarshal([]byte(lines[0]), &fields); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]any{
			"id": "id-1", "agent": "tester", "priority": "NORMAL", "model": "m/a", "provider": "upstream", "path": "/v1/chat/completions",
			"stream": false, "queue_ms": 0.0, "upstream_ms": 0.0, "first_byte_ms": 0.0, "attempts": 1.0, "status": 200.0, "reason": "",
			"input_tokens": 18.0, "output_tokens": 16.0, "bytes_in": 70.0, "bytes_out": 350.0,
		} {
			if fields[name] != want {
				t.Errorf("%s = %v; want %v", name, fields[name], want)
			}
		}
		for _, name := range []string{"key", "nvcf_reqid"} {
			if fields[name] == nil || fields[name] == "" {
				t.Errorf("%s is missing", name)
			}
		}
		everything := l.Log.String() + l.Metrics()
		for _, secret := range []string{"PROMPT-CANARY", "synthetic answer", "nvapi-test-key"} {
			if strings.Contains(everything, secret) {
				t.Errorf("%q stands in log or metrics", secret)
			}
		}
	})
}

func TestTheBudgetOfHeldBodiesIsKept(t *testing.T) {
	env := []string{"SIDECAR_LIMITS=1-M", "SIDECAR_QUEUE_MAX_BYTES=10KB", "SIDECAR_MAX_BODY=8KB"}
	bubble(t, Setup{Mock: mock.Options{Limiter: "none"}, Env: env}, func(t *testing.T, l *Lab) {
		body := `{"model":"m/a","x":"` + strings.Repeat("x", 6000) + `"}`
		l.Chat("m/a", false)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			l.Do(ctx, http.MethodPost, "/v1/chat/completions", body)
		}()
		synctest.Wait()
		r := l.Do(t.Context(), http.MethodPost, "/v1/chat/completions", body)
		if r.Status != http.StatusServiceUnavailable || r.Header.Get("X-Sidecar-Reason") != "overloaded" {
			t.Errorf("beyond the budget = %d %q; want 503 overloaded", r.Status, r.Header.Get("X-Sidecar-Reason"))
		}
		if !strings.Contains(l.Metrics(), "sidecar_queue_bytes 60") {
			t.Errorf("the metrics do not show the held bytes")
		}
		cancel()
		<-done
		synctest.Wait()
		if !strings.Contains(l.Metrics(), "sidecar_queue_bytes 0\n") {
			t.Errorf("the bytes of a client that left are still held")
		}
	})
}

func TestAnErrorEventAtTheStartOfAStreamIsARefusal(t *testing.T) {
	calls := 0
	upstream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/models") {
			return
		}
		calls++
		w.Header().Set("Content-Type", "text/event-stream")
		if calls == 1 {
			_, _ = io.WriteString(w, "data: {\"error\":{\"message\":\"ResourceExhausted: All workers are busy\",\"code\":503}}\n\n")
			return
		}
		_, _ = io.WriteString(w, "data: {\"choices\":[]}\n\ndata: [DONE]\n\n")
	})
	bubble(t, Setup{Handler: upstream}, func(t *testing.T, l *Lab) {
		r := l.Chat("m/a", true)
		if r.Status != http.StatusOK || strings.Contains(r.Body, "ResourceExhausted") || !strings.HasSuffix(r.Body, "[DONE]\n\n") {
			t.Errorf("answer = %d %q; want the second attempt's", r.Status, r.Body)
		}
	})
}
