// Package sim is whole-system scenarios in virtual time, judged against the optimum.
//
// A Lab is a real sidecar, settings and servers and all, in front of the emulated upstream, joined by an in-memory network inside a
// synctest bubble: an hour of waiting takes milliseconds, and every duration is exact.
package sim

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/app"
	"nimsidecar/internal/config"
	"nimsidecar/internal/memnet"
	"nimsidecar/internal/mock"
)

// Setup is what a Lab is made of. The zero value is a sidecar with default settings in front of an upstream with default limits.
type Setup struct {
	Mock    mock.Options
	Handler http.Handler // an upstream instead of the mock
	Env     []string     // settings, as NAME=value
	File    string       // settings, as YAML
}

// Lab is a running sidecar and its upstream. Make it, and everything that uses it, inside one bubble.
type Lab struct {
	T    testing.TB      // the test that is told of what goes wrong
	Mock *mock.Server    // nil where Setup.Handler is the upstream
	App  *app.App        // the sidecar
	Net  *memnet.Network // what joins them; clients may dial it
	Log  *Journal        // what the sidecar logged

	client   *http.Client
	stop     context.CancelFunc
	stopped  chan struct{}
	runError error
	upstream *http.Server
}

// The addresses in the lab's network.
const (
	proxyAddr    = "127.0.0.1:9190"
	metricsAddr  = "127.0.0.1:9191"
	upstreamAddr = "127.0.0.1:7001"
)

// New starts a lab; it is stopped, and its goroutines waited for, by Close.
func New(t testing.TB, s Setup) *Lab {
	t.Helper()
	l := &Lab{T: t, Net: &memnet.Network{}, Log: &Journal{}, stopped: make(chan struct{})}
	l.client = &http.Client{Transport: &http.Transport{DialContext: l.Net.DialContext, MaxIdleConnsPerHost: 100, DisableCompression: true}}
	l.startUpstream(s)

	settings, err := config.Load(s.sources())
	if err != nil {
		t.Fatalf("settings: %v", err)
	}
	l.App, err = app.New(app.Options{
		Config: settings, Version: "test", DialContext: l.Net.DialContext,
		Logger: slog.New(slog.NewJSONHandler(l.Log, nil)),
		Listen: func(_, address string) (net.Listener, error) { return l.Net.Listen(address) },
	})
	if err != nil {
		t.Fatalf("app.New: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	go func() {
		defer close(l.stopped)
		l.runError = l.App.Run(ctx)
	}()
	synctest.Wait()
	return l
}

// sources are the settings: those of a file stand alone, others come on top of an upstream with one key.
func (s Setup) sources() config.Sources {
	if s.File != "" {
		return config.Sources{
			Environ:  append([]string{"SIDECAR_CONFIG=lab.yaml"}, s.Env...),
			ReadFile: func(string) ([]byte, error) { return []byte(s.File), nil },
		}
	}
	return config.Sources{Environ: append([]string{"SIDECAR_UPSTREAM_URL=http://" + upstreamAddr + "/v1", "SIDECAR_API_KEYS=nvapi-test-key"}, s.Env...)}
}

// startUpstream serves the mock, or the handler in its place.
func (l *Lab) startUpstream(s Setup) {
	handler := s.Handler
	if handler == nil {
		var err error
		if l.Mock, err = mock.New(s.Mock); err != nil {
			l.T.Fatalf("mock.New: %v", err)
		}
		handler = l.Mock
	}
	listener, err := l.Net.Listen(upstreamAddr)
	if err != nil {
		l.T.Fatalf("upstream: %v", err)
	}
	l.upstream = &http.Server{Handler: handler, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	go func() { _ = l.upstream.Serve(listener) }()
}

// Terminate does what SIGTERM does: it begins the ordered stop and returns at once.
func (l *Lab) Terminate() { l.stop() }

// Stopped is closed once the sidecar has stopped.
func (l *Lab) Stopped() <-chan struct{} { return l.stopped }

// Close stops everything and fails the test if the sidecar did not end well or left a connection open.
func (l *Lab) Close() {
	l.T.Helper()
	l.stop()
	<-l.stopped
	if l.runError != nil {
		l.T.Errorf("Run() = %v; want nil", l.runError)
	}
	l.client.CloseIdleConnections()
	_ = l.upstream.Close()
	if l.Mock != nil {
		_ = l.Mock.Close()
	}
	synctest.Wait()
	if open := l.Net.Open(); open != 0 {
		l.T.Errorf("%d connections are still open", open)
	}
}

// Reply is an answer as a client got it.
type Reply struct {
	Status int           // 0 when no head came
	Header http.Header   // nil when no head came
	Body   string        // as far as it came
	Err    error         // of the body: a cut answer has one
	Took   time.Duration // until the end of the body
	At     time.Time     // the end of the body
}

// Do sends a request with header lines such as "X-Sidecar-Priority: urgent" and reads the answer to its end.
func (l *Lab) Do(ctx context.Context, method, path, body string, headers ...string) Reply {
	began := time.Now()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+proxyAddr+path, strings.NewReader(body))
	if err != nil {
		return Reply{Err: err}
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Add(name, value)
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return Reply{Err: err, Took: time.Since(began), At: time.Now()}
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	return Reply{
		Status: resp.StatusCode, Header: resp.Header, Body: string(content), Err: err, Took: time.Since(began), At: time.Now(),
	}
}

// Chat sends a chat completion for a model and reads the answer to its end.
func (l *Lab) Chat(model string, stream bool, headers ...string) Reply {
	body := fmt.Sprintf(`{"model":%q,"stream":%t,"messages":[{"role":"user","content":"hello"}]}`, model, stream)
	return l.Do(context.Background(), http.MethodPost, "/v1/chat/completions", body, append(headers, "Content-Type: application/json")...)
}

// Metrics returns the exposition of the metrics port, once everything that goes on has been counted: a request is counted and logged
// after its client has got the answer.
func (l *Lab) Metrics() string {
	synctest.Wait()
	resp, err := l.client.Get("http://" + metricsAddr + "/metrics")
	if err != nil {
		l.T.Fatalf("metrics: %v", err)
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		l.T.Fatalf("metrics: %v", err)
	}
	return string(content)
}

// Journal keeps what was logged. It is safe for concurrent use.
type Journal struct {
	mu   sync.Mutex // guards the following
	text bytes.Buffer
}

// Write appends a line.
func (j *Journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// String returns everything that was logged.
func (j *Journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// Lines returns the lines that hold every one of the texts, once everything that goes on has been logged.
func (j *Journal) Lines(texts ...string) (found []string) {
	synctest.Wait()
lines:
	for line := range strings.Lines(j.String()) {
		for _, text := range texts {
			if !strings.Contains(line, text) {
				continue lines
			}
		}
		found = append(found, line)
	}
	return found
}
