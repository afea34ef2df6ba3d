package anthropic_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"nimsidecar/internal/sse"
)

// seen is a message put together from the events of a stream, as Anthropic's SDKs do it, by the rules of the published event flow:
// message_start; then blocks one after the other, each content_block_start, deltas of its own kind, content_block_stop; then
// message_delta, message_stop. An error may come at any place and is the last event. It is the oracle of the translation.
type seen struct {
	Message map[string]any   // of message_start, with what message_delta says
	Blocks  []map[string]any // as content of the message
	Error   map[string]any
	Whole   bool // message_stop has come

	open     bool
	delta    bool // message_delta has come
	input    string
	inputs   []string // the arguments of each tool_use block, as they came
	signed   bool
	numbered int
}

// read puts a message together from a stream. It fails at anything that the event flow does not allow.
func read(frames []byte) (*seen, error) {
	s := &seen{}
	rest := len(frames)
	for e := range sse.Events(frames) {
		if e.Comment != nil {
			return s, fmt.Errorf("a comment %q", e.Comment)
		}
		d := json.NewDecoder(strings.NewReader(string(e.Data)))
		d.UseNumber()
		var data map[string]any
		if err := d.Decode(&data); err != nil {
			return s, fmt.Errorf("%s: data %q: %w", e.Name, e.Data, err)
		}
		if data["type"] != e.Name {
			return s, fmt.Errorf("event %s holds the type %v", e.Name, data["type"])
		}
		if s.Whole || s.Error != nil {
			return s, fmt.Errorf("%s after the end", e.Name)
		}
		if err := s.take(e.Name, data); err != nil {
			return s, fmt.Errorf("%s: %w", e.Data, err)
		}
		rest -= len("event: ") + len(e.Name) + len("\ndata: ") + len(e.Data) + len("\n\n")
	}
	if rest != 0 {
		return s, fmt.Errorf("%d bytes that belong to no event", rest)
	}
	return s, nil
}

func (s *seen) take(event string, data map[string]any) error {
	if event != "message_start" && event != "error" && s.Message == nil {
		return fmt.Errorf("before message_start")
	}
	switch event {
	case "message_start":
		return s.begin(data)
	case "content_block_start", "content_block_delta", "content_block_stop":
		if n, ok := data["index"].(json.Number); !ok || n.String() != fmt.Sprint(s.numbered) || s.delta {
			return fmt.Errorf("index %v, or too late; want %d", data["index"], s.numbered)
		}
		return s.block(event, data)
	case "message_delta":
		return s.close(data)
	case "message_stop":
		s.Whole = true
		if !s.delta {
			return fmt.Errorf("no message_delta before it")
		}
	case "error":
		s.Error, _ = data["error"].(map[string]any)
		if s.Error["type"] == "" || s.Error["message"] == "" {
			return fmt.Errorf("it says nothing")
		}
	default:
		return fmt.Errorf("no event of the protocol")
	}
	return nil
}

func (s *seen) begin(data map[string]any) error {
	m, _ := data["message"].(map[string]any)
	content, isList := m["content"].([]any)
	usage, _ := m["usage"].(map[string]any)
	id, _ := m["id"].(string)
	if s.Message != nil || m["type"] != "message" || m["role"] != "assistant" || !isList || len(content) != 0 || usage["input_tokens"] == nil ||
		m["stop_reason"] != nil || !strings.HasPrefix(id, "msg_") {
		return fmt.Errorf("no beginning of a message")
	}
	s.Message = m
	return nil
}

func (s *seen) block(event string, data map[string]any) error {
	if s.open == (event == "content_block_start") {
		return fmt.Errorf("a block is open: %v", s.open)
	}
	switch event {
	case "content_block_start":
		b, _ := data["content_block"].(map[string]any)
		s.Blocks, s.open, s.input, s.signed = append(s.Blocks, b), true, "", false
		if kind := b["type"]; kind != "text" && kind != "thinking" && kind != "tool_use" {
			return fmt.Errorf("an unknown block")
		}
		return nil
	case "content_block_delta":
		return s.grow(data["delta"].(map[string]any))
	}
	b := s.Blocks[len(s.Blocks)-1]
	s.open = false
	s.numbered++
	switch b["type"] {
	case "thinking":
		if !s.signed {
			return fmt.Errorf("the thinking is not signed")
		}
	case "tool_use":
		s.inputs = append(s.inputs, s.input)
	}
	return nil
}

