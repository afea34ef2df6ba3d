package upstream

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"nimsidecar/internal/wire"
)

const (
	headerPoll    = "Nvcf-Poll-Seconds"
	headerSidecar = "X-Sidecar-"
	// maxPoll is the largest value that NVIDIA's gateway takes; a larger one is a 400.
	maxPoll = 3600
)

// dropped are the request headers that never go up, beside hop-by-hop ones: they are ours, or speak of the client's own
// connection, or are reserved by NVIDIA's gateway, which answers 400 to X-Priority and NVCF-Shadow and routes by function-id.
var dropped = map[string]bool{
	"Content-Length": true, "Cookie": true, "Expect": true, "Forwarded": true, "Function-Id": true, "Function-Version-Id": true,
	"Host": true, "Nvcf-Shadow": true, "Origin": true, "Via": true, "X-Priority": true, "X-Real-Ip": true,
}

// droppedPrefixes are the beginnings of more such names.
var droppedPrefixes = [...]string{headerSidecar, "X-Forwarded-"}

// header returns the headers of a request of ours for the client's: theirs but for what is dropped, and our credential, where one
// is configured, in the place of theirs. The client's map is not changed; its value slices are shared and must not be.
func (p *provider) header(client http.Header, c credential, deadline time.Time) http.Header {
	h := make(http.Header, len(client)+3)
	for name, values := range client {
		if !isDropped(name) {
			h[name] = values
		}
	}
	trailers := wantsTrailers(client)
	wire.RemoveHopByHop(h)
	if trailers {
		h["Te"] = []string{"trailers"}
	}
	if len(p.accounts) > 0 { // after the removal: a Connection header may name Authorization
		for _, name := range credentials {
			delete(h, name)
		}
	}
	if bearer := c.bearer(); bearer != nil {
		h["Authorization"] = bearer
	}
	if p.nvidia || h.Get("User-Agent") == "" {
		h["User-Agent"] = p.agent
	}
	if p.nvidia && h.Get(headerPoll) == "" {
		h[headerPoll] = []string{strconv.Itoa(pollSeconds(deadline))}
	}
	return h
}

// isDropped reports whether a header of the client's never goes up.
func isDropped(name string) bool {
	if dropped[name] {
		return true
	}
	for _, prefix := range droppedPrefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// wantsTrailers reports whether the client says that it can read trailers: the one thing in TE that is not for this hop only.
func wantsTrailers(h http.Header) bool {
	for _, value := range h["Te"] {
		for coding := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(coding), "trailers") {
				return true
			}
		}
	}
	return false
}

// pollSeconds is how long NVIDIA's gateway shall hold an answer open: what is left until the deadline, in whole seconds.
func pollSeconds(deadline time.Time) int {
	return min(max(int(time.Until(deadline)/time.Second), 1), maxPoll)
}

// clean makes an answer's header, or trailer, fit for a client: end-to-end only, without what would let a web page read it, without
// what only we may say, and without our keys.
func (p *provider) clean(h http.Header) {
	wire.RemoveHopByHop(h)
	for name, values := range h {
		if strings.HasPrefix(name, "Access-Control-") || strings.HasPrefix(name, headerSidecar) {
			delete(h, name)
			continue
		}
		p.keys.maskValues(values)
	}
}
