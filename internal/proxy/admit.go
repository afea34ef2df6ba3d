package proxy

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"nimsidecar/internal/priority"
	"nimsidecar/internal/upstream"
	"nimsidecar/internal/wire"
)

// The request headers that are read here; upstream removes all of them before it sends.
const (
	headerAgent       = "X-Sidecar-Agent"
	headerMaxWait     = "X-Sidecar-Max-Wait"
	headerRequestID   = "X-Request-Id"
	headerTimeout     = "X-Stainless-Timeout"      // an SDK's time-out for the whole call, in seconds
	headerReadTimeout = "X-Stainless-Read-Timeout" // an SDK's longest silence, in seconds
	headerRetryCount  = "X-Stainless-Retry-Count"  // above 0: the same logical request again
)

// maxName bounds names that clients choose: an agent, a request id.
const maxName = 128

// admit reads and checks all of the request that must be understood. It returns nil when the request may go on, else the answer
// that ends it. Checks that need no body come first, so that a wrong request does not cost its upload.
func (x *exchange) admit() *wire.Error {
	x.readID()
	x.dialect = wire.DialectOf(x.r.URL.Path)
	for _, check := range [...]func() *wire.Error{
		x.checkMethod, x.locate, x.identify, x.readClass, x.readAgent, x.readDeadline, x.readBody, x.choose,
	} {
		if refusal := check(); refusal != nil {
			return refusal
		}
	}
	x.arrange()
	return nil
}

// readID echoes a good X-Request-Id and makes one where there is none.
func (x *exchange) readID() {
	if id := x.header(headerRequestID); isName(id) {
		x.id = id
		return
	}
	var id [20]byte // the prefix and up to 13 digits
	x.id = string(strconv.AppendUint(append(id[:0], "req_"...), rand.Uint64(), 36))
}

