package anthropic

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// signature is what stands in the place of Anthropic's signature of a thinking block. Claude Code drops a whole answer whose thinking is
// unsigned (routatic/proxy#51, seen there with 2.1.148). It is worth nothing at Anthropic itself, which refuses it: a conversation
// with thinking in it cannot be taken over there.
const signature = "nim-sidecar"

// answer is a message as Anthropic has it.
type answer struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Role    string `json:"role"`
	Model   string `json:"model"`
	Content []any  `json:"content"`
	ending
	Usage usage `json:"usage"`
}

// The blocks of an answer.
type (
	textBlock struct {
		Type string          `json:"type"`
		Text json.RawMessage `json:"text"`
	}
	thinkingBlock struct {
		Type      string          `json:"type"`
		Thinking  json.RawMessage `json:"thinking"`
		Signature string          `json:"signature"`
	}
	toolUseBlock struct {
		Type  string          `json:"type"`
		ID    string          `json:"id"`
		Name  string          `json:"name"`
		Input json.RawMessage `json:"input"`
	}
)

// Answer translates the body of a chat completion to that of a message. Thinking is shown only to a client that asked for it: others
// take the first block for the text. An empty answer has no blocks. Arguments of a tool that are not a JSON object are kept as the text
// of one member, _arguments. The id is the provider's, with the prefix msg_; figures that it does not give are 0.
//
// An error is for the proxy to tell: the body is not a chat completion, or one that says of itself that it failed. It may quote what
// the provider says of its failure, but no content.
func Answer(body []byte, info Info) ([]byte, error) {
	var c completion
	if err := c.read(body); err != nil {
		return nil, fmt.Errorf("anthropic: the provider's answer is not JSON: %w", err)
	}
	if p, ok := c.problem(body); ok {
		return nil, fmt.Errorf("anthropic: the provider answered with an error: %s", p.Message)
	}
	first := &c.Choices[0]
	if first.FinishReason == "" && isEmpty(&first.Message) {
		return nil, errors.New("anthropic: the provider's answer holds no choice")
	}
	if failed(first.FinishReason) {
		return nil, fmt.Errorf("anthropic: the provider broke the answer off: finish_reason %s", first.FinishReason)
	}
	a := answer{ID: c.identity(body), Type: "message", Role: "assistant", Model: plain(c.Model), Content: []any{}}
	if a.Model == "" {
		a.Model = info.Model
	}
	a.fill(&first.Message, info.Thinking)
	a.ending = first.ends(&info, len(first.Message.ToolCalls) > 0, len(literal(first.Message.Refusal)) > 0)
	if c.Usage != nil {
		a.Usage.merge(*c.Usage)
	}
	return encode(a)
}

// isEmpty reports whether a reply says nothing.
func isEmpty(r *reply) bool {
	return len(r.Content)+len(r.Reasoning)+len(r.Thoughts)+len(r.Refusal)+len(r.ToolCalls) == 0
}

// fill adds the blocks of a reply.
func (a *answer) fill(r *reply, thinking bool) {
	if inside := r.thoughts(); thinking && len(inside) > 0 {
		a.Content = append(a.Content, thinkingBlock{"thinking", quoted(inside), signature})
	}
	for _, raw := range []json.RawMessage{r.Content, r.Refusal} {
		if inside := literal(raw); len(inside) > 0 {
			a.Content = append(a.Content, textBlock{"text", quoted(inside)})
		}
	}
	for i := range r.ToolCalls {
		call := &r.ToolCalls[i]
		id := call.ID
		if id == "" {
			id = callID(a.ID, i)
		}
		a.Content = append(a.Content, toolUseBlock{"tool_use", id, call.Function.Name, input(call.arguments())})
	}
}

// quoted makes a JSON string of the inside of one.
func quoted(inside []byte) json.RawMessage {
	return append(append([]byte{'"'}, inside...), '"')
}

// callID is the id of the i-th tool call of a message whose provider gives none (vllm#18412).
func callID(message string, i int) string { return "toolu_" + message + "_" + strconv.Itoa(i) }
