package proxy

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"nimsidecar/internal/coalesce"
	"nimsidecar/internal/gate"
	"nimsidecar/internal/guard"
	"nimsidecar/internal/metrics"
	"nimsidecar/internal/upstream"
)

// Options is what a Handler is built from. Guard, Gate and Upstream are required; the rest has usable zero values.
type Options struct {
	Guard    *guard.Guard
	Gate     *gate.Gate
	Upstream *upstream.Table

	// MaxBody is the largest request body in bytes; 0 = 25 MB, what the hosted API takes.
	MaxBody int64
	// MaxBytes bounds all request bodies that are held at one time; 0 = 512 MB.
	MaxBytes int64
	// Settings are those that Apply may change.
	Settings Settings
	// Coalesce lets identical requests share calls and answers; nil lets nobody.
	Coalesce *coalesce.Group

	// Metrics may be nil: then nothing is counted.
	Metrics *metrics.Metrics
	// Logger gets one line a finished request; nil discards it. Its handler must not keep a record after Handle has returned.
	Logger *slog.Logger
	// Finished is called once for each request that has ended, on the request's goroutine. It must not block. Nil is nobody.
	Finished func(Finished)
}

// Settings are what may change while a Handler serves. Each request keeps those that it began with. The zero value is usable.
type Settings struct {
	// MaxWait is the longest time a request waits for its grants; 0 = 15 minutes.
	MaxWait time.Duration
	// Passthrough sends what finds the queue full without a slot, instead of refusing it.
	Passthrough bool
	// Heartbeat says how clients are kept alive while they wait.
	Heartbeat Heartbeat
}

// The defaults of Options and Settings.
const (
	DefaultMaxBody  = 25_000_000
	DefaultMaxBytes = 512_000_000
	DefaultMaxWait  = 15 * time.Minute
)

// Handler forwards /v1/... to the default provider and /{provider}/v1/... to a named one, paced and queued. It must be given only
// such paths. It is safe for concurrent use.
type Handler struct {
	Options  // immutable, defaults filled in; of Settings those that New was given
	settings atomic.Pointer[Settings]

	held    atomic.Int64 // bytes of request bodies that are held now
	buffers buffers
	hearts  hearts
	reports sync.Pool // of *report
	refused refusals
}

// New returns a Handler.
func New(o Options) *Handler {
	if o.MaxBody <= 0 {
		o.MaxBody = DefaultMaxBody
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Handler{Options: o}
	h.Apply(o.Settings)
	return h
}

// Apply changes the settings for all requests that come from now on.
func (h *Handler) Apply(s Settings) {
	if s.MaxWait <= 0 {
		s.MaxWait = DefaultMaxWait
	}
	if s.Heartbeat.Mode == "" {
		s.Heartbeat.Mode = ModeOff
	}
	s.Heartbeat.Interval = max(MinInterval, cmp.Or(s.Heartbeat.Interval, DefaultInterval))
	h.settings.Store(&s)
}

// Held returns how many bytes of request bodies are held now.
func (h *Handler) Held() int64 { return h.held.Load() }

// ServeHTTP carries one request through its whole life. It panics with http.ErrAbortHandler, as net/http asks, where the
// connection must be cut because a truncated answer would look whole.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := newExchange(h, w, r)
	defer x.end()
	if refusal := x.admit(); refusal != nil {
		x.refuse(refusal)
		return
	}
	x.admitted = true
	if x.local() || x.share() {
		return
	}
	if x.forward() {
		x.relay()
	}
}

// buffers lends the memory that answers are copied through: small ones, since thousands of streams may be open at once, and large
// ones for those that fill them.
type buffers struct{ small, large sync.Pool }

// The sizes of lent buffers.
const (
	smallBuffer = 1 << 10
	largeBuffer = 32 << 10
)

// get returns a buffer of one of the two sizes.
func (b *buffers) get(size int) *[]byte {
	pool := b.pool(size)
	if p, ok := pool.Get().(*[]byte); ok {
		return p
	}
	p := make([]byte, size)
	return &p
}

// put takes a buffer back.
func (b *buffers) put(p *[]byte) { b.pool(len(*p)).Put(p) }

func (b *buffers) pool(size int) *sync.Pool {
	switch size {
	case smallBuffer:
		return &b.small
	case largeBuffer:
		return &b.large
	}
	panic(fmt.Sprintf("proxy: no buffers of %d bytes", size))
}
