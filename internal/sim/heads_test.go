package sim

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// page are the headers that a browser sends for a listed page.
const page = "Origin: https://chat.example\r\nSec-Fetch-Site: cross-site\r\n"

// listed is the setting that lists it.
var listed = []string{"SIDECAR_ALLOWED_ORIGINS=https://chat.example"}

func TestAnInterimAnswerLeavesTheHeadersOfTheFinalOneAlone(t *testing.T) {
	upstream := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		_, _ = io.WriteString(w, "ok")
	})
	bubble(t, Setup{Handler: upstream, Env: listed}, func(t *testing.T, l *Lab) {
		conn, err := l.Net.DialContext(t.Context(), "tcp", proxyAddr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "POST /v1/x HTTP/1.1\r\nHost: localhost\r\n"+page+"Content-Length: 0\r\n\r\n")
		reader := bufio.NewReader(conn)
		early, err := http.ReadResponse(reader, nil)
		if err != nil || early.StatusCode != http.StatusEarlyHints {
			t.Fatalf("interim = %v, %v; want 103", early, err)
		}
		final, err := http.ReadResponse(reader, nil)
		if err != nil || final.Header.Get("Access-Control-Allow-Origin") != "https://chat.example" || final.Header.Get("Link") != "" {
			t.Errorf("final = %v, %v; want what lets the page read it, and no Link", final, err)
		}
	})
}

func TestAnOldClientGetsNoInterimAnswer(t *testing.T) {
	upstream := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, "ok")
	})
	bubble(t, Setup{Handler: upstream}, func(t *testing.T, l *Lab) {
		if resp, body := raw(t, l, "GET /v1/x HTTP/1.0\r\nHost: localhost\r\n\r\n"); resp.StatusCode != http.StatusOK || body != "ok" {
			t.Errorf("HTTP/1.0 got %d %q; want 200 ok and nothing before it", resp.StatusCode, body)
		}
	})
}

func TestAnUpstreamCannotSpeakForTheSidecar(t *testing.T) {
	upstream := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Sidecar-Reason", "queue_full")
		w.Header().Set("X-Sidecar-Key", "nvapi-x")
		_, _ = io.WriteString(w, "ok")
	})
	clientsOwn := fmt.Sprintf("providers: [{name: own, url: \"http://%s/v1\"}]", upstreamAddr)
	bubble(t, Setup{Handler: upstream, File: clientsOwn}, func(t *testing.T, l *Lab) {
		r := l.Chat("m/a", false)
		for _, name := range []string{"X-Sidecar-Reason", "X-Sidecar-Key"} {
			if values, there := r.Header[name]; there {
				t.Errorf("%s = %q; want none: the sidecar said nothing and has no key", name, values)
			}
		}
	})
}

func TestEncodingsAreAllLookedAt(t *testing.T) {
	bubble(t, Setup{}, func(t *testing.T, l *Lab) {
		resp, body := raw(t, l, "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: identity\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n")
		if resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, "gzip") {
			t.Errorf("a second Content-Encoding = %d %q; want 400 that names it", resp.StatusCode, body)
		}
	})
}

