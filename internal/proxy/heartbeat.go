package proxy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"nimsidecar/internal/sse"
	"nimsidecar/internal/wire"
)

// Heartbeat says how clients are kept alive while they wait: in the queue, between attempts, before the upstream's first byte, and in
// the gaps of a stream. The zero value lets them wait in silence.
type Heartbeat struct {
	// Mode is the form of heartbeat on event streams; "" is ModeOff.
	Mode Mode
	// Plain is what clients get that asked for no stream; "" is PlainOff.
	Plain Plain
	// Interval is the longest silence before a heartbeat; 0 = DefaultInterval. Less than MinInterval is taken as MinInterval.
	Interval time.Duration
	// CommitAfter is how long a client waits before anything is sent to it, so that a fast failure keeps its true status; 0 = not at
	// all.
	CommitAfter time.Duration
}

// Mode is the form of heartbeat on event streams, in the words of the setting.
type Mode string

// The modes.
const (
	ModeOff     Mode = "off"     // none
	ModeAuto    Mode = "auto"    // what the client behind the path and the User-Agent is known to bear
	ModeComment Mode = "comment" // comments for everybody
	ModeChunk   Mode = "chunk"   // chunks without content for everybody, on the paths whose protocol has them; else as ModeAuto
)

// Plain is what keeps a client alive that asked for no stream, in the words of the setting.
type Plain string

// The values of Plain.
const (
	PlainOff        Plain = "off"        // nothing
	PlainAuto       Plain = "auto"       // 102 Processing, for clients that are known to bear it
	PlainWhitespace Plain = "whitespace" // a 200, and line feeds before the JSON: a later failure is then an error body under that 200
)

// The bounds of Heartbeat.Interval. One client gives a stream up after 300 comments without an event.
const (
	DefaultInterval = 15 * time.Second
	MinInterval     = 10 * time.Second
)

// chunkEvery is how often clients whose idle timers comments do not re-arm get an event: they give up after 300 s.
const chunkEvery = time.Minute

// form is how one client is kept alive.
type form uint8

const (
	silent   form = iota
	comments      // comment lines with a single line feed, the form that the most clients bear
	chunks        // comments, and a chunk without content every so often
	pings         // Anthropic's own event
	interims      // 102 Processing: commits nothing
	spaces        // white space before a JSON body
)

// commits reports whether the form needs a 200 before it.
func (f form) commits() bool { return f != silent && f != interims }

// streams reports whether the form can stand between the events of a stream.
func (f form) streams() bool { return f == comments || f == chunks || f == pings }

// unmoved are the clients whose idle timers comments do not re-arm, by how a word of their User-Agent begins.
var unmoved = [...]string{"codex", "openclaw"}

// patientAgents are the clients that were seen to take 102 Processing, by how a word of their User-Agent begins and, where the same SDK
// runs on several platforms, by its X-Stainless-Runtime. Go's are left out on purpose: before Go 1.24 they take five at most, and none
// of their timers would be re-armed. So is whatever stands on Python's http.client, which takes a 102 for the answer.
var patientAgents = [...]struct{ word, runtime string }{
	{"OpenAI/JS", "node"},
	{"OpenAI/Python", "CPython"},
	{"AsyncOpenAI/Python", "CPython"},
	{"Anthropic/JS", "node"},
	{"Anthropic/Python", "CPython"},
	{"AsyncAnthropic/Python", "CPython"},
	{"runtime/node", ""}, // Vercel's ai
	{"node", ""},         // Node's own fetch
	{"undici", ""},
}

// chunkObjects are the paths whose streams have chunks, and what those call themselves.
var chunkObjects = map[string]string{"/chat/completions": "chat.completion.chunk", "/completions": "text_completion"}

// jsonPaths are the paths whose plain answers are JSON, so that white space may stand before them.
var jsonPaths = map[string]bool{
	"/chat/completions": true, "/completions": true, "/embeddings": true, "/responses": true, "/ranking": true, "/messages": true,
	"/messages/count_tokens": true,
}

