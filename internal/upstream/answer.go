package upstream

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"nimsidecar/internal/hint"
)

const (
	// errorWait is how long the beginning of an error body may take before the answer is classified without it.
	errorWait = 2 * time.Second
	// smallBody is below which announced length a body is read before the head is passed on, so that a cut one is a clean failure.
	smallBody = 8 << 10
	// fetchSize is how much one fetch reads.
	fetchSize = 1 << 10
)

// Answer is what became of an attempt. It belongs to the goroutine that called Attempt; no method may be called concurrently.
type Answer struct {
	// Outcome is what the answer means. First may change it.
	Outcome hint.Outcome
	// Written reports that a byte of the request may have reached the upstream: the attempt may have been counted there.
	Written bool
	// Reused reports that the attempt ran on a pooled connection that may have been dead before. With the fault no_response no
	// byte came back on it, so that the request may be sent again.
	Reused bool

	Status        int         // 0: no head came
	Header        http.Header // end-to-end only, without Access-Control-*, our keys masked; nil: no head came
	ContentLength int64       // of the body; -1: not known
	KeyAlias      string      // the key that was used; "" = the client's own

	table    *Table
	model    string
	attempt  attempt
	response *http.Response
	stream   bool // an event stream
	failed   bool // an error answer: our keys are masked in its body

	held    []byte     // read, not yet given out
	lent    *body      // what held lies in, if it is not its own memory
	err     error      // how the body ended; io.EOF = whole
	pending chan chunk // gets what fetch reads
}

// chunk is the result of one read of the body.
type chunk struct {
	bytes []byte
	err   error
}

// BodyError tells that a body ended before its end. It wraps nothing: the texts of the transport's errors may quote the answer.
type BodyError struct {
	Fault hint.Fault // "" = from our side: the context ended, or Close was called
}

// Error names the fault.
func (e *BodyError) Error() string {
	if e.Fault == "" {
		return "upstream: the answer was given up"
	}
	return "upstream: the answer broke: " + string(e.Fault)
}

// send makes the attempt and takes in what comes back.
func (a *Answer) send(ctx context.Context) {
	if CheckPath(a.attempt.request.Path) != nil {
		a.Outcome = hint.Outcome{Class: hint.ClientError}
		a.err = &BodyError{}
		return
	}
	response, err := a.attempt.provider.transport.RoundTrip(a.attempt.start(ctx))
	a.attempt.finish(err == nil)
	a.Written, a.Reused = a.attempt.written(), a.attempt.pooled
	if err != nil {
		a.lost(err)
		return
	}
	a.response = response
	switch {
	case !a.attempt.timer.Stop(): // it fired just now: the connection is being closed
		a.broken(hint.Failed(hint.FaultHeadTimeout))
	case response.StatusCode < http.StatusOK: // 101: nobody asked for another protocol
		a.broken(hint.Failed(hint.FaultProtocol))
	default:
		a.attempt.headIn.Store(true)
		a.attempt.timer.Reset(a.attempt.provider.idleLimit)
		a.head()
	}
}

// lost handles an attempt without an answer.
func (a *Answer) lost(err error) {
	outcome := a.attempt.outcome(err)
	if outcome.Fault == hint.FaultConnect { // the address may have changed: the old connections too go there no more
		a.attempt.provider.transport.CloseIdleConnections()
	}
	if isStreamReset(err) {
		a.Reused = false // the peer got the request and refused it: the connection was alive
	}
	a.broken(outcome)
}

// broken ends the attempt with an outcome of ours.
func (a *Answer) broken(o hint.Outcome) {
	o.ReqID = a.Header.Get("Nvcf-Reqid")
	a.Outcome = o
	a.err = &BodyError{Fault: o.Fault}
	a.drop()
	a.Close()
}

// head takes over the head, and as much of the body as must be known before the answer can be passed on.
func (a *Answer) head() {
	r := a.response
	a.Status, a.Header, a.ContentLength = r.StatusCode, r.Header, r.ContentLength
	a.attempt.provider.clean(a.Header)
	a.failed = a.Status >= http.StatusMultipleChoices
	a.stream = !a.failed && (a.attempt.request.Stream || strings.HasPrefix(a.Header.Get("Content-Type"), "text/event-stream"))
	switch {
	case r.Body == http.NoBody:
		a.err = io.EOF
		a.whole()
	case a.failed:
		a.await(errorWait, func() bool { return len(a.held) >= hint.MaxBody })
	case !a.stream && a.ContentLength >= 0 && a.ContentLength < smallBody:
		a.readSmall()
	}
	if a.Outcome.Class == hint.Broken || a.Outcome.Class == hint.Cancelled {
		return
	}
	a.classify(a.errorText())
}