func TestAcceptedIsAnAnswerWhereNoGatewayHoldsTheJob(t *testing.T) {
	upstream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/chat") {
			w.Header().Set("Nvcf-Reqid", "00000000-0000-4000-8000-000000000001")
		}
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"id":"job-1"}`)
	})
	bubble(t, Setup{Handler: upstream}, func(t *testing.T, l *Lab) {
		for _, path := range []string{"/v1/videos", "/v1/batches/1/cancel"} {
			if r := l.Do(t.Context(), http.MethodPost, path, `{"model":"m/a"}`); r.Status != http.StatusAccepted || r.Body != `{"id":"job-1"}` {
				t.Errorf("%s = %d %q; want the upstream's 202", path, r.Status, r.Body)
			}
		}
		if r := l.Chat("m/a", false); r.Status != http.StatusGatewayTimeout || r.Header.Get("X-Sidecar-Reason") != "upstream_timeout" {
			t.Errorf("a job that NVIDIA's gateway still holds = %d %q; want 504 upstream_timeout", r.Status, r.Header.Get("X-Sidecar-Reason"))
		}
	})
}

func TestALongPathOrProviderDoesNotFillTheLog(t *testing.T) {
	long := strings.Repeat("p", 20_000)
	bubble(t, Setup{}, func(t *testing.T, l *Lab) {
		for _, path := range []string{"/" + long + "/v1/x", "/v1/" + long} {
			raw(t, l, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
		}
		for _, line := range l.Log.Lines(`"msg":"request"`) {
			if len(line) > 2000 {
				t.Errorf("a log line has %d bytes; want at most 2000: %.100s…", len(line), line)
			}
		}
	})
}

func TestAnAnswerThatEndsAfterALongSilenceEndsWhole(t *testing.T) {
	upstream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/chat") {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: [DONE]\n\n")
			_ = http.NewResponseController(w).Flush()
			<-time.After(3 * time.Minute)
		}
	})
	bubble(t, Setup{Handler: upstream}, func(t *testing.T, l *Lab) {
		if r := l.Chat("m/a", true); r.Err != nil || r.Body != "data: [DONE]\n\n" || r.Took != 3*time.Minute {
			t.Errorf("the stream = %q, error %v after %s; want it whole after 3m", r.Body, r.Err, r.Took)
		}
	})
}

func TestHTTP2IsSpokenWhereItIsSwitchedOn(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer string
		body   string
		cut    bool
	}{
		{"whole", sseHead + oneHi + "0\r\n\r\n", "data: hi\n\n", false},
		{"cut", sseHead + oneHi, "data: hi\n\ndata: {\"error\":", true},
	} {
		bubble(t, Setup{Handler: hijacked(tt.answer, false), Env: []string{"SIDECAR_H2C=true"}}, func(t *testing.T, l *Lab) {
			protocols := new(http.Protocols)
			protocols.SetUnencryptedHTTP2(true)
			transport := &http.Transport{DialContext: l.Net.DialContext, Protocols: protocols}
			defer transport.CloseIdleConnections()
			l.client.Transport = transport
			for range 2 { // the connection bears it
				r := l.Chat("m/a", true)
				if r.Status != http.StatusOK || !strings.HasPrefix(r.Body, tt.body) || (r.Err != nil) != tt.cut {
					t.Errorf("%s = %d %q, error %v; want 200 with %q, cut %t", tt.name, r.Status, r.Body, r.Err, tt.body, tt.cut)
				}
			}
			if n := len(l.Log.Lines(`"msg":"request"`, `"status":200`)); n != 2 {
				t.Errorf("%s: %d log lines; want 2: %s", tt.name, n, l.Log)
			}
		})
	}
}

func TestAStreamWithADeclaredLengthThatBreaksIsTheUpstreamsFault(t *testing.T) {
	answer := "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 100\r\n\r\ndata: hi\n\n"
	bubble(t, Setup{Handler: hijacked(answer, false)}, func(t *testing.T, l *Lab) {
		r := l.Chat("m/a", true)
		if r.Err == nil || !strings.Contains(r.Body, "upstream_unreachable") {
			t.Errorf("the stream = %q, error %v; want an error event and a cut", r.Body, r.Err)
		}
		if n := len(l.Log.Lines(`"reason":"upstream_unreachable"`)); n != 1 {
			t.Errorf("%d log lines blame the upstream; want 1: %s", n, l.Log)
		}
	})
}

func TestVaryOfBothSidesReachesThePage(t *testing.T) {
	upstream := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Vary", "Accept") })
	bubble(t, Setup{Handler: upstream, Env: listed}, func(t *testing.T, l *Lab) {
		resp, _ := raw(t, l, "GET /v1/x HTTP/1.1\r\nHost: localhost\r\n"+page+"\r\n")
		if got := strings.Join(resp.Header["Vary"], ", "); !strings.Contains(got, "Origin") || !strings.Contains(got, "Accept") {
			t.Errorf("Vary = %q; want Origin, by which our answer differs, and the upstream's own", got)
		}
	})
}
