package coalesce

import (
	"bytes"
	"mime"
	"net/http"
	"strings"
	"time"

	"nimsidecar/internal/sse"
)

// Answer is a whole answer that others than its first receiver may see. It is shared, so it is never changed.
type Answer struct {
	// Status is that of the upstream: 200, or an error that all who ask the same would get.
	Status int
	// Header is what says how the body is to be read. Whatever speaks of one client, request, key or moment is not in it.
	Header http.Header
	// Body is all bytes of the body.
	Body []byte
	// Made is when the answer was finished.
	Made time.Time
}

// kept are the headers of an answer that others get. The list is of those that they need, so that nothing new slips through: no
// cookies, ids, rate limits or dates.
var kept = [...]string{"Cache-Control", "Content-Encoding", "Content-Language", "Content-Type", "X-Accel-Buffering"}

// keptOf returns the headers of an answer that others get, in memory of their own.
func keptOf(h http.Header) http.Header {
	some := make(http.Header)
	for _, name := range kept {
		for _, value := range h[name] {
			some[name] = append(some[name], strings.Clone(value))
		}
	}
	return some
}

// entryBytes is what an answer costs beside its texts, as measured: itself, its map of headers, its place in the cache.
const entryBytes = 640

// size is how many bytes an answer takes in memory.
func (a *Answer) size() int64 {
	n := entryBytes + cap(a.Body)
	for name, values := range a.Header {
		n += len(name)
		for _, value := range values {
			n += len(value)
		}
	}
	return int64(n)
}

// isShared reports whether an answer of this status is one for all who ask the same: a success, or a mistake that is in the request
// itself. Credentials, balances and limits are other matters by the next call, and so is what only the upstream can cure.
func isShared(status int) bool {
	switch status {
	case http.StatusOK, http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone,
		http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// isWhole reports whether a 200 whose last byte has come is indeed a success from its beginning to its end. An event stream must say
// that it is complete, since one that an upstream broke off may end like any other, and neither it nor a plain body may hold an error.
func isWhole(h http.Header, body []byte) bool {
	encoding := h.Get("Content-Encoding")
	media, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	switch {
	case media != "text/event-stream":
		return !hasError(body)
	case encoding != "" && encoding != "identity":
		return false // who knows
	}
	ended := false
	for e := range sse.Events(body) {
		if e.Name == "error" || hasError(e.Data) {
			return false
		}
		ended = ended || isEnd(e)
	}
	return ended
}

// isEnd reports whether an event is the last one of a complete stream, in any of the formats.
func isEnd(e sse.Event) bool {
	switch e.Name {
	case "message_stop", "response.completed", "response.incomplete":
		return true
	}
	return string(e.Data) == "[DONE]"
}

// hasError reports whether text is an object with an error.
func hasError(text []byte) bool {
	if !bytes.Contains(text, []byte(`"error"`)) {
		return false // the usual case: nothing to be taken apart
	}
	f, _ := readForm(text)
	return !isUnset(f.get("error"))
}