// errorText returns what is held of an error body, for its classification: unpacked, as far as it goes, if it came packed in the
// one way that every client allows.
func (a *Answer) errorText() string {
	switch {
	case !a.failed:
		return ""
	case a.Header.Get("Content-Encoding") != "gzip":
		return string(a.held)
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(a.held))
	if err != nil {
		return ""
	}
	text, _ := io.ReadAll(io.LimitReader(unpacked, hint.MaxBody))
	return string(text)
}

// classify sets the outcome from the head and, for errors, the text of the body.
func (a *Answer) classify(text string) {
	now := time.Now()
	a.Outcome = hint.Classify(now, hint.Answer{Status: a.Status, Header: a.Header, Dialect: a.attempt.provider.dialect, Body: text})
	a.learn(now)
}

// readSmall reads a body of a known small length whole, into memory that is lent until it has been given out. The spare byte makes room
// for the read that finds the end.
func (a *Answer) readSmall() {
	a.lent = a.table.bodies.get()
	b := a.lent[:a.ContentLength+1]
	n := 0
	for a.err == nil {
		var m int
		m, a.err = a.readBody(b[n:])
		n += m
	}
	a.held = b[:n]
	if broken, ok := a.err.(*BodyError); ok {
		a.broken(broken.outcome())
	}
}

// outcome is what an attempt comes to whose body breaks before the answer was passed on.
func (e *BodyError) outcome() hint.Outcome {
	if e.Fault == "" {
		return hint.Outcome{Class: hint.Cancelled}
	}
	return hint.Failed(e.Fault)
}

// First reads until the body has begun, an event stream with its first event, or has ended. Where the first event is an error, Outcome
// says so then, as if it had come with a status of its own; where the body broke before its first byte, Outcome is Broken. The bytes
// are kept for Read, in the lent memory as far as they fit: until they have been read, only Read may write there.
//
// If that takes longer than wait, late is called, once, on another goroutine while the caller is still inside First: it may do what
// the caller would, such as send the head. From then on Outcome stays, and the first bytes of any kind are enough. late never runs,
// nor begins, after First has returned. A nil late waits as long as it takes.
func (a *Answer) First(lent []byte, wait time.Duration, late func()) {
	if !a.begun() && a.begin(lent, wait, late) {
		return
	}
	broken, ok := a.err.(*BodyError)
	switch {
	case ok && len(a.held) == 0:
		reqID := a.Outcome.ReqID
		a.Outcome = broken.outcome()
		a.Outcome.ReqID = reqID
	case a.stream && firstEvent(a.held, true) == failure:
		a.attempt.provider.keys.mask(a.held)
		a.classify(string(a.held))
	}
}

// begun reports whether enough of the body is held to know how it begins, or there is no more of it.
func (a *Answer) begun() bool {
	return a.err != nil || len(a.held) > 0 && (!a.stream || len(a.held) >= maxFirstEvent || firstEvent(a.held, false) != undecided)
}

// begin is the reading in First. It reports whether late has run.
func (a *Answer) begin(lent []byte, wait time.Duration, late func()) bool {
	var told chan struct{}
	var timer *time.Timer
	if late != nil {
		told = make(chan struct{})
		timer = time.AfterFunc(wait, func() {
			defer close(told)
			late()
		})
	}
	if len(a.held) == 0 {
		a.held = lent[:0]
	}
	for !a.begun() && !(len(a.held) > 0 && isClosed(told)) {
		a.held = slices.Grow(a.held, 1)
		n, err := a.readBody(a.held[len(a.held):cap(a.held)])
		a.held, a.err = a.held[:len(a.held)+n], err
	}
	if timer == nil || timer.Stop() {
		return false
	}
	<-told
	return true
}

// isClosed reports whether c is closed; nil never is.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// await fetches until enough holds or the body ends, for at most that long.
func (a *Answer) await(wait time.Duration, enough func() bool) {
	var timer *time.Timer
	for a.err == nil && !enough() {
		if timer == nil {
			timer = time.NewTimer(wait)
			defer timer.Stop()
		}
		a.fetch()
		select {
		case c := <-a.pending:
			a.take(c)
		case <-timer.C:
			return
		}
	}
}

// fetch reads once from the body on a goroutine of its own, so that the owner can wait for it with a time limit. Answer.Close waits
// for it.
func (a *Answer) fetch() {
	if a.pending != nil {
		return
	}
	arrived := make(chan chunk, 1)
	a.pending = arrived
	go func() {
		b := make([]byte, fetchSize)
		n, err := a.readBody(b)
		arrived <- chunk{b[:n], err}
	}()
}

