package proxy

import (
	"maps"
	"net/http"
	"strconv"
	"time"

	"nimsidecar/internal/wire"
)

// refuse ends the request with an answer of our own.
func (x *exchange) refuse(e *wire.Error) {
	x.reason = e.Reason
	status, extra, body := e.Render(x.dialect, x.id)
	x.status = status
	x.firstByte = time.Since(x.began)
	header := x.w.Header()
	maps.Copy(header, extra)
	x.setHeaders(header)
	x.w.WriteHeader(status)
	if x.r.Method != http.MethodHead {
		x.write(body)
	}
}

// patience gives the client a while, from now on, to take what is sent to it. The deadline is moved only when some of it is used up:
// moving it for each of ten thousand small chunks would cost more than writing them.
func (x *exchange) patience() {
	const spare = stalled / 6
	now := time.Since(x.began)
	if x.patient > 0 && now-x.patient < spare {
		return
	}
	x.patient = now
	_ = http.NewResponseController(x.w).SetWriteDeadline(x.began.Add(now + stalled + spare))
}

// ownHeaders is the number of headers that setHeaders may set.
const ownHeaders = 10

// setHeaders sets the response headers that the contract promises. All values share one array: ten headers cost one allocation.
func (x *exchange) setHeaders(h http.Header) {
	values := make([]string, 0, ownHeaders)
	set := func(name, value string) {
		values = append(values, value)
		h[name] = values[len(values)-1 : len(values) : len(values)]
	}
	set("X-Request-Id", x.id)
	set("X-Sidecar-Priority", x.class.String())
	set("X-Sidecar-Queue-Wait-Ms", strconv.FormatInt(x.queued.Milliseconds(), 10))
	set("X-Sidecar-Attempts", strconv.Itoa(x.attempts))
	timing := make([]byte, 0, 48)
	timing = appendMillis(append(timing, "queue;dur="...), x.queued)
	if x.phase != phaseAdmit {
		set("X-Sidecar-Provider", x.provider)
	}
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
