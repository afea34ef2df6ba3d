package anthropic

import (
	"encoding/json"
	"errors"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
)

// reply is what a model says, whole as the message of a completion or in pieces as the delta of a chunk. Its texts are raw JSON, so that
// they can be passed on without being taken apart.
type reply struct {
	Content   json.RawMessage `json:"content"`           // a text, or parts
	Reasoning json.RawMessage `json:"reasoning_content"` // what the model thinks, as NVIDIA, DeepSeek and others name it
	Thoughts  json.RawMessage `json:"reasoning"`         // the same, as vLLM names it since 2026
	Refusal   json.RawMessage `json:"refusal"`           // why the model does not answer
	ToolCalls []call          `json:"tool_calls"`
}

// call is a tool call, or a piece of one.
type call struct {
	Index    *int   `json:"index"` // which of several the piece belongs to; Gemini leaves it out
	ID       string `json:"id"`
	Function struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"` // JSON in a string; from some an object
	} `json:"function"`
}

// choice is one of a model's answers; only one is ever asked for.
type choice struct {
	Delta        reply           `json:"delta"`
	Message      reply           `json:"message"`
	FinishReason string          `json:"finish_reason"`
	StopReason   json.RawMessage `json:"stop_reason"` // vLLM: the stop sequence that was met, if it is a text
}

// completion is the body of an answer, or the data of an event of a stream. What each chunk of a stream repeats is raw JSON, whose memory
// is used again.
type completion struct {
	ID      json.RawMessage `json:"id"`
	Model   json.RawMessage `json:"model"`
	Choices [1]choice       `json:"choices"`
	Usage   *figures        `json:"usage"`
	Error   json.RawMessage `json:"error"`
	Message string          `json:"message"` // only where it is an error in a shape without that member
}

// read takes data into c. A member of another type than expected counts as absent: providers differ. An error is that data is not JSON.
func (c *completion) read(data []byte) error {
	err := json.Unmarshal(data, c)
	if err == nil {
		return nil
	}
	if _, mistyped := errors.AsType[*json.UnmarshalTypeError](err); mistyped {
		return nil
	}
	return err
}

// problem returns the error that data, which c was read from, tells instead of an answer.
func (c *completion) problem(data []byte) (p problem, ok bool) {
	switch {
	case c.Message != "":
		return problemOf(data)
	case isNull(c.Error):
		return p, false
	}
	return problemOf(c.Error)
}

// reset empties c and keeps the memory of its texts.
func (c *completion) reset() {
	d := &c.Choices[0].Delta
	delta := reply{Content: d.Content[:0], Reasoning: d.Reasoning[:0]}
	*c = completion{ID: c.ID[:0], Model: c.Model[:0]}
	c.Choices[0].Delta = delta
}

