package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"nimsidecar/internal/coalesce"
	"nimsidecar/internal/gate"
	"nimsidecar/internal/guard"
	"nimsidecar/internal/memnet"
	"nimsidecar/internal/metrics"
	"nimsidecar/internal/quota"
)

// sink is a client that takes everything at once. It allocates nothing.
type sink struct {
	header http.Header
	status int
	n      int
	writes int
	tail   [16]byte // of the last write
}

func (s *sink) Header() http.Header              { return s.header }
func (s *sink) WriteHeader(status int)           { s.status = status }
func (s *sink) FlushError() error                { return nil }
func (s *sink) SetReadDeadline(time.Time) error  { return nil }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }
func (s *sink) reset()                           { clear(s.header); s.status, s.n, s.writes = 0, 0, 0 }

func (s *sink) ended(with string) bool { return strings.HasSuffix(string(s.tail[:]), with) }

func (s *sink) Write(p []byte) (int, error) {
	s.n += len(p)
	s.writes++
	if len(p) >= len(s.tail) {
		copy(s.tail[:], p[len(p)-len(s.tail):])
	}
	return len(p), nil
}

// rewound is a request's body that can be read again and again.
type rewound struct{ bytes.Reader }

func (*rewound) Close() error { return nil }

// parrot answers whatever comes in one read, in one write, without parsing it. It allocates nothing for a request.
func parrot(b *testing.B, answer string) func(context.Context, string, string) (net.Conn, error) {
	b.Helper()
	network := memnet.Network{Buffer: 1 << 20}
	listener, err := network.Listen("up.test:80")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = listener.Close() })
	text := []byte(answer)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				for into := make([]byte, 64<<10); ; {
					if _, err := conn.Read(into); err != nil {
						return
					}
					if _, err := conn.Write(text); err != nil {
						return
					}
				}
			}()
		}
	}()
	return network.DialContext
}

// carry measures requests through a whole Handler before a parrot, whose clients are kept alive like that.
func carry(b *testing.B, beat Heartbeat, answer, request string, check func(s *sink) bool) {
	b.Helper()
	door := gate.New(gate.Options{Budget: quota.New(quota.Options{})})
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- door.Run(ctx) }()
	table := testTable(b, parrot(b, answer))
	h := New(Options{
		Guard: guard.New(guard.Options{}), Gate: door, Upstream: table, Metrics: metrics.New(metrics.Options{Providers: []string{"up"}}),
		Logger: slog.New(slog.NewJSONHandler(io.Discard, nil)), Settings: Settings{Heartbeat: beat},
	})
	header := http.Header{
		"Accept": {"application/json"}, "Content-Type": {"application/json"}, "User-Agent": {"OpenAI/Python 1.99.0"},
		"X-Sidecar-Agent": {"coder"}, "X-Sidecar-Priority": {"high"}, "X-Stainless-Retry-Count": {"0"}, "X-Stainless-Timeout": {"600"},
	}
	r := chat(ctx, "false")
	body, w := new(rewound), &sink{header: make(http.Header, 32)}
	r.Body, r.ContentLength = body, int64(len(request))
	b.ReportAllocs()
	for b.Loop() {
		body.Reset([]byte(request))
		r.Header = header.Clone()
		w.reset()
		h.ServeHTTP(w, r)
		if w.status != http.StatusOK || !check(w) {
			b.Fatalf("status %d with %d bytes", w.status, w.n)
		}
	}
	stop()
	<-ended
	table.Close()
}

// BenchmarkHandler is a short request with a short answer through everything but the network: admission, slot, attempt, relay, log
// line, metrics. Budget: 60 µs and 85 allocations, of which net/http's transport has half and the request's own header 5.
func BenchmarkHandler(b *testing.B) {
	const completion = `{"id":"1","choices":[{"message":{"content":"hello"}}],"usage":{"prompt_tokens":3,"completion_tokens":4}}`
	answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nNvcf-Reqid: 1\r\nContent-Length: %d\r\n\r\n%s", len(completion), completion)
	carry(b, Heartbeat{}, answer, `{"model":"m/a","messages":[{"role":"user","content":"hello"}]}`, func(s *sink) bool { return s.n == len(completion) })
}

// BenchmarkHandlerLong is the same with an answer of 4 KiB, which must reach the client in one write. Budget: 65 µs and 85 allocations.
func BenchmarkHandlerLong(b *testing.B) {
	body := `{"text":"` + strings.Repeat("x", 4<<10) + `"}`
	answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	carry(b, Heartbeat{}, answer, `{"model":"m/a"}`, func(s *sink) bool { return s.n == len(body) && s.writes == 1 })
}

