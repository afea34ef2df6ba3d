package proxy

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"nimsidecar/internal/anthropic"
	"nimsidecar/internal/sse"
	"nimsidecar/internal/upstream"
	"nimsidecar/internal/wire"
)

// The paths of the two formats between which is translated.
const (
	messagesPath = "/messages"
	chatPath     = "/chat/completions"
)

// translation is how a request in Anthropic's format is served by a provider that speaks only OpenAI's.
type translation struct {
	info   anthropic.Info
	chat   []byte           // the request's body, as it is sent unless a member of it is known to be refused
	stream anthropic.Stream // the present attempt's answer
	events []byte           // the memory of what the client is told
	read   []byte           // the body of a refusal that has been looked at; nil = none has
	mended bool             // the present target has been asked again without what it refused
}

// learnToSpeak translates the request, if one of its targets does not speak its format. Those are left out if it cannot be translated;
// where that leaves none it is refused.
func (x *exchange) learnToSpeak() *wire.Error {
	if x.dialect != wire.Anthropic || x.path != messagesPath || x.r.Method != http.MethodPost {
		return nil
	}
	speaks := func(to upstream.Target) bool { return x.h.Upstream.Speaks(to.Provider, wire.Anthropic) }
	targets := append([]upstream.Target{x.to}, x.rest...)
	native := slices.DeleteFunc(slices.Clone(targets), func(to upstream.Target) bool { return !speaks(to) })
	if len(native) == len(targets) {
		return nil
	}
	chat, info, err := anthropic.Request(x.body)
	if err == nil && info.Model != x.peek.Model { // as one that is named twice, of which the first counts elsewhere
		err = &anthropic.Error{Param: "model", Message: "model: it is named more than once; name it once"}
	}
	switch {
	case err == nil && !x.hold(int64(len(chat))):
		return x.overloaded()
	case err == nil:
		x.translation = &translation{info: info, chat: chat}
		x.peek.Stream = info.Stream
	case len(native) == 0:
		return untranslatable(err)
	default:
		x.to, x.rest = native[0], native[1:]
	}
	return nil
}

// untranslatable is the answer to a request for which there are no words in the provider's format.
func untranslatable(err error) *wire.Error {
	fault, ok := errors.AsType[*anthropic.Error](err)
	if !ok {
		return badRequest("body", "the request cannot be read")
	}
	return badRequest(fault.Param, "%s", fault.Message)
}

// convert is how plain answers are made anew for the client.
type convert func(body []byte) ([]byte, error)

// speak puts a request into the words of the present target, if those are not its own.
func (x *exchange) speak(o *upstream.Request) {
	x.translates, x.convert = false, nil
	switch native := x.h.Upstream.Speaks(x.to.Provider, wire.Anthropic); {
	case native:
	case x.path == modelsPath && x.r.Method == http.MethodGet && x.wantsAnthropicList():
		x.convert = anthropic.Models
		o.Header = openAIHeader(o.Header, false)
	case x.translation != nil:
		t := x.translation
		x.translates = true
		x.convert = func(body []byte) ([]byte, error) { return anthropic.Answer(body, t.info) }
		t.stream, t.mended, t.read = anthropic.Stream{Info: t.info}, false, nil
		o.Path, o.RawQuery, o.Body = chatPath, "", t.chat
		if names := x.h.refused.by(x.to, time.Now()); names != nil {
			o.Body = x.without(names)
		}
		o.Header = openAIHeader(o.Header, o.Stream)
	}
}

// without is the translated request without some of its members.
func (x *exchange) without(names []string) []byte {
	chat, _, err := anthropic.Request(x.body, names...)
	if err != nil {
		return x.translation.chat // what could be translated with them can be without
	}
	x.hold(int64(len(chat)))
	return chat
}