// arrange settles how the client is kept alive. Where it cannot be, or not often enough for the longest silence that its SDK bears,
// that bounds its wait. It reads the client's headers, which are the upstream's once an attempt has begun.
func (x *exchange) arrange() {
	beat := &x.settings.Heartbeat
	x.interval = beat.Interval
	if x.silence > 0 {
		x.interval = min(beat.Interval, max(MinInterval, x.silence/4*3))
	}
	x.streamForm = x.formOfStream()
	switch {
	case x.free: // it does not wait
	case x.peek.Stream:
		x.form = x.streamForm
	default:
		x.form = x.plainForm()
	}
	x.kept = x.form.commits()
	if x.kept && x.header("Accept-Encoding") != "" { // the 200 would not say that the body is packed, and nothing can stand in a packed stream
		x.r.Header["Accept-Encoding"] = []string{"identity"}
	}
	if x.silence > 0 && (x.form == silent || x.silence <= max(x.interval, beat.CommitAfter)) {
		x.giveUpAfter(x.silence)
	}
}

// formOfStream is the form for a client that gets a stream.
func (x *exchange) formOfStream() form {
	mode, path := x.settings.Heartbeat.Mode, x.path
	switch {
	case mode == ModeOff:
		return silent
	case x.dialect == wire.Anthropic && mode != ModeComment:
		return pings
	case chunkObjects[path] == "" || mode == ModeComment:
		return comments
	case mode == ModeChunk || hasWord(x.header("User-Agent"), unmoved[:]...):
		return chunks
	}
	return comments
}

// plainForm is the form for a client that asked for no stream.
func (x *exchange) plainForm() form {
	switch plain := x.settings.Heartbeat.Plain; {
	case plain == PlainWhitespace && jsonPaths[x.path]:
		return spaces
	case plain == PlainAuto && x.r.ProtoAtLeast(1, 1): // older ones know of no interim answers (RFC 9110, 15.2)
		agent, runtime := x.header("User-Agent"), x.header("X-Stainless-Runtime")
		for _, known := range patientAgents {
			if hasWord(agent, known.word) && (known.runtime == "" || known.runtime == runtime) {
				return interims
			}
		}
	}
	return silent
}

// hasWord reports whether a word of a User-Agent begins with one of those.
func hasWord(agent string, beginnings ...string) bool {
	for word := range strings.FieldsSeq(agent) {
		if slices.ContainsFunc(beginnings, func(b string) bool { return strings.HasPrefix(word, b) }) {
			return true
		}
	}
	return false
}

// pingEvent is Anthropic's heartbeat.
const pingEvent = "event: ping\ndata: {\"type\": \"ping\"}\n\n"

// appendBeat appends a heartbeat of the exchange's form, as of now since the arrival.
func (x *exchange) appendBeat(b []byte, now time.Duration) []byte {
	switch x.form {
	case pings:
		return append(b, pingEvent...)
	case spaces:
		return append(b, '\n')
	case chunks:
		if x.settings.Heartbeat.Mode == ModeChunk || now >= x.chunked+chunkEvery {
			x.chunked = now
			return x.appendChunk(b)
		}
	}
	return sse.AppendComment(b, x.outlook())
}

// appendChunk appends an event without content: with the empty id that accumulating clients take for no other answer's.
func (x *exchange) appendChunk(b []byte) []byte {
	model, _ := json.Marshal(x.peek.Model) // a string: it cannot fail
	return sse.AppendEvent(b, "", fmt.Appendf(nil, `{"id":"","object":%q,"created":%d,"model":%s,"choices":[]}`,
		chunkObjects[x.path], x.began.Unix(), model))
}

// outlook says in a few words what is waited for. Nothing of the request is in it.
func (x *exchange) outlook() string {
	if x.sealed || x.ticket == nil {
		return "waiting for the provider"
	}
	place, eta := x.ticket.Outlook()
	if place == 0 {
		return "waiting for the provider"
	}
	text := "queued, position " + strconv.Itoa(place)
	if eta = eta.Round(time.Second); eta > 0 {
		text += ", about " + eta.String()
	}
	return text
}
