package sim

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// bubble runs a test against a lab in a bubble of its own.
func bubble(t *testing.T, s Setup, test func(t *testing.T, l *Lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := New(t, s)
		defer l.Close()
		test(t, l)
	})
}

// raw writes bytes to the proxy as they are and returns the answer.
func raw(t *testing.T, l *Lab, request string) (*http.Response, string) {
	t.Helper()
	conn, err := l.Net.DialContext(context.Background(), "tcp", proxyAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer to %q: %v", request, err)
	}
	body, _ := io.ReadAll(resp.Body)
	return resp, string(body)
}

func TestTheUpstreamSeesTheRequestAndNothingOfOurs(t *testing.T) {
	var seen *http.Request
	var body []byte
	upstream := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/models") {
			return
		}
		seen = r
		body, _ = io.ReadAll(r.Body)
	})
	bubble(t, Setup{Handler: upstream}, func(t *testing.T, l *Lab) {
		const sent = "{\"model\" : \"m/a\",\n \"x\":\t[1, 2.50, \"\\u00e4\"]}  "
		l.Do(t.Context(), http.MethodPost, "/v1/chat/completions?beta=true&x=%20", sent,
			"X-Sidecar-Priority: high", "X-Sidecar-Agent: a", "X-Sidecar-Max-Wait: 90s", "X-Priority: low", "Authorization: Bearer client-own",
			"Cookie: c=1", "X-Forwarded-For: 1.2.3.4", "Forwarded: for=1.2.3.4", "Via: x", "Connection: X-Drop", "X-Drop: 1",
			"Keep-Alive: 5", "Proxy-Authorization: p", "NVCF-Shadow: 1", "Function-Id: f", "Te: trailers", "Anthropic-Version: 2023-06-01",
			"X-Custom: kept", "Content-Type: application/json")
		if string(body) != sent {
			t.Errorf("the upstream's body = %q; want %q", body, sent)
		}
		if got, want := seen.URL.String(), "/v1/chat/completions?beta=true&x=%20"; got != want {
			t.Errorf("the upstream's target = %q; want %q", got, want)
		}
		want := []string{"Anthropic-Version", "Authorization", "Content-Length", "Content-Type", "Te", "User-Agent", "X-Custom"}
		if got := slices.Sorted(maps.Keys(seen.Header)); !slices.Equal(got, want) {
			t.Errorf("the upstream's headers = %q; want %q", got, want)
		}
		if got, want := seen.Header.Get("Authorization"), "Bearer nvapi-test-key"; got != want {
			t.Errorf("the upstream's Authorization is not the sidecar's key")
		}
	})
}

func TestTheClientSeesTheAnswerAndTheContractsHeaders(t *testing.T) {
	upstream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		for _, line := range []string{
			"Content-Type: application/json", "X-Upstream: yes", "Access-Control-Allow-Origin: *", "Access-Control-Allow-Credentials: true",
			"Keep-Alive: 5", "Proxy-Authenticate: x", "Set-Cookie: a=1",
		} {
			name, value, _ := strings.Cut(line, ": ")
			h.Set(name, value)
		}
		_, _ = io.WriteString(w, `{"usage":{"prompt_tokens":3,"completion_tokens":4}}`)
	})
	bubble(t, Setup{Handler: upstream, Env: []string{"SIDECAR_LIMITS=40-M", "SIDECAR_SPEAKS=both"}}, func(t *testing.T, l *Lab) {
		r := l.Do(t.Context(), http.MethodPost, "/v1/chat/completions", `{"model":"m/a"}`, "X-Request-Id: mine", "X-Sidecar-Priority: 0")
		for name, want := range map[string]string{
			"X-Upstream": "yes", "Set-Cookie": "a=1", "X-Request-Id": "mine", "X-Sidecar-Priority": "URGENT", "X-Sidecar-Queue-Wait-Ms": "0",
			"X-Sidecar-Attempts": "1", "X-Sidecar-Provider": "upstream", "Server-Timing": "queue;dur=0.0, upstream;dur=0.0",
			"X-Ratelimit-Limit-Requests": "40", "X-Ratelimit-Remaining-Requests": "39", "X-Ratelimit-Reset-Requests": "1m0.5s",
			"Access-Control-Allow-Origin": "", "Access-Control-Allow-Credentials": "", "Keep-Alive": "", "Proxy-Authenticate": "", "X-Sidecar-Reason": "",
		} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("header %s = %q; want %q", name, got, want)
			}
		}
		if alias := r.Header.Get("X-Sidecar-Key"); alias == "" || strings.Contains(alias, "nvapi") {
			t.Errorf("X-Sidecar-Key = %q; want an alias", alias)
		}
		if n := len(l.Log.Lines(`"input_tokens":3`, `"output_tokens":4`)); n != 1 {
			t.Errorf("%d log lines with the usage; want 1", n)
		}
		r = l.Do(t.Context(), http.MethodPost, "/v1/messages", `{"model":"m/a"}`)
		if got := r.Header.Get("Anthropic-Ratelimit-Requests-Remaining"); got != "38" {
			t.Errorf("Anthropic-Ratelimit-Requests-Remaining = %q; want 38", got)
		}
	})
}

