package upstream

import (
	"maps"
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

// header returns the headers of an attempt: the client's but for what is dropped, and our credential, where one is configured, in the
// place of theirs. The first attempt uses the client's own map, since building another would cost more than all else that is done
// here; it may still be being written when the next one begins, which therefore uses a copy. Value slices are never changed.
func (p *provider) header(r *Request, c credential, deadline time.Time) http.Header {
	if r.cleaned {
		r.Header = maps.Clone(r.Header)
	} else {
		r.clean()
	}
	h := r.Header
	if len(p.accounts) > 0 { // after the removal: a Connection header may name Authorization
		for _, name := range credentials {
			delete(h, name)
		}
	}
	if key := c.slot(); key != nil {
		p.sign(h, key, r.Path)
	}
	if p.nvidia || h.Get("User-Agent") == "" {
		h["User-Agent"] = p.agent
	}
	if p.nvidia && !r.polls {
		h[headerPoll] = []string{strconv.Itoa(pollSeconds(deadline))}
	}
	return h
}

// openAIPath is where a provider with X-Api-Key takes requests of OpenAI's form, and the key as such requests have it.
const openAIPath = "/chat/"

// anthropicVersion is the version of Anthropic's API that is meant where the client names none.
const anthropicVersion = "2023-06-01"

// sign puts a key of ours into the headers of a request, where the provider looks for it.
func (p *provider) sign(h http.Header, key *slot, path string) {
	if !p.apiKey || strings.HasPrefix(path, openAIPath) {
		h["Authorization"] = key.bearer
		return
	}
	h["X-Api-Key"] = key.bare
	if len(h["Anthropic-Version"]) == 0 {
		h["Anthropic-Version"] = []string{anthropicVersion}
	}
}

// clean takes out of the client's headers what must not go up.
func (r *Request) clean() {
	if r.Header == nil {
		r.Header = make(http.Header)
	}
	trailers := wantsTrailers(r.Header)
	wire.RemoveHopByHop(r.Header)
	for name := range r.Header {
		if isDropped(name) {
			delete(r.Header, name)
		}
	}
	if trailers {
		r.Header["Te"] = []string{"trailers"}
	}
	r.polls = r.Header.Get(headerPoll) != ""
	r.cleaned = true
}

// isDropped reports whether a header of the client's never goes up, beside the hop-by-hop ones: it is ours, or speaks of the client's own
// connection, or is reserved by NVIDIA's gateway, which answers 400 to X-Priority and NVCF-Shadow and routes by function-id. It is no
// map, since it is asked of every header of every request.
func isDropped(name string) bool {
	switch name {
	case "Content-Length", "Cookie", "Expect", "Forwarded", "Function-Id", "Function-Version-Id", "Host", "Nvcf-Shadow", "Origin", "Via",
		"X-Priority", "X-Real-Ip":
		return true
	}
	return strings.HasPrefix(name, headerSidecar) || strings.HasPrefix(name, "X-Forwarded-")
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