// take keeps what fetch has read.
func (a *Answer) take(c chunk) {
	a.pending = nil
	if len(a.held) == 0 {
		a.held = c.bytes
	} else {
		a.held = append(a.held, c.bytes...)
	}
	a.err = c.err
	if a.failed {
		a.attempt.provider.keys.mask(a.held)
	}
}

// Read reads the body. io.EOF comes only at the end of a whole one; a body that broke, fell silent for the provider's
// StreamIdleTimeout or was given up ends with a *BodyError. n > 0 may come with either.
func (a *Answer) Read(p []byte) (int, error) {
	for {
		if n := copy(p, a.held[:a.safe()]); n > 0 {
			if a.held = a.held[n:]; len(a.held) > 0 {
				return n, nil
			}
			a.drop()
			return n, a.err
		}
		switch {
		case a.err != nil:
			return 0, a.err
		case len(p) == 0:
			return 0, nil
		case a.pending == nil && !a.failed:
			n, err := a.readBody(p)
			a.err = err
			return n, err
		}
		a.fetch()
		a.take(<-a.pending)
	}
}

// Next is Read without a copy: it returns all that is held, where it lies, else what one Read into the lent memory brings. The bytes are
// valid until the next call of any method.
func (a *Answer) Next(lent []byte) ([]byte, error) {
	n := a.safe()
	if n == 0 {
		n, err := a.Read(lent)
		return lent[:n], err
	}
	piece := a.held[:n]
	if n < len(a.held) {
		a.held = a.held[n:]
		return piece, nil
	}
	a.held = nil // what was lent for it goes back with Close
	return piece, a.err
}

// drop lets go of what is held.
func (a *Answer) drop() {
	a.held = nil
	if a.lent != nil {
		a.table.bodies.put(a.lent)
		a.lent = nil
	}
}

// body is the memory of one small body, and bodies lends it: most answers are that small, and each would need its own otherwise.
type body [smallBody]byte

type bodies struct{ pool sync.Pool }

func (b *bodies) get() *body {
	if lent, ok := b.pool.Get().(*body); ok {
		return lent
	}
	return new(body)
}

func (b *bodies) put(lent *body) { b.pool.Put(lent) }

// safe returns how many of the held bytes may be given out: in an error body a key might begin in the last ones and go on in what
// has not been read yet.
func (a *Answer) safe() int {
	if a.failed && a.err == nil {
		return max(0, len(a.held)-a.attempt.provider.keys.tail)
	}
	return len(a.held)
}

// readBody reads from the connection, which must not be silent for too long. One call at a time.
func (a *Answer) readBody(p []byte) (int, error) {
	a.attempt.reads(true)
	n, err := a.response.Body.Read(p)
	a.attempt.reads(false)
	switch err {
	case nil:
		return n, nil
	case io.EOF:
		a.whole()
		return n, io.EOF
	}
	return n, &BodyError{Fault: a.attempt.bodyFault(err, a.response.ContentLength >= 0)}
}

// Forget frees what request and head hold in memory, the request's body above all, once the head has been passed on and an answer
// may go on for long. Header is nil afterwards, and so is the Request's Body, unless the request may still be being written, as
// after an early answer.
func (a *Answer) Forget() {
	a.Header = nil
	if a.response != nil {
		a.response.Header = nil
	}
	if a.attempt.sentOnce.Load() {
		a.attempt.body.Reset(nil)
		a.attempt.request.Body = nil
	}
}

// Mask overwrites our keys in a piece of the answer's body, such as an error that stands inside a stream.
func (a *Answer) Mask(piece []byte) { a.attempt.provider.keys.mask(piece) }

// whole tells that the body has been read to its end, so that nothing more may come on the connection.
func (a *Answer) whole() {
	if c := a.attempt.conn; c != nil && !a.response.Close {
		c.end(a.attempt.before.turn)
	}
}

// Trailer returns the trailer: before the end of the body the announced names without values, afterwards all there is.
func (a *Answer) Trailer() http.Header {
	if a.response == nil || len(a.response.Trailer) == 0 {
		return nil
	}
	a.attempt.provider.clean(a.response.Trailer)
	return a.response.Trailer
}

// Close ends the attempt. Before the end of the body it ends the upstream's connection (HTTP/2: the stream) at once. It may be
// called more than once.
func (a *Answer) Close() {
	if a.attempt.cancel == nil {
		return
	}
	a.attempt.cancel(errClosed)
	a.attempt.timer.Stop()
	if a.pending != nil {
		a.take(<-a.pending)
	}
	if a.response != nil {
		_ = a.response.Body.Close()
	}
	if a.err == nil || len(a.held) > 0 {
		a.err = &BodyError{}
	}
	a.drop()
}
