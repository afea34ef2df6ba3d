package sim

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/mock"
)

// wantMetrics fails for each line that the exposition lacks.
func wantMetrics(t *testing.T, l *Lab, lines ...string) {
	t.Helper()
	metrics := l.Metrics()
	for _, line := range lines {
		if !strings.Contains(metrics, line+"\n") {
			name, _, _ := strings.Cut(line, " ")
			_, rest, _ := strings.Cut(metrics, "\n"+name+" ")
			got, _, _ := strings.Cut(rest, "\n")
			t.Errorf("the metrics say %s %s; want %s", name, got, line)
		}
	}
}

// afterHead is an upstream that answers at once, but the head only after a while, and the body only after another.
func afterHead(head, body time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/models") {
			return
		}
		_, _ = io.ReadAll(r.Body)
		<-time.After(head)
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-time.After(body)
		_, _ = io.WriteString(w, "ok")
	})
}

func TestARequestThatIsRefusedUnreadIsNotCountedAsUrgent(t *testing.T) {
	bubble(t, Setup{}, func(t *testing.T, l *Lab) {
		for _, request := range []string{
			"TRACE /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n",
			"POST /nobody/v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
			"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nX-Sidecar-Priority: soon\r\nContent-Length: 0\r\n\r\n",
		} {
			if resp, _ := raw(t, l, request); resp.Header.Get("X-Sidecar-Priority") != "NORMAL" {
				t.Errorf("%.20q: X-Sidecar-Priority = %q; want NORMAL", request, resp.Header.Get("X-Sidecar-Priority"))
			}
		}
		wantMetrics(t, l, `sidecar_requests_total{priority="URGENT",status="error"} 0`, `sidecar_requests_total{priority="NORMAL",status="error"} 3`)
	})
}

func TestTheTimeInTheQueueIsToldHoweverItEnds(t *testing.T) {
	bubble(t, Setup{Mock: mock.Options{Limiter: "none"}, Env: []string{"SIDECAR_LIMITS=1-H", "SIDECAR_MAX_WAIT=20s"}}, func(t *testing.T, l *Lab) {
		l.Chat("m/a", false)
		r := l.Chat("m/a", false)
		if got := r.Header.Get("X-Sidecar-Queue-Wait-Ms"); got != "20000" {
			t.Errorf("X-Sidecar-Queue-Wait-Ms of a timeout = %q; want 20000", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		l.Do(ctx, http.MethodPost, "/v1/chat/completions", `{"model":"m/a"}`)
		synctest.Wait()
		if n := len(l.Log.Lines(`"status":499`, `"queue_ms":10000`)); n != 1 {
			t.Errorf("%d lines tell of the ten seconds of the client that left; want 1:\n%s", n, l.Log)
		}
		wantMetrics(t, l, `sidecar_queue_latency_seconds_count{priority="NORMAL"} 3`, `sidecar_queue_latency_seconds_sum{priority="NORMAL"} 30`)
	})
}

func TestAllWaitsOfARequestAreSummed(t *testing.T) {
	bubble(t, Setup{Env: []string{"SIDECAR_LIMITS=40-M", "SIDECAR_ADAPTIVE=false"}}, func(t *testing.T, l *Lab) {
		if err := l.Mock.Arm(mock.Fault{Name: "quota", Times: 2, Header: map[string]string{"Retry-After": "20"}}); err != nil {
			t.Fatal(err)
		}
		if r := l.Chat("m/a", false); r.Status != http.StatusOK || r.Header.Get("X-Sidecar-Queue-Wait-Ms") != "40000" {
			t.Errorf("answer = %d after %s ms of waiting; want 200 after 40000", r.Status, r.Header.Get("X-Sidecar-Queue-Wait-Ms"))
		}
		wantMetrics(t, l, `sidecar_queue_latency_seconds_count{priority="NORMAL"} 1`, `sidecar_queue_latency_seconds_sum{priority="NORMAL"} 40`)
	})
}

func TestTheUpstreamsLatencyIsThatOfItsHead(t *testing.T) {
	bubble(t, Setup{Handler: afterHead(3*time.Second, 100*time.Second)}, func(t *testing.T, l *Lab) {
		r := l.Chat("m/a", false)
		if r.Status != http.StatusOK || r.Took != 103*time.Second {
			t.Errorf("answer = %d after %s; want 200 after 1m43s", r.Status, r.Took)
		}
		wantMetrics(t, l, `sidecar_upstream_latency_seconds_count{provider="upstream"} 1`, `sidecar_upstream_latency_seconds_sum{provider="upstream"} 3`)
		if n := len(l.Log.Lines(`"upstream_ms":103000`)); n != 1 {
			t.Errorf("%d log lines with the whole time of the attempt; want 1: %s", n, l.Log)
		}
	})
}

func TestEveryErrorOfOurOwnIsCountedByItsReason(t *testing.T) {
	bubble(t, Setup{Env: []string{"SIDECAR_LIMITS=40-M", "SIDECAR_MAX_WAIT=1m"}}, func(t *testing.T, l *Lab) {
		if err := l.Mock.Arm(mock.Fault{Name: "quota", Times: 1, Header: map[string]string{"Retry-After": "300"}}); err != nil {
			t.Fatal(err)
		}
		l.Chat("m/a", false)
		l.Do(t.Context(), http.MethodPost, "/chat/completions", "")
		_ = l.upstream.Close()
		l.Chat("m/b", false)
		for _, reason := range []string{"upstream_rate_limited", "upstream_unreachable", "bad_request"} {
			wantMetrics(t, l, fmt.Sprintf("sidecar_rejections_total{reason=%q} 1", reason))
		}
	})
}

func TestALongRequestAgesFromItsSendingNotFromItsAnswer(t *testing.T) {
	long := fmt.Sprintf(`{"model":"m/a","x":%q}`, strings.Repeat("x", 100<<10))
	bubble(t, Setup{Handler: afterHead(5*time.Minute, 0), Env: []string{"SIDECAR_LIMITS=2-M"}}, func(t *testing.T, l *Lab) {
		replies := make(chan Reply, 3)
		for range 3 {
			go func() { replies <- l.Do(t.Context(), http.MethodPost, "/v1/chat/completions", long) }()
		}
		for range 2 {
			<-replies
		}
		if r := <-replies; r.Header.Get("X-Sidecar-Queue-Wait-Ms") != "60500" {
			t.Errorf("the third waited %s ms for its slot; want 60500, the age of the first", r.Header.Get("X-Sidecar-Queue-Wait-Ms"))
		}
	})
}
