package mock_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"nimsidecar/internal/mock"
)

const chatPath = "/v1/chat/completions"

// newServer returns a Server that is closed with the test.
func newServer(t testing.TB, o mock.Options) *mock.Server {
	t.Helper()
	s, err := mock.New(o)
	if err != nil {
		t.Fatalf("New(%+v) failed: %v", o, err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// ask is a request to be sent. The zero value is a chat with the model "m" and the key "k".
type ask struct {
	method, path string
	key          string // "none" sends no credential
	model        string
	body         string // instead of the chat
	header       []string
	ctx          context.Context
}

func (a ask) request() *http.Request {
	or := func(s, otherwise string) string {
		if s == "" {
			return otherwise
		}
		return s
	}
	body := or(a.body, `{"model":"`+or(a.model, "m")+`","messages":[{"role":"user","content":"hello"}]}`)
	r := httptest.NewRequest(or(a.method, http.MethodPost), or(a.path, chatPath), strings.NewReader(body))
	if key := or(a.key, "k"); key != "none" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	for _, line := range a.header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	if a.ctx != nil {
		r = r.WithContext(a.ctx)
	}
	return r
}

// send lets the Server answer, and reports an answer that was broken off by its status -1.
func send(s *mock.Server, a ask) (rec *httptest.ResponseRecorder) {
	rec = httptest.NewRecorder()
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			rec.Code = -1
		default:
			panic(p)
		}
	}()
	s.ServeHTTP(rec, a.request())
	return rec
}

// passed sends n requests one after the other and returns how many got a 200. Anything but 200 and 429 ends the test.
func passed(t *testing.T, s *mock.Server, n int, a ask) (ok int) {
	t.Helper()
	for range n {
		switch rec := send(s, a); rec.Code {
		case http.StatusOK:
			ok++
		case http.StatusTooManyRequests:
		default:
			t.Fatalf("answer %d %s; want 200 or 429", rec.Code, rec.Body)
		}
	}
	return ok
}

func arm(t *testing.T, s *mock.Server, f mock.Fault) {
	t.Helper()
	if err := s.Arm(f); err != nil {
		t.Fatalf("Arm(%+v) failed: %v", f, err)
	}
}

// verdicts returns the verdict of every arrival.
func verdicts(s *mock.Server) []string {
	var list []string
	for _, a := range s.Arrivals() {
		list = append(list, a.Verdict)
	}
	return list
}

// charges returns how many arrivals were charged.
func charges(s *mock.Server) (n int) {
	for _, a := range s.Arrivals() {
		if a.Charged {
			n++
		}
	}
	return n
}

func TestNewNamesTheOptionItCannotUse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		o    mock.Options
		want string
	}{
		{"limits", mock.Options{Limits: "40-W"}, `option Limits: limits "40-W"`},
		{"cap for a window", mock.Options{Limits: "8"}, "limit 8 has no period"},
		{"window for a cap", mock.Options{Limiter: "inflight", Limits: "40-M"}, "limit 40-M: a cap"},
		{"model's limits", mock.Options{ModelLimits: map[string]string{"m": "x"}}, `option ModelLimits m: limits "x"`},
		{"account's limits", mock.Options{AccountLimits: map[string]string{"a": "x"}}, `option AccountLimits a: limits "x"`},
		{"limiter", mock.Options{Limiter: "leaky"}, `option Limiter: unknown kind "leaky", want one of nvidia`},
		{"burst", mock.Options{Burst: -1}, "option Burst -1: want zero or more"},
		{"headers", mock.Options{RateHeaders: "x"}, "option RateHeaders x: want one of anthropic, ietf,"},
		{"asynchronous cap", mock.Options{Limiter: "inflight", Async: true}, "option Async true"},
		{"pods", mock.Options{AsyncPods: -1}, "option AsyncPods -1"},
		{"latency", mock.Options{CheckLatency: -1}, "option CheckLatency -1ns"},
		{"time scale", mock.Options{TimeScale: -1}, "option TimeScale -1: want 0.001"},
		{"versions", mock.Options{Versions: -1}, "option Versions -1"},
		{"service", mock.Options{Service: -time.Second}, "option Service -1s"},
		{"first byte", mock.Options{FirstByte: -1}, "option FirstByte"},
		{"gap", mock.Options{ChunkGap: -1}, "option ChunkGap"},
		{"chunks", mock.Options{Chunks: -1}, "option Chunks -1: want 1 to 100,000"},
		{"arrivals", mock.Options{KeepArrivals: -1}, "option KeepArrivals -1"},
		{"state", mock.Options{ModelStates: map[string]string{"m": "asleep"}}, `option ModelStates: m "asleep": want one of offline`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := mock.New(tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New(%+v) failed with %v; want %q in it", tt.o, err, tt.want)
			}
		})
	}
}

func TestEveryAnswerSaysThatItIsSynthetic(t *testing.T) {
	t.Parallel()
	s := newServer(t, mock.Options{Limits: "1-D"})
	for _, a := range []ask{
		{},
		{},
		{key: "none"},
		{path: "/nowhere"},
		{method: "GET", path: "/v1/models"},
		{method: "GET", path: "/mock/stats"},
		{method: "GET", path: "/mock/nowhere"},
	} {
		rec := send(s, a)
		if got := rec.Header().Get("X-Mock"); got != "synthetic" {
			t.Errorf("answer %d to %+v has X-Mock %q; want synthetic", rec.Code, a, got)
		}
	}
	for _, path := range []string{"/v1/models", "/health", "/info"} {
		if body := send(s, ask{method: "GET", path: path}).Body.String(); !strings.Contains(body, `"X-Mock":"synthetic"`) {
			t.Errorf("GET %s = %s; want it to say that it is synthetic", path, body)
		}
	}
}

func TestCloseMayBeCalledTwice(t *testing.T) {
	t.Parallel()
	s := newServer(t, mock.Options{Async: true})
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("Close() = %v; want nil", err)
		}
	}
	if got := send(s, ask{}).Code; got != http.StatusOK {
		t.Errorf("a request after Close got %d; want 200", got)
	}
}

// readAll returns a body and whether it ended as it should.
func readAll(t *testing.T, r io.Reader) (string, error) {
	t.Helper()
	body, err := io.ReadAll(r)
	return string(body), err
}
