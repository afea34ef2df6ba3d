package anthropic

import (
	"bytes"
	"encoding/json"
)

// Stream translates a stream of chat completion chunks to the events of a message, one after the other. It appends whole events, so what
// it returns may be written to the client as it is; pings may stand between.
//
// A message ends with message_delta and message_stop only after the provider has said why the model stopped; it is told at the end of
// the stream, since usage comes after that. The figures are those of the last chunk with usage, or of the comment lines of NVIDIA's
// models; with neither they are 0. In message_start, too, they are 0 unless the first chunk brings them.
//
// Thinking is shown only to a client that asked for it, as Answer does. The arguments of a tool are told as they come, whatever they
// are: whether they are JSON shows at the end only.
//
// The zero value is ready for a request that asked for nothing special. It is owned by one goroutine.
type Stream struct {
	// Info is what Request said of the request.
	Info Info

	chunk  completion // the memory of the last event
	blocks sequence
	id     string // of the message; empty before it has begun
	usage  usage
	last   choice // why the model stopped; without a finish_reason while it is not known
	refuse bool   // the model refused to answer
	state  state
}

// state is how far a stream has come.
type state uint8

const (
	running state = iota
	whole         // message_stop has been told
	broken        // an error has been told
)

// Event takes the data of one event of the provider's stream, [DONE] too, and appends what the client is to be told. An error in the
// stream, and data that is not JSON, become an error event, after which nothing is told any more. data is not kept.
func (s *Stream) Event(dst, data []byte) []byte {
	data = bytes.TrimSpace(data)
	if s.state != running || len(data) == 0 {
		return dst
	}
	if string(data) == "[DONE]" {
		return s.finish(dst)
	}
	c := &s.chunk
	c.reset()
	if c.read(data) != nil {
		return s.fail(dst, problem{Message: "the provider's stream holds an event that is not JSON"})
	}
	if p, ok := c.problem(data); ok {
		return s.fail(dst, p)
	}
	if c.Usage != nil {
		s.usage.merge(*c.Usage)
	}
	if s.id == "" {
		dst = s.begin(dst, data)
	}
	s.delta(&c.Choices[0])
	return s.blocks.advance(dst, s.id, false)
}

// Comment takes the text of a comment line of the provider's stream, which may hold the usage.
func (s *Stream) Comment(text []byte) {
	var f figures
	if text = bytes.TrimSpace(text); len(text) > 0 && text[0] == '{' && json.Unmarshal(text, &f) == nil {
		s.usage.merge(f)
	}
}

// End is called when the provider's stream has ended. It appends what is left to tell, and says whether the message is whole. If it is
// not, the provider broke off: the client has not been told an end, and must be told of the error, unless Failed says that it has been.
func (s *Stream) End(dst []byte) (rest []byte, isWhole bool) {
	if s.state == running {
		dst = s.finish(dst)
	}
	return dst, s.state == whole
}

// Failed reports whether the client has been told an error event.
func (s *Stream) Failed() bool { return s.state == broken }

// Begun reports whether the client has been told anything of an answer.
func (s *Stream) Begun() bool { return s.id != "" }

// begin appends message_start.
func (s *Stream) begin(dst, data []byte) []byte {
	s.id = s.chunk.identity(data)
	a := answer{ID: s.id, Type: "message", Role: "assistant", Model: plain(s.chunk.Model), Content: []any{}, Usage: s.usage}
	if a.Model == "" {
		a.Model = s.Info.Model
	}
	return appendEvent(dst, "message_start", struct {
		Type    string `json:"type"`
		Message answer `json:"message"`
	}{"message_start", a})
}

// delta takes what a chunk says of the answer.
func (s *Stream) delta(c *choice) {
	if s.Info.Thinking {
		s.blocks.words(thinkingKind, c.Delta.thoughts())
	}
	s.blocks.words(textKind, literal(c.Delta.Content))
	if inside := literal(c.Delta.Refusal); len(inside) > 0 {
		s.refuse = true
		s.blocks.words(textKind, inside)
	}
	for i := range c.Delta.ToolCalls {
		s.blocks.call(&c.Delta.ToolCalls[i])
	}
	if c.FinishReason != "" && !failed(c.FinishReason) {
		s.last = choice{FinishReason: c.FinishReason, StopReason: bytes.Clone(c.StopReason)}
	}
}

// finish appends the end of the message, if the provider has said why the model stopped.
func (s *Stream) finish(dst []byte) []byte {
	if s.last.FinishReason == "" {
		return dst
	}
	s.state = whole
	dst = s.blocks.advance(dst, s.id, true)
	dst = appendEvent(dst, "message_delta", struct {
		Type  string `json:"type"`
		Delta ending `json:"delta"`
		Usage usage  `json:"usage"`
	}{"message_delta", s.last.ends(&s.Info, s.blocks.tools > 0, s.refuse), s.usage})
	return append(dst, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"...)
}

// fail appends an error event.
func (s *Stream) fail(dst []byte, p problem) []byte {
	s.state = broken
	return appendEvent(dst, "error", newFailure(p.kind(), p.Message, ""))
}

// appendEvent appends an event.
func appendEvent(dst []byte, name string, data any) []byte {
	encoded, err := encode(data)
	if err != nil {
		panic("anthropic: an event that is no JSON: " + err.Error()) // the types hold nothing that could fail
	}
	dst = append(append(append(dst, "event: "...), name...), "\ndata: "...)
	return append(append(dst, encoded...), "\n\n"...)
}
