package mock_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nimsidecar/internal/mock"
)

const (
	messagesPath  = "/v1/messages"
	responsesPath = "/v1/responses"
)

// schema asks for every kind of member that an instance can have, one of them by a reference, and for one that is not required.
const schema = `{"type":"object","required":["name","count","least","open","none","kind","fixed","list","either","part"],"properties":{` +
	`"name":{"type":"string"},"count":{"type":"integer"},"least":{"type":"number","minimum":3},"open":{"type":["boolean","null"]},"none":{"type":"null"},` +
	`"kind":{"enum":["a,b","c"]},"fixed":{"const":7},"list":{"type":"array","items":{"type":"string"}},"either":{"anyOf":[{"type":"string"},{"type":"null"}]},` +
	`"part":{"$ref":"#/$defs/part"},"more":{"type":"string"}},"$defs":{"part":{"type":"object","required":["x"],"properties":{"x":{"type":"number"}}}}}`

// specimen is the instance of schema.
const specimen = `{"count":0,"either":"synthetic","fixed":7,"kind":"a,b","least":3,"list":["synthetic"],"name":"synthetic","none":null,"open":false,"part":{"x":0}}`

// told is what the events of a stream come to, in either of the two APIs whose events have names.
type told struct {
	names []string
	text  string // the pieces together
	last  map[string]any
}

func readStream(t *testing.T, stream string) (s told) {
	t.Helper()
	for i, event := range events(t, stream) {
		name, data, ok := strings.Cut(strings.TrimPrefix(event, "event: "), "\ndata: ")
		s.last = nil
		if err := json.Unmarshal([]byte(data), &s.last); err != nil || !ok || s.last["type"] != name {
			t.Fatalf("event %q: %v; want a name, and data of that type", event, err)
		}
		if number, ok := s.last["sequence_number"]; ok && number != float64(i) {
			t.Errorf("event %d has the number %v", i, number)
		}
		switch delta := s.last["delta"].(type) {
		case string:
			s.text += delta
		case map[string]any:
			for _, name := range []string{"text", "partial_json"} {
				piece, _ := delta[name].(string)
				s.text += piece
			}
		}
		if n := len(s.names); n == 0 || s.names[n-1] != name {
			s.names = append(s.names, name)
		}
	}
	return s
}

func TestAMessageAnswersInOnePiece(t *testing.T) {
	t.Parallel()
	s := newServer(t, mock.Options{Chunks: 2})
	body := `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hello"}]}`
	want := `{"id":"msg_mock_` + bodyID(body) + `","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"This is"}],` +
		`"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":` + fmt.Sprint(1+len(body)/4) + `,"output_tokens":2}}`
	for _, credential := range []string{"Authorization: Bearer k", "X-Api-Key: k"} {
		rec := send(s, ask{path: messagesPath, key: "none", body: body, header: []string{credential}})
		if got := rec.Body.String(); rec.Code != http.StatusOK || got != want {
			t.Errorf("with %s: %d %s; want 200 %s", credential, rec.Code, got, want)
		}
	}
	if got := send(s, ask{key: "none", header: []string{"X-Api-Key: k"}}).Code; got == http.StatusOK {
		t.Error("a chat was answered with a key in Anthropic's header; want it to be refused")
	}
}

func TestAMessageAnswersAsAStream(t *testing.T) {
	t.Parallel()
	s := newServer(t, mock.Options{Chunks: 3, UsageComments: true})
	got := readStream(t, send(s, ask{path: messagesPath, body: `{"model":"m","stream":true}`}).Body.String())
	want := []string{"message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"}
	if diff := cmp.Diff(want, got.names); diff != "" || got.text != "This is a " {
		t.Errorf("the stream says %q in events (-want +got):\n%s", got.text, diff)
	}
}

func TestTokensOfAMessageAreCounted(t *testing.T) {
	t.Parallel()
	s := newServer(t, mock.Options{})
	body := `{"model":"m","messages":[]}`
	if got, want := send(s, ask{path: messagesPath + "/count_tokens", body: body}).Body.String(), fmt.Sprintf(`{"input_tokens":%d}`, 1+len(body)/4); got != want {
		t.Errorf("count_tokens = %s; want %s", got, want)
	}
}

func TestAResponseIsTheSameWholeAndStreamed(t *testing.T) {
	t.Parallel()
	const tools = `"tools":[{"type":"function","name":"look","parameters":` + schema + `}]`
	for _, tt := range []struct {
		name, body, text string
		parts            []string // the names of the events between the item's beginning and end
	}{
		{"words", `"input":"hello"`, "This is", []string{"content_part.added", "output_text.delta", "output_text.done", "content_part.done"}},
		{"a call", tools, specimen, []string{"function_call_arguments.delta", "function_call_arguments.done"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, mock.Options{Chunks: 2})
			got := readStream(t, send(s, ask{path: responsesPath, body: `{"model":"m","stream":true,` + tt.body + `}`}).Body.String())
			names := []string{"response.created", "response.in_progress", "response.output_item.added"}
			for _, part := range tt.parts {
				names = append(names, "response."+part)
			}
			names = append(names, "response.output_item.done", "response.completed")
			if diff := cmp.Diff(names, got.names); diff != "" || strings.TrimSpace(got.text) != tt.text {
				t.Errorf("the stream says %q; want %q; events (-want +got):\n%s", got.text, tt.text, diff)
			}
			var whole map[string]any
			if err := json.Unmarshal(send(s, ask{path: responsesPath, body: `{"model":"m",` + tt.body + `}`}).Body.Bytes(), &whole); err != nil {
				t.Fatal(err)
			}
			completed, _ := got.last["response"].(map[string]any)
			for _, differing := range []string{"id", "output", "usage"} { // their ids and sizes follow the body
				delete(whole, differing)
				delete(completed, differing)
			}
			if diff := cmp.Diff(whole, completed); diff != "" {
				t.Errorf("the response of the stream differs from the whole one (-whole +streamed):\n%s", diff)
			}
		})
	}
}

