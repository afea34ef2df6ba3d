package dash

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"nimsidecar/internal/history"
)

// queue is a waiting room with one in it.
type queue struct{}

func (queue) Waiting() []Waiter  { return []Waiter{{ID: "req_1", Class: "NORMAL", Place: 1}} }
func (queue) End(id string) bool { return id == "req_1" || id == "a/b c" }

// settings are some that take one change.
type settings struct{ by, patch string }

func (s *settings) Current() Steering {
	return Steering{Version: 7, Settings: map[string]any{}, Schema: map[string]any{}, Changed: []Change{}}
}

func (s *settings) Patch(_ context.Context, by string, patch []byte) (Steering, error) {
	s.by, s.patch = by, string(patch)
	switch s.patch {
	case "old":
		return Steering{}, &Error{Status: http.StatusConflict, Param: "version", Code: Conflict, Message: "too late"}
	case "fault":
		return Steering{}, errors.New("a secret of ours")
	}
	return s.Current(), nil
}

// past is a history of nothing.
type empty struct{}

func (empty) Series(name string) (history.Series, bool) {
	return history.New().Series(time.Unix(1_000_000, 0), name)
}

// all is a dashboard with everything, on a page of its own.
func all() Options {
	return Options{
		Feed: NewFeed(&source{}), Queue: queue{}, Settings: &settings{}, History: empty{},
		Page: fstest.MapFS{
			"index.html":              {Data: []byte("<title>page</title>")},
			"assets/main-1a2b.js":     {Data: []byte("let x = 1")},
			"assets/main-1a2b.js.gz":  {Data: packed("let x = 1")},
			"assets/only-3c4d.css.gz": {Data: packed("body{}")},
			"assets/bad-5e6f.css.gz":  {Data: []byte("no gzip")},
			"icon.svg":                {Data: []byte("<svg/>")},
		},
	}
}

func packed(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.Bytes()
}

// ask sends a request through the handler itself.
func ask(d http.Handler, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w
}

func TestEveryPathAnswersItsMethodsOnly(t *testing.T) {
	t.Parallel()
	d := New(all())
	for _, tt := range []struct {
		method, path, body string
		status             int
		want               string // in the body, or of Allow for 405
	}{
		{"GET", "/sidecar/", "", 200, "<title>page</title>"},
		{"HEAD", "/sidecar/", "", 200, ""},
		{"POST", "/sidecar/", "", 405, "GET, HEAD"},
		{"GET", "/sidecar", "", 302, ""},
		{"GET", "/sidecar/icon.svg", "", 200, "<svg/>"},
		{"GET", "/sidecar/none.js", "", 404, "not_found"},
		{"GET", "/sidecar/../app/secret", "", 404, "not_found"},
		{"GET", "/sidecar/api/snapshot", "", 200, `"seq":`},
		{"HEAD", "/sidecar/api/snapshot", "", 200, ""},
		{"POST", "/sidecar/api/snapshot", "", 405, "GET, HEAD"},
		{"GET", "/sidecar/api/snapshot/", "", 404, "not_found"},
		{"HEAD", "/sidecar/api/events", "", 200, ""},
		{"GET", "/sidecar/api/history", "", 200, `"step_s":5`},
		{"GET", "/sidecar/api/history?range=24h", "", 200, `"step_s":300`},
		{"GET", "/sidecar/api/history?range=25h", "", 400, `range is \"25h\": want one of 15m, 1h, 6h, 24h`},
		{"GET", "/sidecar/api/settings", "", 200, `"version":7`},
		{"PATCH", "/sidecar/api/settings", "{}", 200, `"version":7`},
		{"PATCH", "/sidecar/api/settings", "old", 409, `"code":"conflict"`},
		{"PATCH", "/sidecar/api/settings", "fault", 500, `"code":"internal"`},
		{"PATCH", "/sidecar/api/settings", strings.Repeat("x", maxPatch+1), 400, "more than 65536 bytes"},
		{"PUT", "/sidecar/api/settings", "{}", 405, "GET, HEAD, PATCH"},
		{"GET", "/sidecar/api/queue", "", 200, `"id":"req_1"`},
		{"DELETE", "/sidecar/api/queue/req_1", "", 204, ""},
		{"DELETE", "/sidecar/api/queue/a%2Fb%20c", "", 204, ""},
		{"DELETE", "/sidecar/api/queue/none", "", 404, `"param":"id"`},
		{"DELETE", "/sidecar/api/queue/", "", 404, "not_found"},
		{"DELETE", "/sidecar/api/queue", "", 405, "GET, HEAD"},
		{"GET", "/sidecar/api/queue/req_1", "", 405, "DELETE"},
		{"GET", "/sidecar/api/openapi.yaml", "", 200, "openapi: 3.1.0"},
		{"GET", "/sidecar/api/", "", 404, "openapi.yaml lists them"},
	} {
		w := ask(d, tt.method, tt.path, tt.body)
		if w.Code != tt.status {
			t.Errorf("%s %s = %d; want %d", tt.method, tt.path, w.Code, tt.status)
		}
		body := w.Body.String()
		if tt.status == http.StatusMethodNotAllowed {
			if allow := w.Header().Get("Allow"); allow != tt.want {
				t.Errorf("%s %s: Allow = %q; want %q", tt.method, tt.path, allow, tt.want)
			}
		} else if !strings.Contains(body, tt.want) || tt.want == "" && body != "" {
			t.Errorf("%s %s = %.200q; want %q in it", tt.method, tt.path, body, tt.want)
		}
		if strings.Contains(body, "secret of ours") {
			t.Errorf("%s %s tells what went wrong inside: %s", tt.method, tt.path, body)
		}
		for name, value := range securityHeaders {
			if got := w.Header().Get(name); got != value && name != "Cache-Control" {
				t.Errorf("%s %s: %s = %q; want %q", tt.method, tt.path, name, got, value)
			}
		}
		if strings.HasPrefix(tt.path, "/sidecar/api/") && w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s may be kept: Cache-Control = %q", tt.method, tt.path, w.Header().Get("Cache-Control"))
		}
	}
}

