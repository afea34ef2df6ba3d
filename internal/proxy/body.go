package proxy

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"time"

	"nimsidecar/internal/wire"
)

// A body must come at a minimum pace: bodyGrace, and a second more for each bodyPace bytes that came. http.Server.ReadTimeout would
// not do: it would go on running while the request waits in the queue, and end it.
const (
	bodyGrace = 30 * time.Second
	bodyPace  = 64 << 10
)

// trusted is how much of an announced length is believed at once; beyond it memory is taken as the bytes come.
const trusted = 64 << 10

// maxModel bounds a model's name: ledgers and logs keep it.
const maxModel = 256

// readBody reads the whole body, within max_body, the budget for all held bodies, and the minimum pace, before the request may
// wait: only then does net/http see a client's hang-up, and only then can an attempt be repeated.
func (x *exchange) readBody() *wire.Error {
	if declared := x.r.ContentLength; declared > x.h.MaxBody {
		return x.tooLarge(fmt.Sprintf("%d bytes", declared))
	}
	if x.r.Body != nil && x.r.Body != http.NoBody {
		if refusal := x.fillBody(); refusal != nil {
			return refusal
		}
	}
	x.bytesIn = len(x.body)
	x.peek = wire.Peek(x.header("Content-Type"), x.body)
	if len(x.peek.Model) > maxModel {
		x.peek.Model = ""
		return badRequest("model", "the model's name is longer than %d bytes", maxModel)
	}
	x.classify()
	return nil
}

// fillBody is the loop of readBody.
func (x *exchange) fillBody() *wire.Error {
	_ = x.control.SetReadDeadline(x.began.Add(bodyGrace)) // a writer without deadlines is not a network connection
	defer func() { _ = x.control.SetReadDeadline(time.Time{}) }()

	body := make([]byte, 0, min(max(x.r.ContentLength, 512), trusted)+1)
	for paced := bodyPace; ; {
		n, err := x.r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if int64(len(body)) > x.h.MaxBody {
			return x.tooLarge("longer than that")
		}
		if !x.hold(int64(n)) {
			x.w.Header().Set("Connection", "close") // nor is the rest to be read
			return x.overloaded()
		}
		switch {
		case err == io.EOF:
			x.body = body
			return nil
		case err != nil:
			return x.brokenBody(err, len(body))
		}
		for len(body) >= paced { // it earned more time
			paced += bodyPace
			_ = x.control.SetReadDeadline(x.began.Add(bodyGrace + time.Duration(paced/bodyPace)*time.Second))
		}
		if len(body) == cap(body) {
			body = slices.Grow(body, max(len(body), bodyPace)) // doubles: a body of n bytes is copied once on average
		}
	}
}

// overloaded is the answer while there is no memory for another request.
func (x *exchange) overloaded() *wire.Error {
	return &wire.Error{Reason: wire.Overloaded, RetryAfter: time.Second, Message: fmt.Sprintf(
		"nim-sidecar holds %d bytes of waiting requests and its budget (queue.max_bytes) is %d: try again later", x.h.Held(), x.h.MaxBytes)}
}

// tooLarge is the 413; it closes the connection, so that the rest of the body need not be read.
func (x *exchange) tooLarge(size string) *wire.Error {
	x.w.Header().Set("Connection", "close")
	return &wire.Error{Reason: wire.BodyTooLarge, Message: fmt.Sprintf(
		"the request body may have %d bytes (max_body) and is %s", x.h.MaxBody, size)}
}

// brokenBody says why a body could not be read whole. None of it reached the upstream.
func (x *exchange) brokenBody(err error, got int) *wire.Error {
	x.w.Header().Set("Connection", "close")
	if x.stopping() {
		return draining()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		refusal := badRequest("body", "the request body comes too slowly: %d bytes in %s", got, time.Since(x.began).Round(time.Second))
		refusal.Status = http.StatusRequestTimeout
		return refusal
	}
	return badRequest("body", "the request body ended after %d bytes, before its announced end", got)
}

// hold counts n more bytes of this request's body, or of what was made of it, as held; false when that is beyond the budget.
func (x *exchange) hold(n int64) bool {
	x.held += n
	return x.h.held.Add(n) <= x.h.MaxBytes
}

// letGo gives back what hold counted.
func (x *exchange) letGo() {
	x.h.held.Add(-x.held)
	x.held = 0
	x.body, x.outgoing.Body = nil, nil
	if x.translation != nil {
		x.translation.chat = nil
	}
}
