package mock

import (
	"bytes"
	"cmp"
	"encoding/json"
	"strings"
)

// turn is what an answer says, in any dialect: words, JSON in a wanted form, or the arguments of a tool's call.
type turn struct {
	tool   string // "" = none is called
	pieces []string
	words  bool // the model's usual words
}

// text is all pieces together.
func (t turn) text() string { return strings.TrimSpace(strings.Join(t.pieces, "")) }

// turn reads what the request wants said. One with tools is answered by a call of the chosen or first one, until its result is the
// last thing said; one that asks for JSON gets an instance of its schema, which means nothing.
func (s *Server) turn(c *call) turn {
	if called := toolFor(c); called.name() != "" {
		return turn{tool: called.name(), pieces: cut(specimen(called.schema()))}
	}
	if schema, ok := c.ask.format(); ok {
		return turn{pieces: cut(specimen(schema))}
	}
	return turn{pieces: s.catalogue.pieces, words: true}
}

// cut cuts JSON into pieces, the first of them empty, as models send it.
func cut(text string) []string { return append([]string{""}, strings.SplitAfter(text, ",")...) }

// tool is one tool of a request: Function is what the chat API says, the other members what the other two do.
type tool struct {
	Type        string
	Name        string
	Parameters  json.RawMessage
	InputSchema json.RawMessage `json:"input_schema"`
	Function    struct {
		Name       string
		Parameters json.RawMessage
	}
}

func (t tool) name() string { return cmp.Or(t.Name, t.Function.Name) }

func (t tool) schema() json.RawMessage {
	for _, schema := range [...]json.RawMessage{t.Function.Parameters, t.Parameters, t.InputSchema} {
		if len(schema) > 0 {
			return schema
		}
	}
	return nil
}

// toolFor returns the tool to call, or a zero one for an answer in words.
func toolFor(c *call) tool {
	var tools []tool
	if len(c.ask.Tools) == 0 || json.Unmarshal(c.ask.Tools, &tools) != nil || len(tools) == 0 {
		return tool{}
	}
	var choice tool
	_ = json.Unmarshal(c.ask.ToolChoice, &choice) // a text chooses none by name
	if string(c.ask.ToolChoice) == `"none"` || choice.Type == "none" || endsWithResult(c.body) {
		return tool{}
	}
	for _, t := range tools {
		if choice.name() == "" || choice.name() == t.name() {
			return t
		}
	}
	return choice
}

// endsWithResult reports whether the last thing said in a body is the result of a tool.
func endsWithResult(body []byte) bool {
	type item struct {
		Role, Type string
		Content    json.RawMessage
	}
	var said struct {
		Messages []item
		Input    json.RawMessage
	}
	if json.Unmarshal(body, &said) != nil {
		return false
	}
	items := said.Messages
	if len(items) == 0 {
		_ = json.Unmarshal(said.Input, &items) // a text is no list, and no result
	}
	if len(items) == 0 {
		return false
	}
	last := items[len(items)-1]
	var blocks []item
	_ = json.Unmarshal(last.Content, &blocks) // likewise
	return last.Role == "tool" || last.Type == "function_call_output" || len(blocks) > 0 && blocks[0].Type == "tool_result"
}

// form is where each API says that it wants JSON.
type form struct {
	Type       string
	Schema     json.RawMessage
	JSONSchema struct{ Schema json.RawMessage } `json:"json_schema"`
	Format     *form
}

// format returns the schema of the JSON that is wanted, and whether any is.
func (a *ask) format() (json.RawMessage, bool) {
	for _, raw := range [...]json.RawMessage{a.ResponseFormat, a.Text, a.OutputConfig} {
		var f form
		if len(raw) == 0 || json.Unmarshal(raw, &f) != nil {
			continue
		}
		if f.Format != nil {
			f = *f.Format
		}
		if strings.HasPrefix(f.Type, "json") {
			return append(bytes.Clone(f.Schema), f.JSONSchema.Schema...), true // only one of them is there
		}
	}
	return nil, false
}
