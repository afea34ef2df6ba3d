package proxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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
	// lastEvent is how a stream ends that says so.
	lastEvent = "data: [DONE]\n\n"

	// firstWait is how long the head is held back for the first byte of the body: a body that fails at once can then still
	// become an honest status.
	firstWait = 50 * time.Millisecond

	// forEver is longer than any attempt: the client gets heartbeats meanwhile, and a stream that begins with an error can be
	// repeated unseen.
	forEver = 1000 * time.Hour

	// stalled is how long one chunk may wait for a client that does not read.
	stalled = 60 * time.Second

	// maxTranslated bounds an error body that is rewritten into the shape of the path.
	maxTranslated = 64 << 10
)

// relay passes the answer on: status, headers, then each chunk of the body as it comes.
func (x *exchange) relay() {
	x.phase = phaseBody
	committed := x.seal()
	var read []byte
	if x.answer.Status >= http.StatusBadRequest {
		var done bool
		if read, done = x.translate(); done {
			return
		}
	}
	c := copier{x: x, streams: isEventStream(x.answer.Header)}
	if committed && !x.fits(c.streams) {
		if x.unfold() {
			return
		}
		x.refuse(&wire.Error{Reason: wire.UpstreamUnreachable, Message: fmt.Sprintf(
			"provider %s answered %d with %q, which cannot be passed on as what was asked for", x.provider, x.answer.Status, clip(x.answer.Header.Get("Content-Type")))})
		return
	}
	if c.streams {
		x.accompany()
	} else {
		x.hush()
	}
	if len(read) == 0 || c.pass(read) {
		c.run()
	}
}

// fits reports whether an answer can follow the 200 that was sent before it.
func (x *exchange) fits(streams bool) bool {
	h := x.answer.Header
	switch {
	case x.answer.Status >= http.StatusMultipleChoices || x.answer.Status == http.StatusNoContent:
		return false
	case x.tells == byBody:
		return strings.HasPrefix(h.Get("Content-Type"), "application/json") && h.Get("Content-Encoding") == ""
	}
	return streams
}

// accompany fills the gaps of a stream with heartbeats, also of one that nobody asked for.
func (x *exchange) accompany() {
	if x.timer == nil {
		x.keepAlive(x.streamForm, x.interval)
		return
	}
	x.take()
	defer x.give()
	x.form = x.streamForm
}

// isEventStream reports whether the answer is a stream of server-sent events that is not compressed.
func isEventStream(h http.Header) bool {
	const media = "text/event-stream"
	kind := h.Get("Content-Type")
	return len(kind) >= len(media) && strings.EqualFold(kind[:len(media)], media) && h.Get("Content-Encoding") == ""
}

// head sends status and headers to the client. It needs the turn.
func (x *exchange) head() {
	x.headOut = true
	x.status = x.answer.Status
	x.firstByte = time.Since(x.began)
	header := x.w.Header()
	vary := header["Vary"] // guard's: our answer differs by Origin
	maps.Copy(header, x.answer.Header)
	if len(vary) > 0 {
		header["Vary"] = append(vary, x.answer.Header["Vary"]...)
	}
	if isEventStream(header) {
		x.tells = byEvent
		delete(header, "Content-Length") // an error event may have to follow
		unbuffer(header)
	}
	if final[x.outcome.Class] {
		header["X-Should-Retry"] = []string{"false"}
	}
	x.setHeaders(header, early|late)
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
	case len(body) == maxTranslated && !x.committed:
		return body, false
	}
	header := x.answer.Header
	if translated, ok := wire.TranslateProblem(x.dialect, x.answer.Status, header.Get("Content-Type"), body, x.id); ok {
		body = translated
		header.Set("Content-Type", "application/json")
		header.Del("Content-Length")
	}
	x.take()
	defer x.give()
	if x.committed {
		x.tell(x.answer.Status, x.oneLine(body))
		return nil, true
	}
	x.patience()
	x.head()
	if x.r.Method != http.MethodHead {
		x.write(body)
	}
	return nil, true
}

// oneLine returns the JSON of an upstream's error without line ends, so that it fits into one line of an event; what is no JSON is
// told by its status alone.
func (x *exchange) oneLine(body []byte) []byte {
	var line bytes.Buffer
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) && json.Compact(&line, body) == nil {
		return line.Bytes()
	}
	status := x.answer.Status
	_, _, body = wire.Error{Status: status, Message: fmt.Sprintf("provider %s answered %d %s", x.provider, status, http.StatusText(status))}.Render(x.dialect, x.id)
	return body
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
	if !c.x.headOut {
		c.x.head()
	} else if c.x.committed {
		c.x.firstByte = time.Since(c.x.began) // heartbeats do not count
	}
	// Nothing will be sent again, and the answer may go on for long: the body of the request and the heads are let go of.
	c.x.answer.Forget()
	c.x.letGo()
	clear(c.x.w.Header()) // net/http has a copy
}

// pass hands a chunk on; false when the client is gone.
func (c *copier) pass(chunk []byte) bool {
	x := c.x
	if c.streams {
		if usage, ok := wire.StreamUsage(chunk); ok {
			x.usage = x.usage.Merge(usage)
		}
		chunk = c.frames.Feed(chunk)
	} else if usage, ok := wire.BodyUsage(chunk); ok {
		x.usage = x.usage.Merge(usage)
	}
	x.take()
	defer x.give()
	c.begin()
	if len(chunk) == 0 {
		return true
	}
	x.spoke = x.patience()
	x.content = true
	x.inside = !c.frames.AtBoundary()
	x.done = len(chunk) >= len(lastEvent) && string(chunk[len(chunk)-len(lastEvent):]) == lastEvent
	return x.write(chunk) && x.flush() // also the last one, so that the client need not wait for our log
}

// finish ends the answer as the upstream ended it.
func (c *copier) finish(err error) {
	x := c.x
	if err != io.EOF {
		x.bodyFailed(err)
		return
	}
	x.take()
	defer x.give()
	c.begin()
	if tail := c.frames.Tail(); len(tail) > 0 { // the upstream ended there by itself: its bytes are passed as they are
		x.inside = true
		x.write(tail)
	}
	header := x.w.Header()
	for name, values := range x.answer.Trailer() {
		header[http.TrailerPrefix+name] = values
	}
	x.setTrailers()
}

// write sends bytes of the body to the client; false when it is gone.
func (x *exchange) write(p []byte) bool {
	n, ok := x.emit(p)
	x.written += int64(n)
	return ok
}

// emit sends bytes to the client and returns how many it took; ok is false when it is gone.
func (x *exchange) emit(p []byte) (n int, ok bool) {
	n, err := x.w.Write(p)
	if err != nil {
		x.writeFailed(err)
	}
	return n, err == nil
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

// bodyFailed ends a request whose upstream broke inside the body.
func (x *exchange) bodyFailed(err error) {
	if x.left() {
		x.take()
		defer x.give()
		x.gone()
		x.cut = x.headOut
		return
	}
	fault := hint.FaultReset
	if broken, ok := errors.AsType[*upstream.BodyError](err); ok {
		fault = broken.Fault
	}
	x.fault = string(fault)
	if x.r.Context().Err() != nil {
		x.refuse(draining())
		return
	}
	x.h.Metrics.UpstreamError(x.provider, x.fault)
	x.refuse(unreachable(fault, x.provider, x.attempts))
}
