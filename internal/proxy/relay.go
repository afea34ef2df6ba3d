package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"

	"nimsidecar/internal/anthropic"
	"nimsidecar/internal/hint"
	"nimsidecar/internal/wire"
)

const (
	// firstWait is how long the head is held back for the first byte of the body: a body that fails at once can then still
	// become an honest status.
	firstWait = 50 * time.Millisecond

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
		if read, done = x.relayError(); done {
			return
		}
	}
	c := x.copier()
	if committed && !x.fits(x.answer.Status, x.answer.Header) {
		if x.unfold() {
			return
		}
		x.shared.failed()
		x.refuse(x.unfit(x.answer.Status, x.answer.Header))
		return
	}
	if c.streams {
		x.accompany()
	} else {
		x.hush()
	}
	switch {
	case x.convert != nil && !c.streams && x.answer.Status < http.StatusMultipleChoices:
		x.relayAnew()
	case len(read) == 0 || c.pass(read):
		c.run()
	}
}

// fits reports whether an answer can follow the 200 that was sent before it.
func (x *exchange) fits(status int, h http.Header) bool {
	switch {
	case status >= http.StatusMultipleChoices || status == http.StatusNoContent:
		return false
	case x.tells == byBody:
		return strings.HasPrefix(h.Get("Content-Type"), "application/json") && h.Get("Content-Encoding") == ""
	}
	return isEventStream(h)
}

// unfit is the answer instead of one that does not fit.
func (x *exchange) unfit(status int, h http.Header) *wire.Error {
	return &wire.Error{Reason: wire.UpstreamUnreachable, Message: fmt.Sprintf(
		"provider %s answered %d with %q, which cannot be passed on as what was asked for", x.to.Provider, status, clip(h.Get("Content-Type")))}
}

// accompany fills the gaps of a stream with heartbeats, also of one that nobody asked for.
func (x *exchange) accompany() {
	if x.heart == nil {
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

// relayError passes an error answer on, in the shape that the path's SDKs can show. A body that is too long for that is left to be
// copied as it is: what was read of it is returned, and done is false.
func (x *exchange) relayError() (read []byte, done bool) {
	body, err := x.errorBody()
	switch {
	case err != nil:
		x.bodyFailed(err)
		return nil, true
	case len(body) == maxTranslated && !x.committed:
		return body, false
	}
	header := x.answer.Header
	translated, ok := wire.TranslateProblem(x.dialect, x.answer.Status, header.Get("Content-Type"), body, x.id)
	if !ok && x.translates {
		translated, ok = anthropic.TranslateError(x.answer.Status, body, x.id)
	}
	if ok {
		body = translated
		header.Set("Content-Type", "application/json")
		header.Del("Content-Length")
	}
	if len(body) < maxTranslated {
		x.shared.seat.Record(body)
		x.shared.keepHead(header)
		x.shared.over(x.answer.Status)
	} else {
		x.shared.failed() // nobody gets the half of it
	}
	x.take()
	defer x.give()
	if x.committed {
		x.tell(x.answer.Status, x.oneLine(x.answer.Status, body))
		return nil, true
	}
	x.patience()
	x.head()
	if x.r.Method != http.MethodHead {
		x.write(body)
	}
	return nil, true
}

// errorBody reads the body of an error answer, as far as it can be translated.
func (x *exchange) errorBody() ([]byte, error) {
	if t := x.translation; t != nil && t.read != nil {
		return t.read, nil
	}
	return io.ReadAll(io.LimitReader(x.answer, maxTranslated))
}

// oneLine returns the JSON of an upstream's error without line ends, so that it fits into one line of an event; what is no JSON is
// told by its status alone.
func (x *exchange) oneLine(status int, body []byte) []byte {
	var line bytes.Buffer
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) && json.Compact(&line, body) == nil {
		return line.Bytes()
	}
	_, _, body = wire.Error{Status: status, Message: fmt.Sprintf("provider %s answered %d %s", x.to.Provider, status, http.StatusText(status))}.Render(x.dialect, x.id)
	return body
}