func TestEveryErrorIsJSONWithItsThreeFields(t *testing.T) {
	t.Parallel()
	d := New(all())
	for _, path := range []string{"/sidecar/none", "/sidecar/api/none", "/sidecar/api/history?range=x", "/sidecar/api/queue/x"} {
		w := ask(d, http.MethodGet, path, "")
		var answer map[string]map[string]string
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer["error"]["message"] == "" || answer["error"]["code"] == "" {
			t.Errorf("GET %s = %s; want an error with message, param and code", path, w.Body)
		}
		if mime := w.Header().Get("Content-Type"); mime != "application/json" {
			t.Errorf("GET %s: Content-Type = %q; want application/json", path, mime)
		}
	}
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	t.Parallel()
	d := New(Options{Feed: NewFeed(&source{})})
	for _, path := range []string{"history", "settings", "queue"} {
		if w := ask(d, http.MethodGet, Prefix+"api/"+path, ""); w.Code != http.StatusNotFound {
			t.Errorf("GET %s without its part = %d; want 404", path, w.Code)
		}
	}
}

func TestPathsAreRelativeSoThatAPrefixMayStandBeforeThem(t *testing.T) {
	t.Parallel()
	w := ask(New(all()), http.MethodGet, "/sidecar", "")
	if at := w.Header().Get("Location"); at != "sidecar/" {
		t.Errorf("GET /sidecar leads to %q; want sidecar/", at)
	}
	root := httptest.NewRecorder()
	Redirect(root)
	if at := root.Header().Get("Location"); root.Code != http.StatusFound || at != "sidecar/" {
		t.Errorf("Redirect() = %d to %q; want 302 to sidecar/", root.Code, at)
	}
}

func TestFilesArePackedAndKeptAsFarAsTheyMayBe(t *testing.T) {
	t.Parallel()
	d := New(all())
	for _, tt := range []struct {
		path, accept         string
		body, encoding, kept string
		mime                 string
	}{
		{"", "gzip", "<title>page</title>", "", "no-cache", "text/html; charset=utf-8"},
		{"icon.svg", "", "<svg/>", "", "no-cache", "image/svg+xml"},
		{"assets/main-1a2b.js", "", "let x = 1", "", "public, max-age=31536000, immutable", "text/javascript; charset=utf-8"},
		{"assets/main-1a2b.js", "br, gzip;q=0.5", "let x = 1", "gzip", "public, max-age=31536000, immutable", "text/javascript; charset=utf-8"},
		{"assets/main-1a2b.js", "*", "let x = 1", "gzip", "public, max-age=31536000, immutable", "text/javascript; charset=utf-8"},
		{"assets/main-1a2b.js", "gzip; q=0", "let x = 1", "", "public, max-age=31536000, immutable", "text/javascript; charset=utf-8"},
		{"assets/main-1a2b.js", "br", "let x = 1", "", "public, max-age=31536000, immutable", "text/javascript; charset=utf-8"},
		{"assets/only-3c4d.css", "gzip", "body{}", "gzip", "public, max-age=31536000, immutable", "text/css; charset=utf-8"},
		{"assets/only-3c4d.css", "", "body{}", "", "public, max-age=31536000, immutable", "text/css; charset=utf-8"},
	} {
		w := ask(d, http.MethodGet, Prefix+tt.path, "", "Accept-Encoding: "+tt.accept)
		body := w.Body.Bytes()
		if w.Header().Get("Content-Encoding") == "gzip" {
			body = unpack(body)
		}
		h := w.Header()
		if w.Code != 200 || string(body) != tt.body || h.Get("Content-Encoding") != tt.encoding || h.Get("Cache-Control") != tt.kept || h.Get("Content-Type") != tt.mime {
			t.Errorf("GET %q with Accept-Encoding %q = %d %q %v; want %q, %q, %q, %q", tt.path, tt.accept, w.Code, body, h, tt.body, tt.encoding, tt.kept, tt.mime)
		}
	}
}

