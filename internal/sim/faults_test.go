package sim

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"nimsidecar/internal/mock"
)

// hijacked is an upstream that writes bytes of its own to the connection and closes it, at once or when the peer does; it answers
// /models as usual.
func hijacked(answer string, hangs bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/models") {
			return
		}
		_, _ = io.ReadAll(r.Body)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(conn, answer)
		if hangs {
			_, _ = io.Copy(io.Discard, conn)
		}
		_ = conn.Close()
	})
}

const (
	sseHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	oneHi   = "a\r\ndata: hi\n\n\r\n" // a chunk with one event
)

func TestABreakOfTheUpstreamIsToldTruthfully(t *testing.T) {
	long := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{\"cut\":"
	for _, tt := range []struct {
		name    string
		answer  string
		hangs   bool
		status  int
		reason  string // of the header, or of the error event where the head was out
		body    string // what must be in it
		not     string // what must not
		cut     bool
		took    time.Duration
		counted string
		times   int // how often it is counted; 0 = once
		plain   bool
	}{
		{name: "short body", answer: "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"cut\":", status: 502, reason: "upstream_unreachable", body: "short_body", counted: "short_body", plain: true},
		{name: "long short body", answer: long, status: 200, body: "cut", cut: true, counted: "short_body"},
		{name: "no answer", answer: "", status: 502, reason: "upstream_unreachable", body: "no_response", counted: "no_response", times: 2},
		{name: "not HTTP", answer: "SSH-2.0-OpenSSH\r\n\r\n", status: 502, reason: "upstream_unreachable", body: "protocol", counted: "protocol"},
		{name: "endless head", answer: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 300<<10), status: 502, reason: "upstream_unreachable", body: "protocol", counted: "protocol"},
		{name: "stream cut after an event", answer: sseHead + oneHi, status: 200, body: `"code":"upstream_unreachable"`, not: "[DONE]", cut: true, counted: "reset"},
		{name: "stream cut inside an event", answer: sseHead + oneHi + "9\r\ndata: hal\r\n", status: 200, body: `"code":"upstream_unreachable"`, not: "hal", cut: true, counted: "reset"},
		{name: "stream with a broken chunk", answer: sseHead + oneHi + "zz\r\n", status: 200, body: `"code":"upstream_unreachable"`, cut: true},
		{name: "silence before the head", answer: "", hangs: true, status: 504, reason: "upstream_timeout", took: 10 * time.Minute, counted: "head_timeout", plain: true},
		{name: "silence in a stream", answer: sseHead + oneHi + "9\r\ndata: hal\r\n", hangs: true, status: 200, body: `"code":"upstream_timeout"`, not: "hal", cut: true, took: 5 * time.Minute, counted: "idle"},
		{name: "redirected", answer: "HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n", status: 302},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Setup{Handler: hijacked(tt.answer, tt.hangs)}, func(t *testing.T, l *Lab) {
				l.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
				r := l.Chat("m/a", !tt.plain)
				if r.Status != tt.status || r.Header.Get("X-Sidecar-Reason") != tt.reason || (r.Err != nil) != tt.cut {
					t.Errorf("answer = %d %q, error %v; want %d %q, cut %t", r.Status, r.Header.Get("X-Sidecar-Reason"), r.Err, tt.status, tt.reason, tt.cut)
				}
				if !strings.Contains(r.Body, tt.body) || tt.not != "" && strings.Contains(r.Body, tt.not) {
					t.Errorf("body = %q; want %q in it and not %q", r.Body, tt.body, tt.not)
				}
				if tt.took != 0 && r.Took != tt.took {
					t.Errorf("it took %s; want %s", r.Took, tt.took)
				}
				if want := fmt.Sprintf(`sidecar_upstream_errors_total{provider="upstream",status_code=%q} %d`, tt.counted, max(tt.times, 1)); tt.counted != "" && !strings.Contains(l.Metrics(), want) {
					t.Errorf("the metrics lack %s", want)
				}
				if n := len(l.Log.Lines(`"msg":"request"`)); n != 1 {
					t.Errorf("%d log lines; want 1", n)
				}
			})
		})
	}
}

