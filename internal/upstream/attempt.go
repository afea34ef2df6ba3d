package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"nimsidecar/internal/limit"
)

// maxInterim is how many 1xx answers are passed on; an upstream that sends more of them is not answering.
const maxInterim = 16

// The causes with which an attempt ends its own context.
var (
	errHeadTimeout = errors.New("upstream: no head in time")
	errIdle        = errors.New("upstream: silence inside the body")
	errClosed      = errors.New("upstream: the answer was closed")
	errReplay      = errors.New("upstream: the request would have been sent twice in one attempt")
	errInterim     = errors.New("upstream: too many interim answers")
)

// Request is what to send. It may be sent again by another attempt, once the last one has returned.
type Request struct {
	Method   string      // as it came
	Path     string      // escaped, after /v1, such as /chat/completions; see CheckPath
	RawQuery string      // as it came
	Header   http.Header // the client's, keys canonical; the map is ours from the first attempt on: what must not go up is taken out of it
	Body     []byte      // must never be changed afterwards: a connection may still be sending it when the answer is read
	Stream   bool        // the body asks for an event stream

	// Conversation is what wire.Conversation says of the body: the same one is given the same key while there is one to choose from. 0 =
	// none, and the keys take turns.
	Conversation uint64

	// Deadline is until when the client will wait, zero = the provider's HeadTimeout from now; NVIDIA's gateway is told.
	Deadline time.Time
	// Interim is called for each 1xx answer but 100 with its end-to-end headers, on another goroutine, while Attempt runs and never
	// after it has returned. May be nil.
	Interim func(status int, h http.Header)
	// Sent is called once, as soon as the whole request is written; never if it is not. It is called on another goroutine and must
	// not block; where the answer comes early, it may be called after Attempt has returned. May be nil.
	Sent func()

	cleaned bool // Header holds only what may go up
	polls   bool // the client itself says how long the gateway shall wait
}

// credential is the key that an attempt uses. The zero value is the client's own.
type credential struct {
	account *account
	key     int
}

// slot returns the key; nil is the client's own.
func (c credential) slot() *slot {
	if c.account == nil {
		return nil
	}
	return &c.account.slots[c.key]
}

func (c credential) alias() string {
	if c.account == nil {
		return ""
	}
	return c.account.slots[c.key].alias
}

// Attempt sends r once and blocks until the head of the answer is in, or the attempt has failed; the result is never nil and must
// be closed. The beginning of an error body has been read and a short body wholly, so that Outcome is as good as it can be. When
// ctx ends, until the body has been read, the upstream's connection ends at once. The lane must come from Lanes.
//
// Only a pooled connection that takes no byte of r is replaced without the caller's knowing; any other repetition is the caller's.
func (t *Table) Attempt(ctx context.Context, lane limit.Scope, r *Request) *Answer {
	p := t.providers[lane.Provider]
	if p == nil {
		panic(fmt.Sprintf("upstream: Attempt on a lane of provider %q, which is not one of Lanes", lane.Provider))
	}
	var c credential
	if len(p.accounts) > 0 {
		if c.account = p.account(lane.Account); c.account == nil {
			panic(fmt.Sprintf("upstream: Attempt on a lane of account %q, which is not one of Lanes", lane.Account))
		}
		c.key = c.account.pick(time.Now(), lane.Model, r.Conversation)
	}
	a := &Answer{table: t, model: lane.Model, KeyAlias: c.alias()}
	a.attempt = attempt{provider: p, credential: c, request: r, whenSent: r.Sent}
	a.send(ctx)
	t.note(a)
	return a
}

// attempt is the sending half of an Answer: the state of the hooks through which the transport tells of its doings. They run on
// the transport's goroutines.
type attempt struct {
	provider   *provider
	credential credential
	request    *Request
	whenSent   func() // the Request's Sent, which may be another attempt's by the time it is called

	ctx    context.Context // the attempt's own; kept because its cause tells why a later Read failed
	cancel context.CancelCauseFunc
	timer  *time.Timer // ends the attempt: by head time-out, and once the head is in by a read that waits too long
	headIn atomic.Bool

	began   time.Time
	reading atomic.Int64 // when the running read of the body began: 1 + nanoseconds since began; 0 = none runs

	url   url.URL
	body  bytes.Reader
	trace httptrace.ClientTrace

	// Written by gotConn, in Attempt's goroutine.
	conn   *conn
	before usage
	pooled bool
	muxed  bool

	headersLeft atomic.Bool // the request's headers went to the connection, on HTTP/1 to its buffer
	headEnd     int64       // how much had been written by then; owned by the transport's writer
	bodyLeft    atomic.Bool // the request went to the connection's buffer
	sentOnce    atomic.Bool

	mu       sync.Mutex // guards the following; held while Interim runs, which is what keeps it from running late
	over     bool
	interims int
}

// start makes the request that the transport is given. The timer runs from here.
func (a *attempt) start(ctx context.Context) *http.Request {
	a.ctx, a.cancel = context.WithCancelCause(ctx)
	a.began = time.Now()
	a.timer = time.AfterFunc(a.provider.headLimit, a.expire)
	a.trace.GotConn = a.gotConn
	a.trace.PutIdleConn = a.putIdle
	a.trace.WroteHeaders = a.wroteHeaders
	if a.whenSent != nil {
		a.trace.WroteRequest = a.wroteRequest
	}
	if a.request.Interim != nil {
		a.trace.Got1xxResponse = a.got1xx
	}
	a.provider.locate(&a.url, a.request)
	deadline := a.request.Deadline
	if deadline.IsZero() {
		deadline = a.began.Add(a.provider.headLimit)
	}
	out := (&http.Request{
		Method: a.request.Method, URL: &a.url, Host: a.url.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.provider.header(a.request, a.credential, deadline),
		Body:   http.NoBody,
		Close:  a.provider.retires(),
	}).WithContext(httptrace.WithClientTrace(a.ctx, &a.trace))
	if len(a.request.Body) > 0 {
		a.body.Reset(a.request.Body)
		out.Body = io.NopCloser(&a.body) // of this very type, so that the transport sends head and body in one write
		out.ContentLength = int64(len(a.request.Body))
		out.GetBody = a.bodyAgain
	}
	return out
}

