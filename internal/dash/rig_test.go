package dash

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nimsidecar/internal/memnet"
)

// source counts how often it is asked.
type source struct {
	builds atomic.Int64
	fill   int // bytes of padding
}

func (s *source) View() *View {
	s.builds.Add(1)
	return &View{Now: time.Now().UnixMilli(), Version: strings.Repeat("x", s.fill), State: "NORMAL", Batches: []Batch{}}
}

// rig is a dashboard on a network of its own, for a bubble.
type rig struct {
	t       *testing.T
	network memnet.Network
	source  source
	feed    *Feed
	server  *http.Server
	parts   sync.WaitGroup
	stop    context.CancelFunc
}

const address = "127.0.0.1:9190"

// newRig starts one; change may alter its options.
func newRig(t *testing.T, change func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t}
	r.feed = NewFeed(&r.source)
	o := Options{Feed: r.feed}
	if change != nil {
		change(&o)
	}
	r.server = &http.Server{Handler: New(o)}
	l, err := r.network.Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	r.stop = stop
	r.parts.Go(func() { _ = r.feed.Run(ctx) })
	r.parts.Go(func() { _ = r.server.Serve(l) })
	return r
}

// close stops everything and waits for it.
func (r *rig) close() {
	r.feed.Close()
	r.stop()
	_ = r.server.Shutdown(context.Background())
	r.parts.Wait()
}

// stream is one viewer's connection.
type stream struct {
	net.Conn
	lines *bufio.Scanner
}

// watch opens a stream of events with some more headers.
func (r *rig) watch(headers ...string) *stream {
	r.t.Helper()
	conn, err := r.network.DialContext(r.t.Context(), "tcp", address)
	if err != nil {
		r.t.Fatal(err)
	}
	head := strings.Join(append([]string{"GET /sidecar/api/events HTTP/1.1", "Host: localhost"}, headers...), "\r\n")
	if _, err := io.WriteString(conn, head+"\r\n\r\n"); err != nil {
		r.t.Fatal(err)
	}
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, 1<<20)
	return &stream{conn, lines}
}

// next returns the next line that begins so, without that; "" when the stream has ended.
func (s *stream) next(prefix string) string {
	for s.lines.Scan() && s.lines.Text() != "0" { // the last chunk of the answer
		if rest, ok := strings.CutPrefix(s.lines.Text(), prefix); ok {
			return rest
		}
	}
	return ""
}

// ask sends a request through the handler itself.
func (r *rig) do(ctx context.Context, method, path string) (*http.Response, string) {
	r.t.Helper()
	transport := &http.Transport{DialContext: r.network.DialContext, DisableKeepAlives: true}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+address+path, http.NoBody)
	if err != nil {
		r.t.Fatal(err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return response, string(body)
}