func TestAnUpstreamThatIsDownIsReportedWithinTenSecondsAndChargesNothing(t *testing.T) {
	bubble(t, Setup{Env: []string{"SIDECAR_LIMITS=2-H"}}, func(t *testing.T, l *Lab) {
		_ = l.upstream.Close()
		for range 4 { // twice the limit: what never left is given back
			r := l.Chat("m/a", false)
			if r.Status != http.StatusBadGateway || r.Header.Get("X-Sidecar-Reason") != "upstream_unreachable" || r.Took > 10*time.Second {
				t.Errorf("answer = %d %q after %s; want 502 upstream_unreachable within 10s", r.Status, r.Header.Get("X-Sidecar-Reason"), r.Took)
			}
		}
		if !strings.Contains(l.Metrics(), `sidecar_upstream_errors_total{provider="upstream",status_code="connect"} 16`) {
			t.Errorf("the metrics do not tell of 4 attempts for each of 4 requests")
		}
	})
}

func TestAClientThatLeavesEndsTheUpstreamsWork(t *testing.T) {
	left := make(chan time.Time, 2)
	upstream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/models") {
			return
		}
		_, _ = io.ReadAll(r.Body)
		if strings.HasSuffix(r.URL.Path, "/completions") {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: 1\n\n")
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
		left <- time.Now()
	})
	for path, phase := range map[string]string{"/v1/chat/completions": "stream", "/v1/embeddings": "upstream"} {
		bubble(t, Setup{Handler: upstream}, func(t *testing.T, l *Lab) {
			left = make(chan time.Time, 2)
			ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
			defer cancel()
			began := time.Now()
			l.Do(ctx, http.MethodPost, path, `{"model":"m/a","stream":true}`)
			if got := (<-left).Sub(began); got != 7*time.Second {
				t.Errorf("%s: the upstream saw the end after %s; want 7s", path, got)
			}
			time.Sleep(time.Second)
			if want := fmt.Sprintf("sidecar_client_aborts_total{phase=%q} 1", phase); !strings.Contains(l.Metrics(), want) {
				t.Errorf("%s: the metrics lack %s", path, want)
			}
			if n := len(l.Log.Lines(`"status":499`, `"reason":"cancelled"`)); n != 1 {
				t.Errorf("%s: %d log lines with 499; want 1: %s", path, n, l.Log)
			}
		})
	}
}

func TestABodyThatDoesNotComeIsTheClientsMistake(t *testing.T) {
	for _, tt := range []struct {
		name, sent string
		close      bool
		status     int
		took       time.Duration
	}{
		{name: "slow", sent: "half", status: 408, took: 30 * time.Second},
		{name: "slow head", sent: "", status: 0, took: 10 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Setup{}, func(t *testing.T, l *Lab) {
				conn, err := l.Net.DialContext(t.Context(), "tcp", proxyAddr)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = conn.Close() }()
				began := time.Now()
				head := "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
				if tt.sent != "" {
					head += "\r\n" + tt.sent
				}
				_, _ = io.WriteString(conn, head)
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if tt.status == 0 {
					if err == nil && resp.StatusCode != http.StatusRequestTimeout {
						t.Errorf("answer = %v; want the connection's end", resp.Status)
					}
				} else if err != nil || resp.StatusCode != tt.status {
					t.Errorf("answer = %v, %v; want %d", resp, err, tt.status)
				}
				if got := time.Since(began); got != tt.took {
					t.Errorf("it ended after %s; want %s", got, tt.took)
				}
				if n := l.Mock.Stats().Accepted; n != 0 {
					t.Errorf("the upstream charged %d; want 0", n)
				}
			})
		})
	}
}