// BenchmarkHandlerKept is a short stream whose client would get heartbeats, if it took longer. Budget: 65 µs and 90 allocations.
func BenchmarkHandlerKept(b *testing.B) {
	answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n%s", len(hello+theEnd), hello+theEnd)
	carry(b, usual, answer, `{"model":"m/a","stream":true}`, func(s *sink) bool { return s.n == len(hello+theEnd) && s.ended(theEnd) })
}

// BenchmarkStream is the same with a stream of 1,000 events of 100 bytes, all there at once: what copying costs. Budget: 250 µs, and 20
// allocations over BenchmarkHandler: none for an event.
func BenchmarkStream(b *testing.B) {
	event := "data: " + strings.Repeat("x", 92) + "\n\n"
	stream := strings.Repeat(event, 1000) + "data: [DONE]\n\n"
	answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(stream), stream)
	carry(b, Heartbeat{}, answer, `{"model":"m/a","stream":true}`, func(s *sink) bool { return s.n == len(stream) && s.ended("data: [DONE]\n\n") })
}

// BenchmarkEvent is one event of 100 bytes that comes alone, from the upstream's chunk to the client's flush. Budget: 200 ns, no
// allocation.
func BenchmarkEvent(b *testing.B) {
	w := &sink{header: http.Header{}}
	c := copier{x: &exchange{w: w, control: *http.NewResponseController(w), began: time.Now(), pulse: pulse{headOut: true}}, streams: true, begun: true}
	event := []byte("data: " + strings.Repeat("x", 92) + "\n\n")
	b.ReportAllocs()
	for b.Loop() {
		if !c.pass(event) {
			b.Fatal("the client is gone")
		}
	}
}

// BenchmarkTranslatedEvent is a chunk of a chat completion that comes alone and goes on as an event of a message. Budget: 6 µs and 10
// allocations, nearly all of them for its JSON.
func BenchmarkTranslatedEvent(b *testing.B) {
	w := &sink{header: http.Header{}}
	c := copier{x: &exchange{w: w, control: *http.NewResponseController(w), began: time.Now(), pulse: pulse{headOut: true}}, streams: true, into: new(translation), begun: true}
	event := []byte("data: {\"id\":\"1\",\"model\":\"m/a\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello\"}}]}\n\n")
	b.ReportAllocs()
	for b.Loop() {
		if !c.pass(event) {
			b.Fatal("the client is gone")
		}
	}
}

// BenchmarkHit is a request whose answer is kept. Budget: 20 µs and 22 allocations.
func BenchmarkHit(b *testing.B) {
	x := asked(b, http.MethodPost, "/v1/embeddings", "Content-Type: application/json")
	x.h.Coalesce = coalesce.New(kept)
	const body = `{"model":"m/a","input":"the same text as before"}`
	r, w, reader := x.r, &sink{header: http.Header{}}, new(rewound)
	r.Body, r.ContentLength = reader, int64(len(body))
	first := newExchange(x.h, w, r)
	reader.Reset([]byte(body))
	if first.admit() != nil || first.share() {
		b.Fatal("the first is no miss")
	}
	first.shared.header = http.Header{"Content-Type": {"application/json"}}
	first.shared.seat.Record([]byte(vector))
	first.shared.over(http.StatusOK)
	first.end()
	b.ReportAllocs()
	for b.Loop() {
		reader.Reset([]byte(body))
		w.reset()
		x.h.ServeHTTP(w, r)
		if w.n != len(vector) {
			b.Fatal("no answer")
		}
	}
}

// BenchmarkAdmit is all that is read of a request before it may wait, with a body of 1 MB. Budget: 4 ms, 20 allocations.
func BenchmarkAdmit(b *testing.B) {
	body := `{"model":"m/a","messages":[{"role":"user","content":"` + strings.Repeat("word ", 200_000) + `"}],"stream":true}`
	reader := strings.NewReader(body)
	b.SetBytes(int64(len(body)))
	x := asked(b, http.MethodPost, "/v1/chat/completions", "X-Sidecar-Agent: coder", "X-Sidecar-Priority: high", "X-Stainless-Timeout: 600")
	h, r := x.h, x.r
	r.ContentLength = int64(len(body))
	w := &sink{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		reader.Reset(body)
		r.Body = io.NopCloser(reader)
		x := newExchange(h, w, r)
		if refusal := x.admit(); refusal != nil || !x.peek.Stream {
			b.Fatal(refusal, x.peek)
		}
		x.letGo()
	}
}
