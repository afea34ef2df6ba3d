package mock

import (
	"encoding/json"
	"strconv"
	"strings"
)

// created is the time of creation in every answer and every entry of the catalogue: NVIDIA's own filler.
const created = "735790403"

// quote returns s as a JSON string.
func quote(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic("mock: a string that is no JSON: " + err.Error())
	}
	return string(text)
}

// inside returns s as it stands between the quotes of a JSON string.
func inside(s string) string {
	quoted := quote(s)
	return quoted[1 : len(quoted)-1]
}

// The blanks of a template. JSON text cannot hold these characters, so they cannot be mistaken.
const (
	blankID     = "\x01"
	blankPrompt = "\x02"
	blankTotal  = "\x03"
	blankText   = "\x04" // filled when the template is made
)

// blanks are what differs between the answers of one template: nothing, the id, the tokens of the prompt, and all tokens.
type blanks [4]string

// template is an answer of which all but the blanks is made beforehand: an answer then costs little more than a copy, so that
// the mock does not outweigh a proxy that is measured in front of it.
type template []piece

type piece struct {
	text  string
	blank byte // after the text
}

func newTemplate(text string) template {
	var t template
	for {
		i := strings.IndexAny(text, blankID+blankPrompt+blankTotal)
		if i < 0 {
			return append(t, piece{text: text})
		}
		t = append(t, piece{text[:i], text[i]})
		text = text[i+1:]
	}
}

// append appends the answer with its blanks filled.
func (t template) append(to []byte, b blanks) []byte {
	for _, p := range t {
		to = append(append(to, p.text...), b[p.blank]...)
	}
	return to
}

// script is everything that one model says on one route.
type script struct {
	tokens int      // of the answer
	whole  template // without streaming
	events []template
	// What a chat's stream has more, one each or none.
	usage []template // the event of stream_options.include_usage
	note  []template // NIM's comment with the same numbers
	end   []template
}

// words is the text of every answer, over and over.
const words = "This is a synthetic answer of the mock upstream: no model wrote it and nothing in it is true."

// chunks cuts n words into the pieces that are streamed one by one.
func chunks(n int) []string {
	source := strings.SplitAfter(words+" ", " ")
	pieces := make([]string, n)
	for i := range pieces {
		pieces[i] = source[i%(len(source)-1)]
	}
	return pieces
}

// shape is how a route words its answers: pieces of JSON in which blankText stands for the words.
type shape struct {
	prefix        string // of the id
	object, event string // kinds of object
	choice        string // of a whole answer
	first, next   string // choices of the events with words
	last          string // choice of the event that says why it ended
}

func chatShape() shape {
	const tail = `,"logprobs":null,"finish_reason":null}`
	return shape{
		prefix: "chatcmpl-mock-", object: "chat.completion", event: "chat.completion.chunk",
		choice: `{"index":0,"message":{"role":"assistant","content":` + blankText + `},"logprobs":null,"finish_reason":"stop"}`,
		first:  `{"index":0,"delta":{"role":"assistant","content":` + blankText + `}` + tail,
		next:   `{"index":0,"delta":{"content":` + blankText + `}` + tail,
		last:   `{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}`,
	}
}

func textShape() shape {
	const word = `{"index":0,"text":` + blankText + `,"logprobs":null,"finish_reason":null}`
	return shape{
		prefix: "cmpl-mock-", object: "text_completion", event: "text_completion",
		choice: `{"index":0,"text":` + blankText + `,"logprobs":null,"finish_reason":"stop"}`,
		first:  word,
		next:   word,
		last:   `{"index":0,"text":"","logprobs":null,"finish_reason":"stop"}`,
	}
}

// toolShape is a chat in which the words are the arguments of a call of a tool.
func toolShape(name string) shape {
	sh := chatShape()
	calls := `"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_mock_` + blankID +
		`","type":"function","function":{"name":` + quote(name) + `,"arguments":` + blankText + `}}]`
	sh.choice = `{"index":0,"message":{` + calls + `},"logprobs":null,"finish_reason":"tool_calls"}`
	sh.first = `{"index":0,"delta":{` + calls + `},"logprobs":null,"finish_reason":null}`
	sh.next = `{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":` + blankText + `}}]},"logprobs":null,"finish_reason":null}`
	sh.last = strings.Replace(sh.last, "stop", "tool_calls", 1)
	return sh
}

// newScript writes the answer of these pieces in a route's shape.
func newScript(sh shape, model string, pieces []string) *script {
	tokens := strconv.Itoa(len(pieces))
	usage := `,"usage":{"prompt_tokens":` + blankPrompt + `,"completion_tokens":` + tokens + `,"total_tokens":` + blankTotal + `}`
	frame := func(object, choice, words, more string) string {
		return `{"id":"` + sh.prefix + blankID + `","object":"` + object + `","created":` + created + `,"model":` + quote(model) +
			`,"choices":[` + strings.ReplaceAll(choice, blankText, quote(words)) + `]` + more + `}`
	}
	event := func(choice, words, more string) template {
		return newTemplate("data: " + frame(sh.event, choice, words, more) + "\n\n")
	}
	s := &script{
		tokens: len(pieces),
		whole:  newTemplate(frame(sh.object, sh.choice, strings.TrimSpace(strings.Join(pieces, "")), usage)),
		usage:  []template{event("", "", usage)},
		note:   []template{newTemplate(`: {"input_tokens":` + blankPrompt + `,"output_tokens":` + tokens + "}\n\n")},
		end:    []template{newTemplate("data: [DONE]\n\n")},
	}
	choice := sh.first
	for _, piece := range pieces {
		s.events = append(s.events, event(choice, piece, ""))
		choice = sh.next
	}
	s.events = append(s.events, event(sh.last, "", ""))
	return s
}
