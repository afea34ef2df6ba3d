package app

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"nimsidecar/internal/config"
	"nimsidecar/internal/dash"
	"nimsidecar/internal/memnet"
)

// rig is a running app in front of an upstream, in a bubble.
type rig struct {
	t        *testing.T
	network  memnet.Network
	app      *App
	log      syncBuffer
	upstream *http.Server
	client   http.Client
	parts    sync.WaitGroup
	stop     context.CancelFunc
}

// syncBuffer is a log that several write to.
type syncBuffer struct {
	mu sync.Mutex // guards the following
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// plain answers every request at once.
func plain(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"usage":{"prompt_tokens":5,"completion_tokens":7}}`)
}

// newRig starts one. The settings are read by load, again at each reload.
func newRig(t *testing.T, upstream http.HandlerFunc, load func() (*config.Config, error)) *rig {
	t.Helper()
	r := &rig{t: t}
	l, err := r.network.Listen("up.test:80")
	if err != nil {
		t.Fatal(err)
	}
	r.upstream = &http.Server{Handler: upstream}
	r.parts.Go(func() { _ = r.upstream.Serve(l) })
	c, err := load()
	if err != nil {
		t.Fatal(err)
	}
	o := options(c, &r.network, io.Discard)
	o.Level = new(slog.LevelVar)
	o.Logger = slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: o.Level}))
	o.Reload = load
	if r.app, err = New(o); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.parts.Go(func() {
		if err := r.app.Run(ctx); err != nil {
			t.Errorf("Run() = %v; want nil", err)
		}
	})
	r.client.Transport = &http.Transport{DialContext: r.network.DialContext, MaxIdleConnsPerHost: 100}
	synctest.Wait()
	return r
}

// environment loads settings given as NAME=value.
func environment(t *testing.T, environ ...string) func() (*config.Config, error) {
	return func() (*config.Config, error) { return settings(t, environ...), nil }
}

// close stops everything and waits for it.
func (r *rig) close() {
	r.stop()
	r.client.CloseIdleConnections()
	_ = r.upstream.Close()
	r.parts.Wait()
}

// do sends a request to the proxy's port and returns status and body; status 0 is a fault of the connection.
func (r *rig) do(method, path, body string, headers ...string) (status int, answer string) {
	request, err := http.NewRequest(method, "http://127.0.0.1:9190"+path, strings.NewReader(body))
	if err != nil {
		r.t.Error(err)
		return 0, ""
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		request.Header.Set(name, value)
	}
	response, err := r.client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}

// chat sends a request for a completion.
func (r *rig) chat(headers ...string) (status int, answer string) {
	return r.do(http.MethodPost, "/v1/chat/completions", `{"model":"m","messages":[]}`, headers...)
}

// view reads the snapshot.
func (r *rig) view() (v dash.View) {
	r.t.Helper()
	status, body := r.do(http.MethodGet, "/sidecar/api/snapshot", "")
	if err := json.Unmarshal([]byte(body), &v); status != http.StatusOK || err != nil {
		r.t.Fatalf("GET snapshot = %d %s, %v", status, body, err)
	}
	return v
}

// steering reads the settings.
func (r *rig) steering() (s dash.Steering) {
	r.t.Helper()
	status, body := r.do(http.MethodGet, "/sidecar/api/settings", "")
	if err := json.Unmarshal([]byte(body), &s); status != http.StatusOK || err != nil {
		r.t.Fatalf("GET settings = %d %s, %v", status, body, err)
	}
	return s
}

// patch changes settings on top of the newest version, and wants that to be answered with a status.
func (r *rig) patch(want int, change string, headers ...string) string {
	r.t.Helper()
	body := `{"version":` + marshal(r.steering().Version) + `,"settings":` + change + `}`
	status, answer := r.do(http.MethodPatch, "/sidecar/api/settings", body, headers...)
	if status != want {
		r.t.Errorf("PATCH %s = %d %s; want %d", change, status, answer, want)
	}
	return answer
}

func marshal(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func newNetwork() *memnet.Network { return new(memnet.Network) }

func discard() io.Writer { return io.Discard }