// plain returns what a raw value says if it is a text.
func plain(raw json.RawMessage) (s string) {
	if len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// figures is how an upstream tells usage: OpenAI's names, and those of the comment lines of NVIDIA's models.
type figures struct {
	Prompt     int64 `json:"prompt_tokens"`
	Completion int64 `json:"completion_tokens"`
	Input      int64 `json:"input_tokens"`
	Output     int64 `json:"output_tokens"`
	Details    struct {
		Cached int64 `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
}

// usage is how Anthropic tells it: what was read from a cache is not in the input. What is not known is 0.
type usage struct {
	Input         int64 `json:"input_tokens"`
	CacheCreation int64 `json:"cache_creation_input_tokens"`
	CacheRead     int64 `json:"cache_read_input_tokens"`
	Output        int64 `json:"output_tokens"`
}

// merge brings u up to date with later figures, which are totals. A figure that they lack stays.
func (u *usage) merge(f figures) {
	if prompt := max(f.Prompt, f.Input); prompt > 0 {
		u.CacheRead = min(max(f.Details.Cached, 0), prompt)
		u.Input = prompt - u.CacheRead
	}
	if output := max(f.Completion, f.Output); output > 0 {
		u.Output = output
	}
}

// literal returns the inside of a text's JSON string, still escaped; of a list of parts, as Mistral's models send it, that of their
// texts; of all else nothing. For a string the result shares memory with raw.
func literal(raw json.RawMessage) []byte {
	if len(raw) < 2 {
		return nil
	}
	if raw[0] == '"' {
		return raw[1 : len(raw)-1]
	}
	if raw[0] != '[' {
		return nil
	}
	var list []struct {
		Text json.RawMessage `json:"text"`
	}
	if json.Unmarshal(raw, &list) != nil {
		return nil
	}
	var all []byte
	for _, p := range list {
		if len(p.Text) > 0 && p.Text[0] == '"' {
			all = append(all, literal(p.Text)...)
		}
	}
	return all
}

// escaped returns the inside of s as a JSON string.
func escaped(s string) []byte {
	quoted, err := encode(s)
	if err != nil {
		return nil // a string can always be encoded
	}
	return quoted[1 : len(quoted)-1]
}

// arguments returns the arguments of a call, or the piece of them that it brings, as text.
func (c *call) arguments() string {
	raw := c.Function.Arguments
	if isNull(raw) {
		return ""
	}
	if raw[0] != '"' {
		return string(raw)
	}
	return plain(raw)
}

// thoughts returns what a reply says of the model's thinking, under either name.
func (r *reply) thoughts() []byte {
	if inside := literal(r.Reasoning); len(inside) > 0 {
		return inside
	}
	return literal(r.Thoughts)
}

// input returns arguments as the input of a tool_use block, which must be an object. What is none, since the model broke off or made a
// mistake, is kept as the text of one member: the tool refuses it, and the model gets to see what it wrote.
func input(arguments string) json.RawMessage {
	arguments = strings.TrimSpace(arguments)
	if arguments == "" || arguments == "null" {
		return json.RawMessage("{}")
	}
	if arguments[0] == '{' && json.Valid([]byte(arguments)) {
		return json.RawMessage(arguments)
	}
	kept := append([]byte(`{"_arguments":"`), escaped(arguments)...)
	return append(kept, `"}`...)
}

// reasons are Anthropic's words for why a model stopped.
var reasons = map[string]string{
	"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "function_call": "tool_use", "content_filter": "refusal",
}

// failed reports whether a finish_reason says that the answer is not whole.
func failed(finishReason string) bool { return finishReason == "error" || finishReason == "abort" }

// ending is why a message ends.
type ending struct {
	StopReason   *string `json:"stop_reason"` // nil while it has not ended
	StopSequence *string `json:"stop_sequence"`
}

// ends translates why a choice ended. Clients go by stop_reason whether to run tools, so what was called decides about tool_use: Gemini
// says stop although tools were called (python-genai#2868). A stop sequence is known only where the provider names it.
func (c *choice) ends(info *Info, called, refused bool) ending {
	reason := reasons[c.FinishReason]
	switch {
	case reason == "max_tokens" || reason == "refusal":
		return ending{StopReason: &reason}
	case called:
		return ending{StopReason: new("tool_use")}
	case refused:
		return ending{StopReason: new("refusal")}
	}
	if met := plain(c.StopReason); met != "" && slices.Contains(info.StopSequences, met) {
		return ending{StopReason: new("stop_sequence"), StopSequence: &met}
	}
	return ending{StopReason: new("end_turn")}
}

// identity returns the id of the message that data begins or is: the provider's own, with Anthropic's prefix. Claude Code takes messages
// with one id for one message, so a provider that gives none gets one made of what it sent.
func (c *completion) identity(data []byte) string {
	id := plain(c.ID)
	if id == "" {
		id = digest(data)
	}
	if strings.HasPrefix(id, "msg_") {
		return id
	}
	return "msg_" + id
}

// digest returns a number made of data.
func digest(data []byte) string {
	h := fnv.New64a()
	h.Write(data) // which never fails
	return strconv.FormatUint(h.Sum64(), 36)
}
