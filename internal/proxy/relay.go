package proxy

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"strings"
	"time"

	"nimsidecar/internal/hint"
	"nimsidecar/internal/sse"
	"nimsidecar/internal/upstream"
	"nimsidecar/internal/wire"
)

const (
	// firstWait is how long the head is held back for the first byte of the body: a body that fails at once can then still
	// become an honest status.
	firstWait = 50 * time.Millisecond

	// stalled is how long one chunk may wait for a client that does not read.
	stalled = 60 * time.Second

	// maxTranslated bounds an error body that is rewritten into the shape of the path.
	maxTranslated = 64 << 10
)

// relay passes the answer on: status, headers, then each chunk of the body as it comes.
func (x *exchange) relay() {
	x.phase = phaseBody
	var read []byte
	if x.answer.Status >= http.StatusBadRequest {
		var done bool
		if read, done = x.translate(); done {
			return
		}
	}
	c := copier{x: x, streams: isEventStream(x.answer.Header)}
	if len(read) == 0 || c.pass(read) {
		c.run()
	}
}

// isEventStream reports whether the answer is a stream of server-sent events that is not compressed.
func isEventStream(h http.Header) bool {
	const media = "text/event-stream"
	kind := h.Get("Content-Type")
	return len(kind) >= len(media) && strings.EqualFold(kind[:len(media)], media) && h.Get("Content-Encoding") == ""
}

// head sends status and headers to the client.
func (x *exchange) head() {
	x.committed = true
	x.status = x.answer.Status
	x.firstByte = time.Since(x.began)
	header := x.w.Header()
	vary := header["Vary"] // guard's: our answer differs by Origin
	maps.Copy(header, x.answer.Header)
	if len(vary) > 0 {
		header["Vary"] = append(vary, x.answer.Header["Vary"]...)
	}
	if isEventStream(header) {
		delete(header, "Content-Length") // an error event may have to follow
	}
	if final[x.outcome.Class] {
		header["X-Should-Retry"] = []string{"false"}
	}
	x.setHeaders(header)
	x.w.WriteHeader(x.status)
}

// final marks what a repetition cannot cure. SDKs are told so, since some would repeat a 503 or sleep through its Retry-After of three
// hours.
var final = [hint.ClassCount]bool{
	hint.Offline: true, hint.Gone: true, hint.NotEntitled: true, hint.UnknownModel: true, hint.KeyDead: true, hint.Forbidden: true, hint.Credits: true,
}

// translate passes an error answer on, in the shape that the path's SDKs can show. A body that is too long for that is left to be
// copied as it is: what was read of it is returned, and done is false.
func (x *exchange) translate() (read []byte, done bool) {
	body, err := io.ReadAll(io.LimitReader(x.answer, maxTranslated))
	switch {
	case err != nil:
		x.bodyFailed(err)
		return nil, true
	case len(body) == maxTranslated:
		return body, false
	}
	header := x.answer.Header
	if translated, ok := wire.TranslateProblem(x.dialect, x.answer.Status, header.Get("Content-Type"), body, x.id); ok {
		body = translated
		header.Set("Content-Type", "application/json")
		header.Del("Content-Length")
	}
	x.patience()
	x.head()
	if x.r.Method != http.MethodHead {
		x.write(body)
	}
	return nil, true
}

// copier moves one body from the upstream to the client.
type copier struct {
	x       *exchange
	streams bool         // server-sent events: frames are passed whole
	frames  sse.Splitter // holds the frame that is not finished
	begun   bool         // the head is out, and what is no longer needed let go of
}

// run copies until the end, whatever it is.
func (c *copier) run() {
	for {
		memory := c.x.memory()
		n, err := c.x.answer.Read(memory)
		if n > 0 && !c.pass(memory[:n]) {
			return
		}
		if err != nil {
			c.finish(err)
			return
		}
		if n == smallBuffer && len(memory) == smallBuffer {
			c.x.h.buffers.put(c.x.buffer)
			c.x.buffer = c.x.h.buffers.get(largeBuffer)
		}
	}
}

// begin sends the head, if it is not out yet.
func (c *copier) begin() {
	if c.begun {
		return
	}
	c.begun = true
	if !c.x.committed {
		c.x.head()
	}
	// Nothing will be sent again, and the answer may go on for long: the body of the request and the heads are let go of.
	c.x.answer.Forget()
	c.x.letGo()
	clear(c.x.w.Header()) // net/http has a copy
}

// pass hands a chunk on; false when the client is gone.
func (c *copier) pass(chunk []byte) bool {
	c.begin()
	if c.streams {
		if usage, ok := wire.StreamUsage(chunk); ok {
			c.x.usage = c.x.usage.Merge(usage)
		}
		if chunk = c.frames.Feed(chunk); len(chunk) == 0 {
			return true
		}
	} else if usage, ok := wire.BodyUsage(chunk); ok {
		c.x.usage = c.x.usage.Merge(usage)
	}
	c.x.patience()
	return c.x.write(chunk) && c.x.flush() // also the last one, so that the client need not wait for our log
}

// finish ends the answer as the upstream ended it.
func (c *copier) finish(err error) {
	if err != io.EOF {
		c.x.bodyFailed(err)
		if c.streams && c.frames.AtBoundary() && c.x.broken != nil {
			c.x.patience()
			c.x.write(wire.StreamError(c.x.dialect, *c.x.broken, c.x.id))
			c.x.flush()
		}
		return
	}
	c.begin()
	if tail := c.frames.Tail(); len(tail) > 0 { // the upstream ended there by itself: its bytes are passed as they are
		c.x.write(tail)
	}
	header := c.x.w.Header()
	for name, values := range c.x.answer.Trailer() {
		header[http.TrailerPrefix+name] = values
	}
}

// write sends bytes of the body to the client; false when it is gone.
func (x *exchange) write(p []byte) bool {
	n, err := x.w.Write(p)
	x.written += int64(n)
	if err != nil {
		x.writeFailed(err)
		return false
	}
	return true
}

// flush sends what the server has buffered; false when the client is gone.
func (x *exchange) flush() bool {
	if err := http.NewResponseController(x.w).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		x.writeFailed(err)
		return false
	}
	return true
}

// writeFailed records that the client cannot be written to any more.
func (x *exchange) writeFailed(err error) {
	x.gone()
	x.cut = true
	if errors.Is(err, os.ErrDeadlineExceeded) {
		x.slowReader = true
	}
}

// bodyFailed ends a request whose upstream broke inside the body. Before the head is out that is an honest status; afterwards the
// connection must be cut, so that nobody takes the half for the whole.
func (x *exchange) bodyFailed(err error) {
	fault := hint.FaultReset
	if broken, ok := errors.AsType[*upstream.BodyError](err); ok {
		fault = broken.Fault
	}
	if x.left() {
		x.gone()
		x.cut = x.committed
		return
	}
	x.fault = string(fault)
	refusal := unreachable(fault, x.provider, x.attempts)
	if stopping := !x.left() && x.r.Context().Err() != nil; stopping {
		refusal = draining()
	} else {
		x.h.Metrics.UpstreamError(x.provider, x.fault)
	}
	if !x.committed {
		x.refuse(refusal)
		return
	}
	x.reason, x.broken, x.cut = refusal.Reason, refusal, true
}