func TestReadAndWriteAreGuardedApart(t *testing.T) {
	t.Parallel()
	no := func(code string, status int) Access {
		return func(*http.Request) error { return &Error{Status: status, Code: code, Message: "no"} }
	}
	o := all()
	o.Write = no(Unauthorized, http.StatusUnauthorized)
	d := New(o)
	for _, tt := range []struct {
		method, path string
		status       int
	}{
		{"GET", "api/settings", 200}, {"PATCH", "api/settings", 401}, {"DELETE", "api/queue/req_1", 401}, {"GET", "api/queue", 200},
	} {
		w := ask(d, tt.method, Prefix+tt.path, "{}")
		if w.Code != tt.status || (tt.status == 401) != (w.Header().Get("WWW-Authenticate") != "") {
			t.Errorf("%s %s = %d, WWW-Authenticate %q; want %d", tt.method, tt.path, w.Code, w.Header().Get("WWW-Authenticate"), tt.status)
		}
	}
	o = all()
	o.Read = no(Forbidden, http.StatusForbidden)
	d = New(o)
	for _, route := range d.routes {
		method := route.methods[0]
		want := http.StatusForbidden
		if method == http.MethodDelete {
			want = http.StatusNoContent // no read
		}
		if w := ask(d, method, Prefix+route.path+map[bool]string{true: "req_1"}[strings.HasSuffix(route.path, "/")], ""); w.Code != want {
			t.Errorf("%s %s for whom nothing may be read = %d; want %d", method, route.path, w.Code, want)
		}
	}
	if w := ask(d, http.MethodGet, Prefix, ""); w.Code != http.StatusOK {
		t.Errorf("the page itself = %d; want 200: it holds nothing", w.Code)
	}
}

func TestAPatchReachesTheSettingsWithItsSender(t *testing.T) {
	t.Parallel()
	o, s := all(), &settings{}
	o.Settings = s
	ask(New(o), http.MethodPatch, Prefix+"api/settings", `{"version":7}`)
	if s.patch != `{"version":7}` || s.by != "192.0.2.1:1234" {
		t.Errorf("the settings got %q by %q; want the body by the address of its sender", s.patch, s.by)
	}
}

func TestTheEmbeddedPageHasAnIndex(t *testing.T) {
	t.Parallel()
	w := ask(New(Options{Feed: NewFeed(&source{})}), http.MethodGet, Prefix, "")
	if w.Code != 200 || !strings.Contains(w.Body.String(), "<title>") {
		t.Errorf("GET /sidecar/ = %d %.100q; want the page of the binary", w.Code, w.Body)
	}
}

func TestNumbersThatAreNoneAreNull(t *testing.T) {
	t.Parallel()
	log := history.New()
	now := time.Unix(1_000_000, 0)
	log.Add(now, history.Sample{Granted: 3, Rate: 38.123456, Ceiling: 40, Utilisation: 1, Depth: [history.Classes]int{0, 0, 7, 0}})
	log.Waited(now, 2, 3*time.Second)
	s, ok := log.Series(now.Add(history.Step), "15m")
	if !ok {
		t.Fatal("no series")
	}
	text, err := json.Marshal(pastOf(s))
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		From   int64 `json:"from"`
		Series map[string]json.RawMessage
	}
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]string{
		"t": ",1000000000]", "granted": ",null,3]", "rate": ",null,38.123]", "refused": ",null,0]",
		"wait_p50": `,null,3072]`, "depth": `,null,7]`,
	} {
		if got := string(p.Series[name]); !strings.Contains(got, end) {
			t.Errorf("%s = …%s; want …%s in it", name, got[max(0, len(got)-40):], end)
		}
	}
	if want := int64(1_000_000_000 - 179*5000); p.From != want {
		t.Errorf("from = %d; want %d", p.From, want)
	}
}

func ExampleRedirect() {
	w := httptest.NewRecorder()
	Redirect(w)
	fmt.Println(w.Code, w.Header().Get("Location"))
	// Output: 302 sidecar/
}