func (s *seen) grow(delta map[string]any) error {
	b := s.Blocks[len(s.Blocks)-1]
	for _, k := range []struct{ delta, block, member string }{
		{"text_delta", "text", "text"}, {"thinking_delta", "thinking", "thinking"}, {"signature_delta", "thinking", "signature"},
	} {
		if delta["type"] == k.delta && b["type"] == k.block {
			more, isText := delta[k.member].(string)
			if !isText || more == "" || s.signed {
				return fmt.Errorf("an empty piece, or one after the signature")
			}
			s.signed = k.member == "signature"
			b[k.member] = b[k.member].(string) + more
			return nil
		}
	}
	more, isText := delta["partial_json"].(string)
	if delta["type"] != "input_json_delta" || b["type"] != "tool_use" || !isText {
		return fmt.Errorf("a piece of another kind of block")
	}
	s.input += more
	return nil
}

func (s *seen) close(data map[string]any) error {
	delta, _ := data["delta"].(map[string]any)
	usage, _ := data["usage"].(map[string]any)
	reason, _ := delta["stop_reason"].(string)
	if s.open || s.delta || reason == "" || usage["output_tokens"] == nil {
		return fmt.Errorf("a block is open, or it comes twice, or it says nothing")
	}
	s.delta = true
	s.Message["stop_reason"], s.Message["stop_sequence"], s.Message["usage"] = reason, delta["stop_sequence"], usage
	return nil
}

// message returns the whole message, with the arguments of its tools read as Answer reads them.
func (s *seen) message(t *testing.T) map[string]any {
	t.Helper()
	content := []any{}
	tools := 0
	for _, b := range s.Blocks {
		if b["type"] == "tool_use" {
			text := strings.TrimSpace(s.inputs[tools])
			tools++
			switch {
			case text == "" || text == "null":
				b["input"] = map[string]any{}
			case text[0] == '{' && json.Valid([]byte(text)):
				b["input"] = value(t, []byte(text))
			default:
				b["input"] = map[string]any{"_arguments": text}
			}
		}
		content = append(content, b)
	}
	s.Message["content"] = content
	return s.Message
}

func TestTheOracleKnowsTheEventFlow(t *testing.T) {
	t.Parallel()
	const (
		start = `message_start {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],"stop_reason":null,"usage":{"input_tokens":1}}}`
		open  = `content_block_start {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`
		grow  = `content_block_delta {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}`
		think = `content_block_delta {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"a"}}`
		close = `content_block_stop {"type":"content_block_stop","index":0}`
		why   = `message_delta {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}`
		stop  = `message_stop {"type":"message_stop"}`
	)
	for _, tt := range []struct {
		name   string
		events []string
		ok     bool
	}{
		{"a text", []string{start, open, grow, close, why, stop}, true},
		{"nothing said", []string{start, why, stop}, true},
		{"cut", []string{start, open, grow}, true},
		{"no start", []string{open, grow, close, why, stop}, false},
		{"two starts", []string{start, start}, false},
		{"a block twice", []string{start, open, open}, false},
		{"growth of no block", []string{start, grow}, false},
		{"growth of another kind", []string{start, open, think}, false},
		{"an end inside a block", []string{start, open, why}, false},
		{"an end without a reason", []string{start, stop}, false},
		{"the same index again", []string{start, open, close, open}, false},
		{"a block after the reason", []string{start, why, open}, false},
		{"something after the end", []string{start, why, stop, start}, false},
		{"an unknown event", []string{start, `usage {"type":"usage"}`}, false},
		{"another type", []string{start, `ping {"type":"pong"}`}, false},
	} {
		var frames []byte
		for _, e := range tt.events {
			name, data, _ := strings.Cut(e, " ")
			frames = sse.AppendEvent(frames, name, []byte(data))
		}
		if _, err := read(frames); (err == nil) != tt.ok {
			t.Errorf("%s: read() = %v; want it to pass: %v", tt.name, err, tt.ok)
		}
	}
	if _, err := read([]byte("event: ping\ndata: ")); err == nil {
		t.Error("read of half an event passes; want an error")
	}
}
