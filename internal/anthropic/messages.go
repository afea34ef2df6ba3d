package anthropic

import (
	"encoding/json"
	"strings"
)

// chatMessage is a message as chat completions have it.
type chatMessage struct {
	Role       string     `json:"role"`
	Content    any        `json:"content"` // a text, or parts where there is more than text
	Reasoning  string     `json:"reasoning_content,omitempty"`
	ToolCalls  []toolCall `json:"tool_calls,omitempty"`
	ToolCallID string     `json:"tool_call_id,omitempty"`

	parts []part // what Content is made of
}

// toolCall is a call of a tool that the model asked for.
type toolCall struct {
	ID       string       `json:"id"`
	Type     string       `json:"type"`
	Function functionCall `json:"function"`
}

type functionCall struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"` // JSON, as the model wrote it
}

// conversation is a list of chat messages that grows.
type conversation struct {
	messages []chatMessage
	replay   bool // thinking is passed on
}

// conversation translates the system text and the messages.
func (r *request) conversation() ([]chatMessage, error) {
	if len(r.Messages) == 0 {
		return nil, wrong("messages", "there is none", "send at least one message")
	}
	var c conversation
	if err := c.system("system", r.System); err != nil {
		return nil, err
	}
	contents := make([][]block, len(r.Messages))
	asked := 0 // the last message in which the user asked something
	for i, m := range r.Messages {
		all, err := blocks(at("messages", i)+".content", m.Content)
		if err != nil {
			return nil, err
		}
		contents[i] = all
		if m.Role == "user" && !holdsResult(all) {
			asked = i
		}
	}
	for i, m := range r.Messages {
		c.replay = r.thinks() && i > asked
		if err := c.add(at("messages", i), m, contents[i]); err != nil {
			return nil, err
		}
	}
	for i := range c.messages {
		c.messages[i].render()
	}
	return c.messages, nil
}

// holdsResult reports whether a message brings the result of a tool.
func holdsResult(all []block) bool {
	for _, b := range all {
		if b.Type == "tool_result" {
			return true
		}
	}
	return false
}

// add translates one message.
func (c *conversation) add(param string, m message, all []block) error {
	switch m.Role {
	case "user":
		return c.user(param+".content", all)
	case "assistant":
		c.assistant(all)
		return nil
	case "system":
		return c.reminder(param+".content", m.Content)
	}
	return wrong(param+".role", "it is "+quote(m.Role), "send user, assistant or system")
}

// last returns the last message if it has the role, else a new one.
func (c *conversation) last(role string) *chatMessage {
	if n := len(c.messages); n == 0 || c.messages[n-1].Role != role {
		c.messages = append(c.messages, chatMessage{Role: role})
	}
	return &c.messages[len(c.messages)-1]
}

// say adds to the last message of a role, and to none if there is nothing to add.
func (c *conversation) say(role string, more []part) {
	if len(more) > 0 {
		m := c.last(role)
		m.parts = append(m.parts, more...)
	}
}

// billing begins the line that Claude Code writes for Anthropic's accounts before its system text.
const billing = "x-anthropic-billing-header:"

// system adds system text at the beginning.
func (c *conversation) system(param string, raw json.RawMessage) error {
	all, err := parts(param, raw)
	if err != nil {
		return err
	}
	words, _ := joined(all)
	if strings.HasPrefix(words, billing) {
		_, words, _ = strings.Cut(words, "\n")
	}
	c.say("system", text(strings.TrimLeft(words, "\n")))
	return nil
}

// reminder adds system text in the middle of a conversation, as text of the user, marked in the way that Claude Code itself marks what
// does not come from a person.
func (c *conversation) reminder(param string, raw json.RawMessage) error {
	if n := len(c.messages); n == 0 || c.messages[n-1].Role == "system" {
		return c.system(param, raw)
	}
	all, err := parts(param, raw)
	if err != nil {
		return err
	}
	if words, _ := joined(all); words != "" {
		c.say("user", text(element("system-reminder", words)))
	}
	return nil
}

// user adds what a user says: first the results of tools, which must follow the calls, then the rest.
func (c *conversation) user(param string, all []block) error {
	var rest []part
	for i, b := range all {
		if b.Type != "tool_result" {
			continue
		}
		pictures, err := c.result(at(param, i), b)
		if err != nil {
			return err
		}
		rest = append(rest, pictures...)
	}
	for i, b := range all {
		if b.Type == "tool_result" {
			continue
		}
		more, err := b.parts(at(param, i))
		if err != nil {
			return err
		}
		rest = append(rest, more...)
	}
	c.say("user", rest)
	return nil
}

// result adds the result of a tool and returns what of it belongs into a user's message, since a tool's message holds only text.
// Chat completions have no member for a failure: the text says it.
func (c *conversation) result(param string, b block) ([]part, error) {
	if b.ToolUseID == "" {
		return nil, wrong(param+".tool_use_id", "it is missing", "name the call that this is the result of")
	}
	all, err := parts(param+".content", b.Content)
	if err != nil {
		return nil, err
	}
	words, pictures := joined(all)
	if b.IsError && !strings.HasPrefix(words, "Error") {
		words = strings.TrimSpace("Error: " + words)
	}
	if len(pictures) > 0 {
		pictures = append(text("Images of the result of "+b.ToolUseID+":"), pictures...)
		if words == "" {
			words = "The result is in the images that follow."
		}
	}
	c.messages = append(c.messages, chatMessage{Role: "tool", ToolCallID: b.ToolUseID, parts: text(words)})
	return pictures, nil
}

// assistant adds what the model said. Blocks of other types tell of what Anthropic's servers did, which no other model can go on with:
// they are dropped.
func (c *conversation) assistant(all []block) {
	var said chatMessage
	var thoughts []string
	for _, b := range all {
		switch b.Type {
		case "text":
			said.parts = append(said.parts, text(b.Text)...)
		case "thinking":
			if c.replay && b.Thinking != "" {
				thoughts = append(thoughts, b.Thinking)
			}
		case "tool_use":
			said.ToolCalls = append(said.ToolCalls, toolCall{b.ID, "function", functionCall{b.Name, compact(b.Input)}})
		}
	}
	if len(said.parts)+len(said.ToolCalls)+len(thoughts) == 0 {
		return
	}
	m := c.last("assistant")
	m.parts = append(m.parts, said.parts...)
	m.ToolCalls = append(m.ToolCalls, said.ToolCalls...)
	if m.Reasoning != "" {
		thoughts = append([]string{m.Reasoning}, thoughts...)
	}
	m.Reasoning = strings.Join(thoughts, paragraph)
}

// render sets the content: a text where there is nothing else, the one form that every model takes.
func (m *chatMessage) render() {
	words, others := joined(m.parts)
	m.Content = words
	if len(others) > 0 {
		m.Content = m.parts
	}
}
