package anthropic

import "encoding/json"

// tool is one of a request's tools. A type other than custom is a tool that Anthropic's servers run or its models are trained on.
type tool struct {
	Type        string          `json:"type"`
	Name        string          `json:"name"`
	Description string          `json:"description"`
	InputSchema json.RawMessage `json:"input_schema"`
	Strict      *bool           `json:"strict"`
}

// toolChoice says whether and which tools the model is to use.
type toolChoice struct {
	Type            string `json:"type"`
	Name            string `json:"name"`
	DisableParallel bool   `json:"disable_parallel_tool_use"`
}

// chatTool is a tool as chat completions have it.
type chatTool struct {
	Type     string   `json:"type"`
	Function function `json:"function"`
}

type function struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters,omitempty"`
	Strict      *bool           `json:"strict,omitempty"`
}

// namedTool is the tool_choice that demands one tool.
type namedTool struct {
	Type     string `json:"type"`
	Function struct {
		Name string `json:"name"`
	} `json:"function"`
}

// choices are the values of tool_choice without a name.
var choices = map[string]string{"auto": "auto", "any": "required", "none": "none"}

// tools translates the tools and which of them is to be used. Those of Anthropic's own are left out if others remain and none of them
// is demanded. Claude Code asks for its web search in a request of its own: without the tool the model would make the findings up.
func (r *request) tools(c *chat) error {
	var foreign error // about the first tool of Anthropic's own
	for i, raw := range r.Tools {
		var t tool
		param := at("tools", i)
		if err := decode(param, raw, &t); err != nil {
			return err
		}
		if t.Type != "" && t.Type != "custom" {
			refusal := wrong(param+".type", quote(t.Type)+" is a tool of Anthropic's own, which this provider does not have",
				"leave it out, or ask a provider that speaks Anthropic's dialect")
			if r.ToolChoice != nil && r.ToolChoice.Type == "tool" && r.ToolChoice.Name == t.Name {
				return refusal
			}
			if foreign == nil {
				foreign = refusal
			}
			continue
		}
		if t.Name == "" {
			return wrong(param+".name", "it is missing", "name the tool")
		}
		c.Tools = append(c.Tools, chatTool{"function", function{t.Name, t.Description, t.InputSchema, t.Strict}})
	}
	if len(c.Tools) == 0 {
		return foreign
	}
	return r.choice(c)
}

// choice translates tool_choice. Chat completions have it only beside tools.
func (r *request) choice(c *chat) error {
	if r.ToolChoice == nil {
		return nil
	}
	if r.ToolChoice.DisableParallel {
		c.ParallelToolCalls = new(false)
	}
	if r.ToolChoice.Type == "tool" {
		if r.ToolChoice.Name == "" {
			return wrong("tool_choice.name", "it is missing", "name the tool")
		}
		named := namedTool{Type: "function"}
		named.Function.Name = r.ToolChoice.Name
		c.ToolChoice = named
		return nil
	}
	word, known := choices[r.ToolChoice.Type]
	if !known {
		return wrong("tool_choice.type", "it is "+quote(r.ToolChoice.Type), "send auto, any, tool or none")
	}
	c.ToolChoice = word
	return nil
}