// said returns what an answer of any of the three APIs says: its words, or the tool that it calls and the arguments.
func said(t *testing.T, path, body string) (text, tool string) {
	t.Helper()
	var answer struct {
		Choices []struct {
			Message struct {
				Content   string
				ToolCalls []struct {
					Function struct{ Name, Arguments string }
				} `json:"tool_calls"`
			}
		}
		Content []struct {
			Text, Name string
			Input      json.RawMessage
		}
		Output []struct {
			Name, Arguments string
			Content         []struct{ Text string }
		}
	}
	rec := send(newServer(t, mock.Options{Chunks: 1}), ask{path: path, body: body})
	if err := json.Unmarshal(rec.Body.Bytes(), &answer); err != nil {
		t.Fatalf("answer %d %s: %v", rec.Code, rec.Body, err)
	}
	for _, c := range answer.Choices {
		text += c.Message.Content
		for _, call := range c.Message.ToolCalls {
			text, tool = call.Function.Arguments, call.Function.Name
		}
	}
	for _, c := range answer.Content {
		text, tool = c.Text+string(c.Input), c.Name
	}
	for _, o := range answer.Output {
		text, tool = o.Arguments, o.Name
		for _, c := range o.Content {
			text += c.Text
		}
	}
	return text, tool
}

func TestJSONAndArgumentsFollowTheirSchema(t *testing.T) {
	t.Parallel()
	const messagesTools = `"tools":[{"name":"look","input_schema":` + schema + `},{"name":"write","input_schema":{}}]`
	const responsesTools = `"tools":[{"type":"function","name":"look","parameters":` + schema + `}]`
	for _, tt := range []struct{ name, path, members, text, tool string }{
		{"a chat's JSON", chatPath, `"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":` + schema + `}}`, specimen, ""},
		{"a chat's JSON without a schema", chatPath, `"response_format":{"type":"json_object"}`, `{}`, ""},
		{"a chat's text", chatPath, `"response_format":{"type":"text"}`, "This", ""},
		{"a chat's format that is none", chatPath, `"response_format":7`, "This", ""},
		{"a message's JSON", messagesPath, `"output_config":{"format":{"type":"json_schema","schema":` + schema + `}}`, specimen, ""},
		{"a message's effort", messagesPath, `"output_config":{"effort":"low"}`, "This", ""},
		{"a response's JSON", responsesPath, `"text":{"format":{"type":"json_schema","name":"x","schema":` + schema + `}}`, specimen, ""},
		{"a chat's tool", chatPath, `"tools":[{"type":"function","function":{"name":"look","parameters":` + schema + `}}]`, specimen, "look"},
		{"a message's tool", messagesPath, messagesTools, specimen, "look"},
		{"a message's chosen tool", messagesPath, messagesTools + `,"tool_choice":{"type":"tool","name":"write"}`, `{}`, "write"},
		{"a message's tool that is not listed", messagesPath, messagesTools + `,"tool_choice":{"type":"tool","name":"draw"}`, `{}`, "draw"},
		{"no tool for a message", messagesPath, messagesTools + `,"tool_choice":{"type":"none"}`, "This", ""},
		{"a message's result", messagesPath, messagesTools + `,"messages":[{"role":"user","content":[{"type":"tool_result"}]}]`, "This", ""},
		{"a message's question", messagesPath, messagesTools + `,"messages":[{"role":"user","content":"what?"}]`, specimen, "look"},
		{"a response's result", responsesPath, responsesTools + `,"input":[{"type":"function_call_output"}]`, "This", ""},
		{"a response's question", responsesPath, responsesTools + `,"input":"what?"`, specimen, "look"},
		{"a schema that holds itself", chatPath, `"response_format":{"type":"json_schema","json_schema":{"schema":{"$ref":"#"}}}`, "null", ""},
		{"a reference to nowhere", chatPath, `"response_format":{"type":"json_schema","json_schema":{"schema":{"$ref":"#/a/b"}}}`, "{}", ""},
		{"a reference that is none", chatPath, `"response_format":{"type":"json_schema","json_schema":{"schema":{"$ref":""}}}`, "null", ""},
		{
			"a list of itself", chatPath, `"response_format":{"type":"json_schema","json_schema":{"schema":{"type":"array","items":{"$ref":"#"}}}}`,
			strings.Repeat("[", 9) + "null" + strings.Repeat("]", 9), "",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if text, tool := said(t, tt.path, `{"model":"m",`+tt.members+`}`); text != tt.text || tool != tt.tool {
				t.Errorf("it says %s and calls %q; want %s and %q", text, tool, tt.text, tt.tool)
			}
		})
	}
}

func TestArgumentsOfAMessageAreStreamed(t *testing.T) {
	t.Parallel()
	s := newServer(t, mock.Options{})
	body := `{"model":"m","stream":true,"tools":[{"name":"look","input_schema":` + schema + `}]}`
	got := readStream(t, send(s, ask{path: messagesPath, body: body}).Body.String())
	if got.text != specimen {
		t.Errorf("the pieces of the arguments are %s; want %s", got.text, specimen)
	}
}