func TestAReaderThatStopsIsCutAndHoldsNobodyUp(t *testing.T) {
	upstream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/models") {
			return
		}
		for range 1000 {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	bubble(t, Setup{Handler: upstream}, func(t *testing.T, l *Lab) {
		conn, err := l.Net.DialContext(t.Context(), "tcp", proxyAddr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
		time.Sleep(3 * time.Minute)
		if n := len(l.Log.Lines(`"status":499`)); n != 1 {
			t.Errorf("%d requests ended by the stalled reader; want 1: %s", n, l.Log)
		}
		if want := `sidecar_client_aborts_total{phase="slow_reader"} 1`; !strings.Contains(l.Metrics(), want) {
			t.Errorf("the metrics lack %s", want)
		}
		_ = conn.Close()
	})
}

func TestErrorsOfTheUpstreamKeepTheirStatusAndBecomeReadable(t *testing.T) {
	for _, tt := range []struct {
		path, fault string
		status      int
		says        []string
	}{
		{"/v1/chat/completions", "gone", 410, []string{`"error":{`, "reached its end of life"}},
		{"/v1/chat/completions", "not_entitled", 404, []string{`"error":{`, "Not found for account"}},
		{"/v1/chat/completions", "credits", 402, []string{`"error":{`, "Cloud credits expired"}},
	} {
		bubble(t, Setup{}, func(t *testing.T, l *Lab) {
			if err := l.Mock.Arm(mock.Fault{Name: tt.fault, Times: 1}); err != nil {
				t.Fatalf("%v; there are %q", err, mock.FaultNames())
			}
			r := l.Do(t.Context(), http.MethodPost, tt.path, `{"model":"m/a"}`)
			if r.Status != tt.status {
				t.Errorf("%s on %s = %d %q; want %d", tt.fault, tt.path, r.Status, r.Body, tt.status)
			}
			for _, text := range tt.says {
				if !strings.Contains(r.Body, text) {
					t.Errorf("%s on %s: %q lacks %q", tt.fault, tt.path, r.Body, text)
				}
			}
		})
	}
}

func TestAnErrorOnAnAnthropicPathHasAnthropicsShape(t *testing.T) {
	problem := `{"type":"about:blank","title":"Gone","status":410,"detail":"The model 'x' has reached its end of life"}`
	upstream := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusGone)
		_, _ = io.WriteString(w, problem)
	})
	bubble(t, Setup{Handler: upstream}, func(t *testing.T, l *Lab) {
		r := l.Do(t.Context(), http.MethodPost, "/v1/messages", `{"model":"x","max_tokens":9,"messages":[{"role":"user","content":"hello"}]}`, "X-Request-Id: r-1")
		want := `{"type":"error","error":{"type":"invalid_request_error","message":"Gone: The model 'x' has reached its end of life"},"request_id":"r-1"}`
		if r.Status != http.StatusGone || r.Body != want {
			t.Errorf("answer = %d %s; want 410 %s", r.Status, r.Body, want)
		}
	})
}

func TestALongErrorBodyArrivesWhole(t *testing.T) {
	long := strings.Repeat("0123456789", 20_000)
	upstream := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		for piece := range slices.Chunk([]byte(long), 1000) {
			_, _ = w.Write(piece)
		}
	})
	bubble(t, Setup{Handler: upstream}, func(t *testing.T, l *Lab) {
		if r := l.Chat("m/a", false); r.Status != http.StatusUnprocessableEntity || r.Body != long || r.Err != nil {
			t.Errorf("answer = %d with %d bytes, error %v; want 422 with %d", r.Status, len(r.Body), r.Err, len(long))
		}
	})
}

func TestWhatARepetitionCannotCureSaysSo(t *testing.T) {
	for fault, want := range map[string]string{"offline": "false", "gone": "false", "not_entitled": "false", "worker_invalid": ""} {
		bubble(t, Setup{}, func(t *testing.T, l *Lab) {
			if err := l.Mock.Arm(mock.Fault{Name: fault, Times: 1}); err != nil {
				t.Fatal(err)
			}
			if r := l.Chat("m/a", false); r.Header.Get("X-Should-Retry") != want {
				t.Errorf("%s: %d with X-Should-Retry %q; want %q", fault, r.Status, r.Header.Get("X-Should-Retry"), want)
			}
		})
	}
}

func TestTheGaugesShowTheConfiguredLimitBeforeTheFirstRequest(t *testing.T) {
	bubble(t, Setup{Env: []string{"SIDECAR_LIMITS=40-M,1000-H"}}, func(t *testing.T, l *Lab) {
		for _, want := range []string{"sidecar_tokens_available 40\n", "sidecar_health_status 1\n", "sidecar_retreat_state 0\n", "sidecar_upstream_429_rate 0\n"} {
			if !strings.Contains(l.Metrics(), want) {
				t.Errorf("the metrics lack %s", want)
			}
		}
		l.Chat("m/a", false)
		if want := "sidecar_tokens_available 39\n"; !strings.Contains(l.Metrics(), want) {
			t.Errorf("the metrics lack %s after a request", want)
		}
	})
}