// isName reports whether s is a short printable ASCII text without blanks at its ends.
func isName(s string) bool {
	if s == "" || len(s) > maxName || s != strings.TrimSpace(s) {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// badRequest is the answer to what cannot be understood: it names the field, the value and what is allowed.
func badRequest(param, format string, args ...any) *wire.Error {
	return &wire.Error{Reason: wire.BadRequest, Param: param, Message: fmt.Sprintf(format, args...)}
}

// checkMethod refuses what a proxy of an API must not do: tunnels, echoes, protocol switches.
func (x *exchange) checkMethod() *wire.Error {
	switch x.r.Method {
	case http.MethodConnect, http.MethodTrace:
		refusal := badRequest("method", "method %s is not forwarded: use GET, HEAD, OPTIONS, POST, PUT, PATCH or DELETE", x.r.Method)
		refusal.Status = http.StatusMethodNotAllowed
		return refusal
	}
	if x.header("Upgrade") != "" {
		refusal := badRequest("Upgrade", "header Upgrade is refused: the sidecar forwards plain HTTP requests only")
		refusal.Status = http.StatusUpgradeRequired
		return refusal
	}
	for _, encoding := range x.r.Header["Content-Encoding"] {
		if encoding != "" && !strings.EqualFold(encoding, "identity") {
			return badRequest("Content-Encoding", "header Content-Encoding: value %q is not allowed: send the body as it is (identity)", clip(encoding))
		}
	}
	return nil
}

// locate finds the path below /v1, and the provider: the one that the whole path names, else the default one until choose knows better.
func (x *exchange) locate() *wire.Error {
	path := x.r.URL.EscapedPath()
	rest, isDefault := strings.CutPrefix(path, "/v1/")
	if isDefault {
		x.to.Provider = x.h.Upstream.Default()
	} else {
		x.to.Provider, rest, x.named = strings.Cut(path[1:], "/v1/")
		if !x.h.Upstream.Has(x.to.Provider) {
			x.to.Provider = "" // a stranger's text
			return &wire.Error{
				Reason: wire.BadRequest, Status: http.StatusNotFound, Param: "path",
				Message: fmt.Sprintf("path %q: there is no provider of that name: use /v1/... or /{provider}/v1/... with a configured provider", clip(path)),
			}
		}
	}
	x.path = path[len(path)-len(rest)-1:] // with the slash before rest
	if err := upstream.CheckPath(x.path); err != nil {
		return badRequest("path", "path %q: %v", clip(path), err)
	}
	if x.r.URL.Host != "" && !strings.EqualFold(x.r.URL.Host, x.r.Host) {
		return badRequest("path", "the request target names host %q and the Host header %q: send the path only", clip(x.r.URL.Host), clip(x.r.Host))
	}
	return nil
}

// identify finds the configured client behind the credential.
func (x *exchange) identify() (refusal *wire.Error) {
	x.client, refusal = x.h.Guard.Identify(x.r.Header)
	return refusal
}

// readClass reads the class from the headers; the body and the client's settings may still change it, in classify.
func (x *exchange) readClass() *wire.Error {
	class, asked, err := priority.FromHeader(x.r.Header)
	if err != nil {
		x.class = priority.Normal
		return badRequest(priority.Header, "%v", err)
	}
	x.class, x.classAsked = class, asked
	return nil
}

// classify settles the class once the body is known: header, else the body's service_tier, else the client's default; and never
// above the highest class that the client may use.
func (x *exchange) classify() {
	if !x.classAsked {
		x.class, x.classAsked = priority.FromServiceTier(x.peek.ServiceTier)
	}
	if !x.classAsked && x.client.Class != nil {
		x.class = *x.client.Class
	}
	if highest := x.client.Highest; highest != nil && x.class < *highest {
		x.class = *highest
	}
}

// readAgent finds who is asking: the header, else the client key's name, else the remote address.
func (x *exchange) readAgent() *wire.Error {
	if values := x.r.Header[headerAgent]; len(values) > 0 {
		if len(values) > 1 || !isName(values[0]) {
			return badRequest(headerAgent, "header %s: value %q is not allowed: send one name of 1 to %d printable ASCII characters",
				headerAgent, clip(values[0]), maxName)
		}
		x.agent = values[0]
		return nil
	}
	if x.agent = x.client.Name; x.agent == "" {
		x.agent = remoteHost(x.r.RemoteAddr)
	}
	return nil
}

// remoteHost is the address without its port; a Unix socket has no address.
func remoteHost(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return "local"
	}
	return host
}

// readDeadline computes until when the request may wait: the operator's longest wait, for everybody or for this client, or less where
// the client announced that it will give up earlier.
func (x *exchange) readDeadline() *wire.Error {
	wait := cmp.Or(x.client.MaxWait, x.settings.MaxWait)
	if values := x.r.Header[headerMaxWait]; len(values) > 0 {
		asked, ok := parseWait(values[0])
		if !ok || len(values) > 1 {
			return badRequest(headerMaxWait, "header %s: value %q is not allowed: send one duration such as 90s, 5m, or 0s not to queue",
				headerMaxWait, clip(values[0]))
		}
		if asked <= wait {
			wait, x.announced = asked, true
		}
	}
	x.deadline = x.began.Add(wait)
	if whole := x.seconds(headerTimeout); whole > 0 {
		x.giveUpAfter(whole)
	}
	x.silence = x.seconds(headerReadTimeout) // a heartbeat re-arms it, so arrange will see what it bounds
	if value := x.header(headerRetryCount); value != "" {
		count, err := strconv.Atoi(value)
		x.repeat = err == nil && count > 0
	}
	return nil
}

// giveUpAfter notes that the client will give up when it has waited that long.
func (x *exchange) giveUpAfter(wait time.Duration) {
	if deadline := x.began.Add(wait); deadline.Before(x.deadline) {
		x.deadline, x.announced = deadline, true
	}
}

// seconds reads a time-out of an SDK; 0 = there is none that can be understood, which is not its user's mistake.
func (x *exchange) seconds(name string) time.Duration {
	const longest = 1e9
	value := x.header(name)
	if value == "" {
		return 0 // the usual case: no error value is made for it
	}
	seconds, err := strconv.ParseFloat(value, 64)
	if err != nil || !(seconds > 0 && seconds < longest) {
		return 0
	}
	return time.Duration(seconds * float64(time.Second))
}

// header returns the first value of a request header whose name is in canonical form.
func (x *exchange) header(name string) string {
	if values := x.r.Header[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// parseWait reads a duration such as 90s; a bare number is seconds.
func parseWait(s string) (time.Duration, bool) {
	s = strings.TrimSpace(s)
	if seconds, err := strconv.Atoi(s); err == nil && seconds >= 0 && seconds <= 1e9 {
		return time.Duration(seconds) * time.Second, true
	}
	d, err := time.ParseDuration(s)
	return d, err == nil && d >= 0
}

// clip bounds what an error message repeats of a value that a stranger chose.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
