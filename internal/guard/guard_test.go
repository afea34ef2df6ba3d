package guard

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"nimsidecar/internal/memnet"
	"nimsidecar/internal/wire"
)

// paths are one of each kind: the checks come before routing.
var paths = []string{"/v1/chat/completions", "/v1/messages", "/metrics", "/livez", "/sidecar/api/events", "/no/such/path", "/"}

// answers is what the guarded handler says.
const answers = "through"

func through(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answers) }

// serve runs a real HTTP server behind a guard on an in-memory network and returns how to speak to it.
func serve(t *testing.T, o Options) (dial func() net.Conn) {
	t.Helper()
	var network memnet.Network
	listener, err := network.Listen("127.0.0.1:9190")
	if err != nil {
		t.Fatal(err)
	}
	start(t, o, listener)
	return func() net.Conn {
		conn, err := network.DialContext(t.Context(), "tcp", "127.0.0.1:9190")
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
}

func start(t *testing.T, o Options, listener net.Listener) {
	t.Helper()
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: New(o).Wrap(http.HandlerFunc(through))}}
	server.Start()
	t.Cleanup(server.Close)
}

// send writes a request as it is and returns the answer's status and body.
func send(t *testing.T, conn net.Conn, request string) (int, string) {
	t.Helper()
	defer conn.Close()
	if _, err := io.WriteString(conn, strings.ReplaceAll(request, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestForeignHostsAreRefusedOnEveryPath(t *testing.T) {
	t.Parallel()
	var reasons []wire.Reason
	dial := serve(t, Options{AllowedHosts: []string{"nim-sidecar"}, Refused: func(r wire.Reason) { reasons = append(reasons, r) }})
	for _, host := range []string{
		"", ":9190", "evil.example", "evil.example:9190", "localhost.evil.example", "127.0.0.1.nip.io", "localhost.", "127.0.0.1.",
		"0x7f000001", "2130706433", "127.1", "0177.0.0.1", "0.0.0.0:9190", "192.168.1.7:9190", "[::]:9190", "[2001:db8::1]", "::1",
		"nim-sidecar.evil.example", "xlocalhost", ".localhost", "localhost:http", "localhost:9190:9190",
	} {
		for _, path := range paths {
			status, body := send(t, dial(), "GET "+path+" HTTP/1.1\nHost: "+host+"\n\n")
			if status != http.StatusForbidden || !strings.Contains(body, "SIDECAR_ALLOWED_HOSTS") {
				t.Errorf("Host %q on %s = %d %s; want 403 that names SIDECAR_ALLOWED_HOSTS", host, path, status, body)
			}
		}
	}
	for _, r := range reasons {
		if r != wire.ForbiddenHost {
			t.Errorf("Refused was told %q; want %q", r, wire.ForbiddenHost)
		}
	}
	if len(reasons) == 0 {
		t.Error("Refused was never told")
	}
}

func TestOwnHostsPassOnEveryPath(t *testing.T) {
	t.Parallel()
	dial := serve(t, Options{AllowedHosts: []string{" Nim-Sidecar:9190 ", "host.docker.internal", "192.168.1.7", "[2001:db8::1]:80"}})
	for _, host := range []string{
		"localhost", "localhost:9190", "LOCALHOST:1", "app.localhost:9190", "a.b.LocalHost", "127.0.0.1", "127.0.0.1:9190", "127.8.9.10",
		"[::1]", "[::1]:9190", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]:9190", "localhost:",
		"nim-sidecar", "NIM-SIDECAR:9190", "host.docker.internal:9190", "192.168.1.7:9190", "[2001:DB8::1]",
	} {
		for _, path := range paths {
			if status, body := send(t, dial(), "GET "+path+" HTTP/1.1\nHost: "+host+"\n\n"); status != http.StatusOK || body != answers {
				t.Errorf("Host %q on %s = %d %s; want it to pass", host, path, status, body)
			}
		}
	}
}

func TestEveryAddressIsOwnBehindAListenerBeyondLoopback(t *testing.T) {
	t.Parallel()
	dial := serve(t, Options{AnyHostBound: true})
	for host, want := range map[string]int{
		"192.168.1.7:9190": http.StatusOK, "[2001:db8::1]:9190": http.StatusOK, "0.0.0.0": http.StatusOK, "localhost": http.StatusOK,
		"evil.example": http.StatusForbidden, "0x7f000001": http.StatusForbidden, "[fe80::1%25eth0]": http.StatusForbidden,
		"192.168.1.7.nip.io": http.StatusForbidden, "2130706433": http.StatusForbidden, "[127.0.0.1]": http.StatusForbidden,
	} {
		if status, body := send(t, dial(), "GET /livez HTTP/1.1\nHost: "+host+"\n\n"); status != want {
			t.Errorf("Host %q = %d %s; want %d", host, status, body, want)
		}
	}
}

// These never pass, whoever refuses them: net/http or the guard.
func TestHeadsThatTwoReadersCouldReadDifferentlyAreRefused(t *testing.T) {
	t.Parallel()
	dial := serve(t, Options{})
	for _, tt := range []struct {
		name, request string
		status        int
	}{
		{"two Hosts", "GET / HTTP/1.1\nHost: localhost\nHost: evil.example\n\n", http.StatusBadRequest},
		{"the same Host twice", "GET / HTTP/1.1\nHost: localhost\nHost: localhost\n\n", http.StatusBadRequest},
		{"no Host", "GET / HTTP/1.1\n\n", http.StatusBadRequest},
		{"no Host in HTTP/1.0", "GET / HTTP/1.0\n\n", http.StatusForbidden},
		{"path and fragment in Host", "GET / HTTP/1.1\nHost: localhost:9190/#@x\n\n", http.StatusBadRequest},
		{"user in Host", "GET / HTTP/1.1\nHost: localhost@evil.example\n\n", http.StatusBadRequest},
		{"comma in Host", "GET / HTTP/1.1\nHost: localhost,evil.example\n\n", http.StatusForbidden},
		{"blank in Host", "GET / HTTP/1.1\nHost: localhost evil\n\n", http.StatusBadRequest},
		{"foreign absolute target", "GET http://evil.example/ HTTP/1.1\nHost: localhost\n\n", http.StatusForbidden},
		{"own absolute target, foreign Host", "GET http://localhost/ HTTP/1.1\nHost: evil.example\n\n", http.StatusForbidden},
		{"absolute target", "GET http://localhost/ HTTP/1.1\nHost: localhost\n\n", http.StatusForbidden},
		{"CONNECT", "CONNECT evil.example:443 HTTP/1.1\nHost: localhost\n\n", http.StatusForbidden},
	} {
		if status, body := send(t, dial(), tt.request); status != tt.status || body == answers {
			t.Errorf("%s = %d %s; want %d", tt.name, status, body, tt.status)
		}
	}
}

func TestOverAUnixSocketAnyHostPasses(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Skip(err)
	}
	start(t, Options{}, listener)
	for _, tt := range []struct {
		head   string
		status int
	}{
		{"Host: nim-sidecar", http.StatusOK},
		{"Host: evil.example:9190", http.StatusOK},
		{"Host:", http.StatusOK},
		{"Host: localhost\nOrigin: https://evil.example", http.StatusForbidden},
		{"Host: localhost\nSec-Fetch-Site: cross-site", http.StatusForbidden},
	} {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		if status, body := send(t, conn, "GET /livez HTTP/1.1\n"+tt.head+"\n\n"); status != tt.status {
			t.Errorf("%q over a Unix socket = %d %s; want %d", tt.head, status, body, tt.status)
		}
	}
}

// request is one to an own host; every header is given as name, value.
func request(t testing.TB, method, path string, header ...string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, unreadable{})
	r.Host = "127.0.0.1:9190"
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

// unreadable is a body that must not be read.
type unreadable struct{}

func (unreadable) Read([]byte) (int, error) { return 0, errors.New("the guard read the body") }

func TestWhosePageMayUseTheSidecar(t *testing.T) {
	t.Parallel()
	guarded := New(Options{AllowedOrigins: []string{" https://Chat.example/ ", "app://obsidian.md", "null", "*", "evil.example"}}).
		Wrap(http.HandlerFunc(through))
	for _, tt := range []struct {
		name   string
		header []string
		want   int
	}{
		{"a program that is no browser", nil, http.StatusOK},
		{"the address bar", []string{"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate"}, http.StatusOK},
		{"our own page reads", []string{"Sec-Fetch-Site", "same-origin"}, http.StatusOK},
		{"our own page writes", []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://127.0.0.1:9190"}, http.StatusOK},
		{"our own page over plain HTTP", []string{"Origin", "http://127.0.0.1:9190"}, http.StatusOK},
		{"our own page behind TLS", []string{"Origin", "https://127.0.0.1:9190"}, http.StatusOK},

		{"a foreign page", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, http.StatusForbidden},
		{"a foreign page over plain HTTP", []string{"Origin", "http://evil.example"}, http.StatusForbidden},
		{"an image on a foreign page", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}, http.StatusForbidden},
		{"a form on a foreign page", []string{"Content-Type", "text/plain", "Origin", "https://evil.example"}, http.StatusForbidden},
		{"a sandboxed page", []string{"Origin", "null"}, http.StatusForbidden},
		{"a page on another local port", []string{"Origin", "http://localhost:3000"}, http.StatusForbidden},
		{"a page on another local port, reading", []string{"Sec-Fetch-Site", "same-site"}, http.StatusForbidden},
		{"our address under another name", []string{"Origin", "http://localhost:9190"}, http.StatusForbidden},
		{"our address without its port", []string{"Origin", "http://127.0.0.1"}, http.StatusForbidden},
		{"a name that begins like ours", []string{"Origin", "http://127.0.0.1:9190.evil.example"}, http.StatusForbidden},
		{"another scheme", []string{"Origin", "file://127.0.0.1:9190"}, http.StatusForbidden},
		{"no scheme", []string{"Origin", "127.0.0.1:9190"}, http.StatusForbidden},
		{"an empty origin", []string{"Origin", ""}, http.StatusForbidden},
		{"two origins", []string{"Origin", "http://127.0.0.1:9190", "Origin", "https://evil.example"}, http.StatusForbidden},
		{"a contradiction", []string{"Sec-Fetch-Site", "cross-site", "Origin", "http://127.0.0.1:9190"}, http.StatusForbidden},
		{"two Sec-Fetch-Sites", []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		{"a Sec-Fetch-Site of the future", []string{"Sec-Fetch-Site", "same-planet"}, http.StatusForbidden},

		{"a listed page", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://chat.example"}, http.StatusOK},
		{"a listed app", []string{"Sec-Fetch-Site", "cross-site", "Origin", "app://obsidian.md"}, http.StatusOK},
		{"a listed name with another scheme", []string{"Origin", "http://chat.example"}, http.StatusForbidden},
		{"a listed name with another port", []string{"Origin", "https://chat.example:8443"}, http.StatusForbidden},
		{"a page below a listed name", []string{"Origin", "https://a.chat.example"}, http.StatusForbidden},
		{"a listed page twice", []string{"Origin", "https://chat.example", "Origin", "https://chat.example"}, http.StatusForbidden},
		{"what is no origin but listed", []string{"Origin", "evil.example"}, http.StatusForbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
				for _, path := range paths {
					w := httptest.NewRecorder()
					guarded.ServeHTTP(w, request(t, method, path, tt.header...))
					if w.Code != tt.want {
						t.Errorf("%s %s = %d %s; want %d", method, path, w.Code, w.Body, tt.want)
					}
					if tt.want == http.StatusForbidden && !strings.Contains(w.Body.String(), "SIDECAR_ALLOWED_ORIGINS") {
						t.Errorf("%s %s = %s; want it to name SIDECAR_ALLOWED_ORIGINS", method, path, w.Body)
					}
				}
			}
		})
	}
}

func TestAForeignPreflightIsNotAnswered(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	New(Options{}).Wrap(http.HandlerFunc(through)).ServeHTTP(w, request(t, http.MethodOptions, "/v1/chat/completions",
		"Origin", "https://evil.example", "Access-Control-Request-Method", "POST", "Access-Control-Request-Private-Network", "true"))
	if w.Code != http.StatusForbidden {
		t.Errorf("preflight = %d; want 403", w.Code)
	}
	for name := range w.Header() {
		if strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("the refusal has the header %s: %s", name, w.Header().Get(name))
		}
	}
}