// openAIHeader returns a copy of a client's headers that says what they say in the words of OpenAI's API.
func openAIHeader(client http.Header, stream bool) http.Header {
	h := maps.Clone(client)
	maps.DeleteFunc(h, func(name string, _ []string) bool { return strings.HasPrefix(name, "Anthropic-") })
	if key := h["X-Api-Key"]; len(key) > 0 {
		if len(h["Authorization"]) == 0 {
			h["Authorization"] = []string{"Bearer " + key[0]}
		}
		delete(h, "X-Api-Key")
	}
	h["Content-Type"], h["Accept"] = []string{"application/json"}, []string{"application/json"}
	if stream {
		h["Accept"] = []string{"text/event-stream"}
	}
	h["Accept-Encoding"] = []string{"identity"} // what is packed cannot be read
	return h
}

// mend makes the request anew without what its target has just refused of it. It reports whether it should be sent again.
func (x *exchange) mend() bool {
	status := x.answer.Status
	if !x.translates || x.translation.mended || x.passed || x.bypass || !time.Now().Before(x.deadline) ||
		status != http.StatusBadRequest && status != http.StatusUnprocessableEntity {
		return false
	}
	t := x.translation
	body, err := io.ReadAll(io.LimitReader(x.answer, maxTranslated))
	if err != nil {
		return false
	}
	t.read = body
	known := x.h.refused.by(x.to, time.Now())
	names := slices.DeleteFunc(anthropic.Refused(body), func(name string) bool { return slices.Contains(known, name) })
	if len(names) == 0 {
		return false
	}
	names = slices.Concat(known, names)
	x.h.refused.note(x.to, names, time.Now())
	x.outgoing.Body = x.without(names)
	x.rename(&x.outgoing)
	t.mended, t.read = true, nil
	return true
}

// tell translates whole events of the provider's stream.
func (t *translation) tell(events []byte) []byte {
	t.events = t.events[:0]
	for e := range sse.Events(events) {
		if e.Comment != nil {
			t.stream.Comment(e.Comment)
		} else {
			t.events = t.stream.Event(t.events, e.Data)
		}
	}
	return t.events
}

// relayAnew passes a plain answer on in the client's words.
func (x *exchange) relayAnew() {
	whole, err := io.ReadAll(io.LimitReader(x.answer, maxWhole))
	if err != nil {
		x.bodyFailed(err)
		return
	}
	if usage, ok := wire.BodyUsage(whole); ok {
		x.usage = x.usage.Merge(usage)
	}
	body, err := x.convert(whole)
	if err != nil {
		x.shared.failed()
		x.refuse(&wire.Error{Reason: wire.UpstreamUnreachable, Message: fmt.Sprintf("provider %s: %v", x.to.Provider, err)})
		return
	}
	x.answer.Header["Content-Type"] = []string{"application/json"}
	delete(x.answer.Header, "Content-Length")
	c := copier{x: x}
	if c.send(body) {
		c.finish(io.EOF)
	}
}

// refusals is which members of translated requests each target has refused of late, so that they are left out at once. The zero value is
// ready. It is safe for concurrent use.
type refusals struct {
	mu    sync.Mutex // guards the following
	known map[upstream.Target]refused
}

// refused is what one target does not take.
type refused struct {
	members []string
	until   time.Time // then it is tried again: it may have been a value that was refused, not the member
}

const (
	refusedFor = 10 * time.Minute
	// maxRefusing bounds the targets that are remembered, since clients choose the names of models.
	maxRefusing = 1000
)

// by returns what a target has refused; nil is nothing. It must not be changed.
func (r *refusals) by(to upstream.Target, now time.Time) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.known[to]; now.Before(known.until) {
		return known.members
	}
	return nil
}

// note remembers what a target refuses.
func (r *refusals) note(to upstream.Target, members []string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.known) >= maxRefusing || r.known == nil {
		r.known = make(map[upstream.Target]refused)
	}
	r.known[to] = refused{members, now.Add(refusedFor)}
}