func TestAStreamArrivesByteForByteAndEventByEvent(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var stream bytes.Buffer
	for i := range 400 {
		fmt.Fprintf(&stream, ": comment %d\nid: %d\ndata: {\"x\":\"äöü%d\"}\r\n\r\ndata: y\n\n", i, i, random.IntN(1000))
	}
	whole := stream.Bytes()
	upstream := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for rest := whole; len(rest) > 0; {
			n := min(1+random.IntN(40), len(rest))
			_, _ = w.Write(rest[:n])
			_ = http.NewResponseController(w).Flush()
			rest = rest[n:]
		}
	})
	bubble(t, Setup{Handler: upstream}, func(t *testing.T, l *Lab) {
		for range 3 {
			if r := l.Chat("m/a", true); r.Err != nil || sha256.Sum256([]byte(r.Body)) != sha256.Sum256(whole) {
				t.Errorf("the stream of %d bytes came as %d other bytes, error %v", len(whole), len(r.Body), r.Err)
			}
		}
	})
}

func TestEachEventArrivesBeforeTheNextOneExists(t *testing.T) {
	upstream := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		for i := range 5 {
			_ = http.NewResponseController(w).Flush()
			<-time.After(10 * time.Second)
			_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
		}
	})
	bubble(t, Setup{Handler: upstream}, func(t *testing.T, l *Lab) {
		req, _ := http.NewRequest(http.MethodPost, "http://"+proxyAddr+"/v1/chat/completions", strings.NewReader(`{"model":"m","stream":true}`))
		began := time.Now()
		resp, err := l.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		if got := time.Since(began); got > 2*time.Second { // until then an error in the first event could still be cured unseen
			t.Errorf("the head came after %s; want within 2s", got)
		}
		lines := bufio.NewScanner(resp.Body)
		for i := 0; lines.Scan(); {
			if !strings.HasPrefix(lines.Text(), "data: ") {
				continue
			}
			i++
			if got, want := time.Since(began), time.Duration(i)*10*time.Second; got != want {
				t.Errorf("event %d came after %s; want %s", i, got, want)
			}
		}
	})
}

func TestCompressedAnswersTrailersAndInterimAnswersPass(t *testing.T) {
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	_, _ = io.WriteString(zip, strings.Repeat("tokens ", 100))
	_ = zip.Close()
	upstream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Trailer", "X-Sum")
		_, _ = w.Write(packed.Bytes())
		w.Header().Set("X-Sum", "42")
	})
	bubble(t, Setup{Handler: upstream}, func(t *testing.T, l *Lab) {
		conn, err := l.Net.DialContext(t.Context(), "tcp", proxyAddr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\nTE: trailers\r\nContent-Length: 13\r\n\r\n{\"model\":\"m\"}")
		reader := bufio.NewReader(conn)
		early, err := http.ReadResponse(reader, nil)
		if err != nil || early.StatusCode != http.StatusEarlyHints || early.Header.Get("Link") == "" {
			t.Fatalf("interim = %v %v; want 103 with its Link", early, err)
		}
		resp, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || !bytes.Equal(body, packed.Bytes()) || resp.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("the compressed body changed: %d bytes, error %v; want %d", len(body), err, packed.Len())
		}
		if got := resp.Trailer.Get("X-Sum"); got != "42" {
			t.Errorf("trailer X-Sum = %q; want 42", got)
		}
		if resp.Header.Get("Link") != "" {
			t.Errorf("the interim header Link leaked into the final head")
		}
	})
}

