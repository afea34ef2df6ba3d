package anthropic

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// Info is what the translation of an answer must know of its request. The zero value is a request that asked for nothing special.
type Info struct {
	Model         string   // as the request names it
	Stream        bool     // the answer is to be an event stream
	Thinking      bool     // the client wants to see what the model thinks
	StopSequences []string // the texts at which the model is to stop
}

// request is the body of POST /v1/messages.
type request struct {
	Model         string            `json:"model"`
	MaxTokens     *int64            `json:"max_tokens"`
	System        json.RawMessage   `json:"system"`
	Messages      []message         `json:"messages"`
	Tools         []json.RawMessage `json:"tools"`
	ToolChoice    *toolChoice       `json:"tool_choice"`
	StopSequences []string          `json:"stop_sequences"`
	Temperature   json.RawMessage   `json:"temperature"`
	TopP          json.RawMessage   `json:"top_p"`
	TopK          json.RawMessage   `json:"top_k"`
	Stream        bool              `json:"stream"`
	ServiceTier   string            `json:"service_tier"`
	OutputFormat  *outputFormat     `json:"output_format"` // where the beta has it; output_config.format is its later place
	OutputConfig  struct {
		Effort string        `json:"effort"`
		Format *outputFormat `json:"format"`
	} `json:"output_config"`
	Thinking struct {
		Type    string `json:"type"`
		Display string `json:"display"`
	} `json:"thinking"`
	Metadata struct {
		UserID string `json:"user_id"`
	} `json:"metadata"`
}

// message is one of a request's messages.
type message struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"` // a text or blocks
}

// outputFormat is Anthropic's way to demand an answer of a certain shape.
type outputFormat struct {
	Type   string          `json:"type"`
	Schema json.RawMessage `json:"schema"`
}