func TestAListedPageMayReadAndAskBefore(t *testing.T) {
	t.Parallel()
	guarded := New(Options{AllowedOrigins: []string{"https://chat.example"}}).Wrap(http.HandlerFunc(through))

	w := httptest.NewRecorder()
	guarded.ServeHTTP(w, request(t, http.MethodOptions, "/v1/chat/completions", "Origin", "https://chat.example",
		"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type"))
	want := map[string]string{
		"Access-Control-Allow-Origin": "https://chat.example", "Vary": "Origin", "Access-Control-Allow-Methods": "POST",
		"Access-Control-Allow-Headers": "authorization,content-type", "Access-Control-Max-Age": "600",
		"Access-Control-Allow-Credentials": "", "Access-Control-Allow-Private-Network": "",
	}
	if w.Code != http.StatusNoContent || w.Body.Len() > 0 {
		t.Errorf("preflight = %d %s; want 204 without a body", w.Code, w.Body)
	}
	for name, value := range want {
		if got := w.Header().Get(name); got != value {
			t.Errorf("preflight has %s: %q; want %q", name, got, value)
		}
	}

	w = httptest.NewRecorder()
	guarded.ServeHTTP(w, request(t, http.MethodPost, "/v1/chat/completions", "Origin", "https://chat.example"))
	if got := w.Header().Get("Access-Control-Allow-Origin"); got != "https://chat.example" || w.Body.String() != answers {
		t.Errorf("request = %s with Access-Control-Allow-Origin %q; want it through and readable", w.Body, got)
	}

	w = httptest.NewRecorder()
	guarded.ServeHTTP(w, request(t, http.MethodPost, "/v1/chat/completions"))
	if got := w.Header().Get("Access-Control-Allow-Origin"); got != "" {
		t.Errorf("a request of no page has Access-Control-Allow-Origin %q; want none", got)
	}
}

