package proxy

import (
	"cmp"
	"maps"
	"net/http"
	"strconv"
	"time"

	"nimsidecar/internal/sse"
	"nimsidecar/internal/wire"
)

// refuse ends the request with an answer of our own: with a status of its own, or inside the answer whose head is out.
func (x *exchange) refuse(e *wire.Error) {
	x.take()
	defer x.give()
	x.sealed = true
	x.reason = e.Reason
	status, extra, body := e.Render(x.dialect, x.id)
	if x.headOut {
		x.tell(status, body)
		return
	}
	x.whole(status, extra, body)
}

// whole sends an answer that no attempt has brought, head and body. It needs the turn.
func (x *exchange) whole(status int, extra http.Header, body []byte) {
	x.headOut = true
	x.status = status
	x.firstByte = time.Since(x.began)
	header := x.w.Header()
	maps.Copy(header, extra)
	x.setHeaders(header, early|late)
	x.w.WriteHeader(status)
	if x.r.Method != http.MethodHead {
		x.write(body)
	}
}

// tell says in an answer whose head is out that it has failed, with the JSON of an error that would have had that status. If nothing of
// the upstream's answer has reached the client, the body then ends cleanly, so that every SDK reads the message; else it is cut, so that
// nobody takes the half for the whole.
func (x *exchange) tell(status int, body []byte) {
	x.failed = status
	x.cut = x.content || x.tells == untold || x.inside
	switch {
	case x.tells == untold || x.inside || x.tells == byBody && x.content:
		return
	case x.tells == byEvent:
		name := ""
		if x.dialect == wire.Anthropic {
			name = "error"
		}
		body = sse.AppendEvent(nil, name, body)
	}
	x.firstByte = cmp.Or(x.firstByte, x.patience())
	if x.write(body) && x.flush() && !x.cut {
		x.setTrailers()
	}
}

// patience gives the client a while, from now on, to take what is sent to it. The deadline is moved only when some of it is used up:
// moving it for each of ten thousand small chunks would cost more than writing them. It returns the time since the arrival.
func (x *exchange) patience() time.Duration {
	const spare = stalled / 6
	now := time.Since(x.began)
	if x.patient > 0 && now-x.patient < spare {
		return now
	}
	x.patient = now
	_ = x.control.SetWriteDeadline(x.began.Add(now + stalled + spare))
	return now
}

// when says which of our response headers are meant.
type when uint8

const (
	early when = 1 << iota // known before the first attempt
	late                   // known once an answer is there
)

// ownHeaders is the number of headers that setHeaders may set.
const ownHeaders = 11

// setHeaders sets the response headers that the contract promises. All values share one array: ten headers cost one allocation.
func (x *exchange) setHeaders(h http.Header, which when) {
	values := make([]string, 0, ownHeaders)
	set := func(name, value string) {
		values = append(values, value)
		h[name] = values[len(values)-1 : len(values) : len(values)]
	}
	if which&early != 0 {
		set("X-Request-Id", x.id)
		set("X-Sidecar-Priority", x.class.String())
		if x.admitted && !x.several {
			set("X-Sidecar-Provider", x.to.Provider)
		}
	}
	if which&late != 0 {
		x.setLate(set)
	}
}

// setTrailers sets, as trailers, what a head that was sent before the upstream's answer could not say.
func (x *exchange) setTrailers() {
	if !x.committed {
		return
	}
	header := x.w.Header()
	set := func(name, value string) { header[http.TrailerPrefix+name] = []string{value} }
	x.setLate(set)
	if x.reason != "" {
		set("X-Sidecar-Reason", string(x.reason))
	}
}

// setLate sets the headers whose values are known once an answer is there.
func (x *exchange) setLate(set func(name, value string)) {
	set("X-Sidecar-Queue-Wait-Ms", strconv.FormatInt(x.queued.Milliseconds(), 10))
	set("X-Sidecar-Attempts", strconv.Itoa(x.attempts))
	if x.several {
		set("X-Sidecar-Provider", x.to.Provider)
	}
	if x.shared.mark != "" {
		set("X-Sidecar-Cache", string(x.shared.mark))
	}
	timing := make([]byte, 0, 48)
	timing = appendMillis(append(timing, "queue;dur="...), x.queued)
	if x.keyAlias != "" {
		set("X-Sidecar-Key", x.keyAlias)
	}
	if x.attempts > 0 {
		timing = appendMillis(append(timing, ", upstream;dur="...), x.took())
	}
	set("Server-Timing", string(timing))
	x.setRateLimit(set)
}

// setRateLimit sets the headers by which SDKs and agents pace themselves, from the tightest window of the lane.
func (x *exchange) setRateLimit(set func(name, value string)) {
	if x.standing.Limit == 0 {
		return
	}
	limit, remaining := strconv.Itoa(x.standing.Limit), strconv.Itoa(x.standing.Remaining)
	if x.dialect == wire.Anthropic {
		set("Anthropic-Ratelimit-Requests-Limit", limit)
		set("Anthropic-Ratelimit-Requests-Remaining", remaining)
		set("Anthropic-Ratelimit-Requests-Reset", time.Now().Add(x.standing.Reset).UTC().Format(time.RFC3339))
		return
	}
	set("X-Ratelimit-Limit-Requests", limit)
	set("X-Ratelimit-Remaining-Requests", remaining)
	set("X-Ratelimit-Reset-Requests", wire.FormatReset(x.standing.Reset))
}

// appendMillis writes a duration as milliseconds with one decimal, as Server-Timing wants it.
func appendMillis(b []byte, d time.Duration) []byte {
	return strconv.AppendFloat(b, float64(d)/float64(time.Millisecond), 'f', 1, 64)
}
