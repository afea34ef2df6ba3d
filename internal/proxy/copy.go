package proxy

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"nimsidecar/internal/hint"
	"nimsidecar/internal/sse"
	"nimsidecar/internal/upstream"
	"nimsidecar/internal/wire"
)

const (
	// lastEvent is how a stream ends that says so.
	lastEvent = "data: [DONE]\n\n"

	// lastOfMessage is how a stream in Anthropic's format ends.
	lastOfMessage = "\"message_stop\"}\n\n"

	// stalled is how long one chunk may wait for a client that does not read.
	stalled = 60 * time.Second
)

// copier moves one body from the upstream to the client.
type copier struct {
	x       *exchange
	streams bool         // server-sent events: frames are passed whole
	frames  sse.Splitter // holds the frame that is not finished
	into    *translation // what the events of a stream are translated by; nil = they are passed as they are
	begun   bool         // the head is out, and what is no longer needed let go of
}

// copier returns the copier of the answer.
func (x *exchange) copier() copier {
	c := copier{x: x, streams: isEventStream(x.answer.Header)}
	if x.translates && c.streams && x.answer.Status < http.StatusMultipleChoices {
		c.into, c.frames.Limit = x.translation, maxWhole
	}
	return c
}

// run copies until the end, whatever it is.
func (c *copier) run() {
	for {
		memory := c.x.memory()
		chunk, err := c.x.answer.Next(memory)
		if len(chunk) > 0 && !c.pass(chunk) {
			return
		}
		if err != nil {
			c.finish(err)
			return
		}
		if len(chunk) >= smallBuffer && len(memory) == smallBuffer {
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
	c.x.shared.keepHead(c.x.answer.Header)
	// Nothing will be sent again, and the answer may go on for long: the body of the request and the heads are let go of.
	c.x.answer.Forget()
	c.x.letGo()
	clear(c.x.w.Header()) // net/http has a copy
}

// pass hands a chunk on; false when nothing more is to come, as when the client is gone.
func (c *copier) pass(chunk []byte) bool {
	x := c.x
	if c.streams {
		if usage, ok := wire.StreamUsage(chunk); ok {
			x.usage = x.usage.Merge(usage)
		}
		if chunk = c.frames.Feed(chunk); bytes.Contains(chunk, []byte(`"error"`)) {
			x.answer.Mask(chunk) // an upstream may name the key that it refuses; frames are whole, so no key is cut in two
		}
	} else if usage, ok := wire.BodyUsage(chunk); ok {
		x.usage = x.usage.Merge(usage)
	}
	if c.into != nil {
		return c.translate(chunk)
	}
	return c.send(chunk)
}

// translate hands whole events on in the client's words; false when nothing more is to come.
func (c *copier) translate(events []byte) bool {
	switch {
	case !c.send(c.into.tell(events)):
		return false
	case c.into.stream.Failed():
		c.x.wasTold(http.StatusBadGateway)
		return false
	case !c.frames.AtBoundary():
		c.x.bodyFailed(&upstream.BodyError{Fault: hint.FaultProtocol}) // nothing that long is a chunk of an answer
		return false
	}
	return true
}

// send sends a piece of the body to the client; false when it is gone.
func (c *copier) send(chunk []byte) bool {
	x := c.x
	x.take()
	defer x.give()
	c.begin()
	if len(chunk) == 0 {
		return true
	}
	x.spoke = x.patience()
	x.content = c.into == nil || c.into.stream.Begun()
	x.inside = c.into == nil && !c.frames.AtBoundary()
	x.done = endsWith(chunk, lastEvent) || x.dialect == wire.Anthropic && endsWith(chunk, lastOfMessage)
	x.shared.seat.Record(chunk)
	return x.write(chunk) && x.flush() // also the last one, so that the client need not wait for our log
}

// endsWith reports whether a piece of a body ends with that text.
func endsWith(chunk []byte, text string) bool {
	return len(chunk) >= len(text) && string(chunk[len(chunk)-len(text):]) == text
}

// finish ends the answer as the upstream ended it.
func (c *copier) finish(err error) {
	x := c.x
	if err != io.EOF {
		x.bodyFailed(err)
		return
	}
	if c.into != nil && !c.conclude() {
		return
	}
	x.take()
	defer x.give()
	c.begin()
	if tail := c.frames.Tail(); len(tail) > 0 && c.into == nil { // the upstream ended there by itself: its bytes are passed as they are
		x.inside = true
		x.shared.seat.Record(tail)
		x.write(tail)
	}
	header := x.w.Header()
	for name, values := range x.answer.Trailer() {
		header[http.TrailerPrefix+name] = values
	}
	x.setTrailers()
	x.shared.over(x.answer.Status)
}

// conclude sends what is left of a translated stream whose original has ended; false when it did not end as a whole message.
func (c *copier) conclude() bool {
	rest, isWhole := c.into.stream.End(c.into.events[:0])
	if len(rest) > 0 && !c.send(rest) {
		return false
	}
	if !isWhole {
		c.x.bodyFailed(&upstream.BodyError{Fault: hint.FaultShortBody})
	}
	return isWhole
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
	if err := x.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
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

// wasTold ends a request whose client has been told of an error inside the answer, by the upstream's own event.
func (x *exchange) wasTold(status int) {
	x.take()
	defer x.give()
	x.shared.failed()
	x.failed = status
	if x.cut = x.content; !x.cut {
		x.setTrailers()
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
	x.h.Metrics.UpstreamError(x.to.Provider, x.fault)
	x.shared.failed()
	x.refuse(unreachable(fault, x.to.Provider, x.attempts))
}