func TestEveryMethodAndStatusPasses(t *testing.T) {
	upstream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Method", r.Method)
		switch r.URL.Path {
		case "/v1/empty":
			w.WriteHeader(http.StatusNoContent)
		case "/v1/moved":
			w.Header().Set("Location", "http://elsewhere.example/")
			w.WriteHeader(http.StatusTemporaryRedirect)
		default:
			w.Header().Set("Content-Length", "2")
			_, _ = io.WriteString(w, "ok")
		}
	})
	bubble(t, Setup{Handler: upstream}, func(t *testing.T, l *Lab) {
		l.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		for _, tt := range []struct {
			method, path string
			status       int
			body         string
		}{
			{"GET", "/v1/models", 200, "ok"},
			{"HEAD", "/v1/models", 200, ""},
			{"OPTIONS", "/v1/chat/completions", 200, "ok"},
			{"PUT", "/v1/any/thing", 200, "ok"},
			{"PATCH", "/v1/any/thing", 200, "ok"},
			{"DELETE", "/v1/files/x", 200, "ok"},
			{"POST", "/upstream/v1/chat/completions", 200, "ok"},
			{"POST", "/v1/empty", 204, ""},
			{"POST", "/v1/moved", 307, ""},
		} {
			r := l.Do(t.Context(), tt.method, tt.path, "")
			if r.Err != nil || r.Status != tt.status || r.Body != tt.body || r.Header.Get("X-Method") != tt.method {
				t.Errorf("%s %s = %d %q as %q, error %v; want %d %q", tt.method, tt.path, r.Status, r.Body, r.Header.Get("X-Method"), r.Err, tt.status, tt.body)
			}
		}
	})
}

func TestWhatCannotBeUnderstoodIsNamed(t *testing.T) {
	bubble(t, Setup{Env: []string{"SIDECAR_MAX_BODY=1KB"}}, func(t *testing.T, l *Lab) {
		for _, tt := range []struct {
			name, request string
			status        int
			says          []string
		}{
			{"class", "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nX-Sidecar-Priority: soon\r\nContent-Length: 0\r\n\r\n", 400, []string{"X-Sidecar-Priority", "soon", "urgent"}},
			{"wait", "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nX-Sidecar-Max-Wait: later\r\nContent-Length: 0\r\n\r\n", 400, []string{"X-Sidecar-Max-Wait", "later", "90s"}},
			{"agent", "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nX-Sidecar-Agent: \xff\r\nContent-Length: 0\r\n\r\n", 400, []string{"X-Sidecar-Agent"}},
			{"encoding", "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n", 400, []string{"Content-Encoding", "gzip"}},
			{"upgrade", "GET /v1/x HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 426, []string{"Upgrade"}},
			{"h2c", "GET /v1/x HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", 426, []string{"Upgrade"}},
			{"trace", "TRACE /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, []string{"TRACE"}},
			{"length", "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1001\r\n\r\n", 413, []string{"max_body", "1001"}},
			{"chunked", "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5dc\r\n" + strings.Repeat("x", 1500) + "\r\n0\r\n\r\n", 413, []string{"max_body"}},
			{"dots", "POST /v1/../admin HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 400, []string{"path"}},
			{"encoded dots", "POST /v1/%2e%2e/admin HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 400, []string{"path"}},
			{"provider", "POST /nobody/v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 404, []string{"provider", "nobody"}},
			{"no v1", "POST /chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 404, []string{"/v1"}},
			{"model", "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 320\r\n\r\n" + `{"model":"` + strings.Repeat("m", 308) + `"}`, 400, []string{"model", "256"}},
			{"host", "POST /v1/x HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n", 403, []string{"SIDECAR_ALLOWED_HOSTS"}},
			{"head", "GET /v1/x HTTP/1.1\r\nHost: localhost\r\nX-Long: " + strings.Repeat("x", 70<<10) + "\r\n\r\n", 431, nil},
		} {
			resp, body := raw(t, l, tt.request)
			if resp.StatusCode != tt.status {
				t.Errorf("%s: %d %q; want %d", tt.name, resp.StatusCode, body, tt.status)
			}
			for _, text := range tt.says {
				if !strings.Contains(body, text) {
					t.Errorf("%s: %q does not name %q", tt.name, body, text)
				}
			}
			if tt.status != 431 && resp.Header.Get("X-Sidecar-Reason") == "" {
				t.Errorf("%s: there is no X-Sidecar-Reason", tt.name)
			}
		}
		if n := l.Mock.Stats().Accepted; n != 0 {
			t.Errorf("the upstream charged %d wrong requests; want 0", n)
		}
	})
}