// chat is the body of POST /v1/chat/completions. The order of its fields is that of the members.
type chat struct {
	Model             string          `json:"model"`
	Messages          []chatMessage   `json:"messages"`
	MaxTokens         int64           `json:"max_tokens"`
	Temperature       json.RawMessage `json:"temperature,omitempty"`
	TopP              json.RawMessage `json:"top_p,omitempty"`
	TopK              json.RawMessage `json:"top_k,omitempty"`
	Stop              []string        `json:"stop,omitempty"`
	Stream            bool            `json:"stream,omitempty"`
	StreamOptions     *streamOptions  `json:"stream_options,omitempty"`
	Tools             []chatTool      `json:"tools,omitempty"`
	ToolChoice        any             `json:"tool_choice,omitempty"`
	ParallelToolCalls *bool           `json:"parallel_tool_calls,omitempty"`
	ReasoningEffort   string          `json:"reasoning_effort,omitempty"`
	ResponseFormat    *responseFormat `json:"response_format,omitempty"`
	ServiceTier       string          `json:"service_tier,omitempty"`
	User              string          `json:"user,omitempty"`
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

type responseFormat struct {
	Type       string     `json:"type"`
	JSONSchema jsonSchema `json:"json_schema"`
}

type jsonSchema struct {
	Name   string          `json:"name"`
	Schema json.RawMessage `json:"schema"`
	Strict bool            `json:"strict"`
}

// optional are the members that a request may do without, and how each is left out: wishes that make an answer better, which a model
// may not know. What the answer's shape depends on, such as tools and response_format, is not among them.
var optional = []struct {
	name string
	omit func(*chat)
}{
	{"stream_options", func(c *chat) { c.StreamOptions = nil }},
	{"parallel_tool_calls", func(c *chat) { c.ParallelToolCalls = nil }},
	{"reasoning_effort", func(c *chat) { c.ReasoningEffort = "" }},
	{"reasoning_content", func(c *chat) {
		for i := range c.Messages {
			c.Messages[i].Reasoning = ""
		}
	}},
	{"temperature", func(c *chat) { c.Temperature = nil }},
	{"top_p", func(c *chat) { c.TopP = nil }},
	{"top_k", func(c *chat) { c.TopK = nil }},
	{"service_tier", func(c *chat) { c.ServiceTier = "" }},
	{"user", func(c *chat) { c.User = "" }},
	{"strict", func(c *chat) {
		for i := range c.Tools {
			c.Tools[i].Function.Strict = nil
		}
	}},
}

// isOptional reports whether a request may do without a member.
func isOptional(name string) bool {
	for _, member := range optional {
		if member.name == name {
			return true
		}
	}
	return false
}

// complaint finds the words with which a provider says that it does not take a member, or not this value of it.
var complaint = regexp.MustCompile(`(?i)unsupported|not supported|unrecognized|unknown|unexpected|not permitted|not allowed|extra_forbidden|invalid|immutable|must be|should be`)

// efforts are the values of reasoning_effort for those of output_config.effort, within what OpenAI's first models with it had. NVIDIA's
// models differ in what they take of it; all that take the member take high.
var efforts = map[string]string{"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}

// Request translates the body of POST /v1/messages to that of POST /v1/chat/completions and says what the translation of the answer
// must know of it. An error is an *Error. Members that it does not know are left out, those named in omit as well if the request can
// do without them (see Refused). Of members with one name the last counts: Info says which model that is.
//
// What the two formats name differently:
//   - system becomes the first message. The line x-anthropic-billing-header, which Claude Code writes before its system text, is taken
//     off: it is new in every request, is not meant for the model, and would keep a provider's prefix cache from ever being hit.
//   - A message with the role system (Claude Code 2.1.154 and later) becomes a <system-reminder> in the user's message at its place,
//     since most models' templates take system text at the beginning only. Neighbours with one role are one message, as at Anthropic.
//   - Tool results become messages with the role tool, before the rest of the user's message; their images move into that.
//   - Thinking goes back as reasoning_content while its tool loop lasts and the client has thinking switched on; models that
//     reason between tool calls need it there, and templates drop it elsewhere. Redacted thinking is dropped: no one can read it.
//   - thinking and output_config.effort become reasoning_effort, without which some of NVIDIA's models do not think at all.
//   - Tools that only Anthropic's servers or models have are left out beside others, and refused where they are all there is or the
//     one that is demanded: a model without them would make their results up.
//   - PDF and files behind an id or a URL are refused, text documents are put into the message.
//   - top_k keeps its name: NVIDIA and vLLM have it, OpenAI does not.
func Request(body []byte, omit ...string) (chatBody []byte, info Info, err error) {
	var r request
	if err := decode("", body, &r); err != nil {
		return nil, Info{}, err
	}
	c, err := r.translate()
	if err != nil {
		return nil, Info{}, err
	}
	if r.MaxTokens == nil || *r.MaxTokens < 1 {
		return nil, Info{}, wrong("max_tokens", "it is missing or below 1", "say how many tokens the answer may have")
	}
	c.MaxTokens = *r.MaxTokens
	for _, member := range optional {
		if slices.Contains(omit, member.name) {
			member.omit(&c)
		}
	}
	chatBody, err = encode(c)
	return chatBody, Info{Model: r.Model, Stream: r.Stream, Thinking: r.thinks(), StopSequences: r.StopSequences}, err
}

// translate makes the chat request of r, but for max_tokens.
func (r *request) translate() (c chat, err error) {
	if r.Model == "" {
		return c, wrong("model", "it is missing", "name the model")
	}
	c = chat{
		Model: r.Model, Temperature: r.Temperature, TopP: r.TopP, TopK: r.TopK, Stop: r.StopSequences, Stream: r.Stream,
		ReasoningEffort: r.effort(), User: r.Metadata.UserID,
	}
	if err = c.checkNumbers(); err != nil {
		return c, err
	}
	if r.Stream {
		c.StreamOptions = &streamOptions{IncludeUsage: true}
	}
	if r.ServiceTier == "standard_only" {
		c.ServiceTier = "default"
	}
	if c.ResponseFormat, err = r.format(); err != nil {
		return c, err
	}
	if err = r.tools(&c); err != nil {
		return c, err
	}
	c.Messages, err = r.conversation()
	return c, err
}

// checkNumbers leaves out those numbers that are null and refuses what is no number. The digits are never interpreted.
func (c *chat) checkNumbers() error {
	for _, n := range []struct {
		param string
		raw   *json.RawMessage
	}{{"temperature", &c.Temperature}, {"top_p", &c.TopP}, {"top_k", &c.TopK}} {
		if isNull(*n.raw) {
			*n.raw = nil
		} else if first := (*n.raw)[0]; first != '-' && (first < '0' || first > '9') {
			return wrong(n.param, "it is no number", "send a number, or leave it out")
		}
	}
	return nil
}

// thinks reports whether the client wants to see what the model thinks.
func (r *request) thinks() bool {
	switch r.Thinking.Type {
	case "", "disabled":
		return false
	}
	return r.Thinking.Display != "omitted"
}

// effort returns the reasoning_effort. Thinking without an effort is high, the one value that every model takes which takes any.
func (r *request) effort() string {
	asked := efforts[r.OutputConfig.Effort]
	switch {
	case r.Thinking.Type == "disabled":
		return ""
	case asked == "" && r.Thinking.Type != "":
		return "high"
	}
	return asked
}

// format returns the response_format.
func (r *request) format() (*responseFormat, error) {
	param, f := "output_config.format", r.OutputConfig.Format
	if f == nil {
		param, f = "output_format", r.OutputFormat
	}
	if f == nil {
		return nil, nil
	}
	if f.Type != "json_schema" {
		return nil, wrong(param+".type", "it is "+quote(f.Type), `send "json_schema"`)
	}
	if !strings.HasPrefix(string(f.Schema), "{") {
		return nil, wrong(param+".schema", "it is missing or no object", "send a JSON schema")
	}
	return &responseFormat{Type: "json_schema", JSONSchema: jsonSchema{Name: "answer", Schema: f.Schema, Strict: true}}, nil
}