func TestARefusalHasTheShapeOfThePathAndQuotesSafely(t *testing.T) {
	t.Parallel()
	guarded := New(Options{}).Wrap(http.HandlerFunc(through))
	for path, kind := range map[string]string{"/v1/chat/completions": "", "/v1/messages": "error", "/sidecar/": ""} {
		w, r := httptest.NewRecorder(), request(t, http.MethodPost, path)
		r.Host = `<img src=x>"` + strings.Repeat("x", 5000)
		guarded.ServeHTTP(w, r)
		var body struct {
			Type  string
			Error struct{ Message string }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Error.Message == "" || body.Type != kind {
			t.Errorf("%s = %s (%v); want an error of type %q with a message", path, w.Body, err, kind)
		}
		if len(body.Error.Message) > 400 {
			t.Errorf("%s repeats %d bytes of the host", path, len(body.Error.Message))
		}
		got := w.Header().Get("X-Sidecar-Reason") + ", " + w.Header().Get("Content-Type") + ", " + w.Header().Get("X-Content-Type-Options")
		if got != "forbidden_host, application/json, nosniff" {
			t.Errorf("%s has the headers %s; want forbidden_host, application/json, nosniff", path, got)
		}
	}
}

// discard is a ResponseWriter that costs nothing.
type discard struct{ header http.Header }

func (d discard) Header() http.Header       { return d.header }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

// cheap is a guard with settings before a handler that costs nothing.
func cheap() http.Handler {
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	return New(Options{AllowedHosts: []string{"a.example", "nim-sidecar.internal"}}).Wrap(nothing)
}

// goodRequests are what the good path must be cheap for.
func goodRequests(t testing.TB) map[string]*http.Request {
	named := request(t, http.MethodPost, "/v1/chat/completions")
	named.Host = "nim-sidecar.internal:9190"
	return map[string]*http.Request{
		"Program":     request(t, http.MethodPost, "/v1/chat/completions", "Authorization", "Bearer x"),
		"OwnPage":     request(t, http.MethodGet, "/sidecar/", "Origin", "http://127.0.0.1:9190", "Sec-Fetch-Site", "same-origin"),
		"AllowedName": named,
	}
}

func TestTheGoodPathDoesNotAllocate(t *testing.T) {
	guarded := cheap()
	for name, r := range goodRequests(t) { // not parallel: AllocsPerRun counts the whole process
		if n := testing.AllocsPerRun(100, func() { guarded.ServeHTTP(discard{}, r) }); n != 0 {
			t.Errorf("%s: %v allocations; want 0", name, n)
		}
	}
}

// BenchmarkWrap: budget 150 ns and no allocation for what passes.
func BenchmarkWrap(b *testing.B) {
	guarded := cheap()
	for name, r := range goodRequests(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				guarded.ServeHTTP(discard{}, r)
			}
		})
	}
}

func ExampleGuard_Wrap() {
	guarded := New(Options{}).Wrap(http.HandlerFunc(through))
	for _, host := range []string{"localhost:9190", "attacker.example"} {
		r, w := httptest.NewRequest(http.MethodGet, "/livez", nil), httptest.NewRecorder()
		r.Host = host
		guarded.ServeHTTP(w, r)
		fmt.Println(host, w.Code)
	}
	// Output:
	// localhost:9190 200
	// attacker.example 403
}