func (a *attempt) bodyAgain() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(a.request.Body)), nil
}

// expire ends the attempt, or arms the timer again where no read has waited long enough yet: moving it at every read would cost more
// than most reads do.
func (a *attempt) expire() {
	if a.ctx.Err() != nil {
		return
	}
	if !a.headIn.Load() {
		a.cancel(errHeadTimeout)
		return
	}
	left := a.provider.idleLimit
	if since := a.reading.Load(); since > 0 {
		left -= time.Since(a.began) - time.Duration(since-1)
	}
	if left > 0 {
		a.timer.Reset(left)
	} else {
		a.cancel(errIdle)
	}
}

// reads notes that a read of the body begins or has ended.
func (a *attempt) reads(begins bool) {
	since := int64(0)
	if begins {
		since = int64(time.Since(a.began)) + 1
	}
	a.reading.Store(since)
	if a.conn != nil && !a.muxed {
		a.conn.inBody.Store(begins)
	}
}

// retires reports that this request must be the last one on the HTTP/2 connection. An HTTP/1 connection retires in conn.begin.
func (p *provider) retires() bool {
	at := p.retire.Load()
	return at != 0 && time.Now().UnixNano() >= at && p.retire.CompareAndSwap(at, 0)
}

// gotConn is called when a connection is there, before anything is written to it. It is called again when the transport takes
// another one; if bytes had been written to the last, that would be a second attempt without a slot, so this one ends. (HTTP/2
// replays only what the peer has said it did not look at.)
func (a *attempt) gotConn(info httptrace.GotConnInfo) {
	c, muxed := unwrap(info.Conn)
	if a.conn != nil && !a.muxed && a.written() {
		_ = info.Conn.Close()
		a.cancel(errReplay)
		return
	}
	a.conn, a.muxed, a.pooled = c, muxed, info.Reused
	if c == nil {
		return
	}
	a.before = c.begin(info.Reused)
	if muxed && !info.Reused {
		a.provider.retire.Store(time.Now().Add(maxAge).UnixNano())
	}
}

// putIdle is called by the transport's reader when the answer has ended and the connection is pooled again, before it reads on.
func (a *attempt) putIdle(error) {
	if a.conn != nil {
		a.conn.inBody.Store(false)
	}
}

// written reports whether a byte of the request may have reached the upstream's socket.
func (a *attempt) written() bool {
	if a.conn == nil || a.muxed {
		return a.headersLeft.Load()
	}
	return a.conn.since(a.before).written > 0
}

func (a *attempt) wroteHeaders() {
	a.headersLeft.Store(true)
	if a.conn != nil && !a.muxed {
		a.headEnd = a.conn.since(a.before).written
	}
}

// wroteRequest is called when the request has gone to the connection. On HTTP/1 a body that fits into the transport's buffer lies
// there, behind the head, and the next write flushes it; one that does not has emptied the buffer and gone past it.
func (a *attempt) wroteRequest(info httptrace.WroteRequestInfo) {
	switch {
	case info.Err != nil:
	case a.conn == nil || a.muxed:
		a.sent()
	case a.conn.since(a.before).written > a.headEnd && !a.conn.isDeaf():
		a.sent()
	default:
		a.bodyLeft.Store(true)
		a.conn.endsWith(a)
	}
}

// sent tells the caller that the request is wholly written.
func (a *attempt) sent() {
	if a.whenSent != nil && !a.sentOnce.Swap(true) {
		a.whenSent()
	}
}

// got1xx passes an interim answer on. 100 is left out: the client's own Expect was answered when its body was read.
func (a *attempt) got1xx(status int, h textproto.MIMEHeader) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.interims++
	switch {
	case a.interims > maxInterim:
		return errInterim
	case a.over || status == http.StatusContinue:
		return nil
	}
	header := http.Header(h).Clone()
	a.provider.clean(header)
	a.request.Interim(status, header)
	return nil
}

// finish ends the time in which Interim may run, and makes up for a Sent that no write has told of: the request filled the
// transport's buffer to the last byte, so that no flush was needed.
func (a *attempt) finish(answered bool) {
	a.mu.Lock()
	a.over = true
	a.mu.Unlock()
	if answered && a.bodyLeft.Load() && !a.conn.isDeaf() {
		a.sent()
	}
}

// learn tells the account what an outcome says of its keys.
func (a *Answer) learn(now time.Time) {
	c := a.attempt.credential
	if c.account == nil {
		return
	}
	out, back := c.account.note(now, ruling{began: a.attempt.began, key: c.key, model: a.model, class: a.Outcome.Class})
	log := func(level slog.Level, message string, more ...slog.Attr) {
		a.table.logger.LogAttrs(a.attempt.ctx, level, message, append([]slog.Attr{
			slog.String("provider", a.attempt.provider.name), slog.String("account", c.account.name), slog.String("key", c.alias()),
		}, more...)...)
	}
	switch {
	case out > 0:
		log(slog.LevelWarn, "key benched", slog.String("reason", a.Outcome.Class.String()), slog.String("model", a.model),
			slog.Int("status", a.Outcome.Status), slog.Duration("for", out))
	case back:
		log(slog.LevelInfo, "key back in use", slog.String("model", a.model))
	}
}
