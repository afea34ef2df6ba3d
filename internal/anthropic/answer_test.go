package anthropic_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nimsidecar/internal/anthropic"
)

// completed makes a chat completion of a message and why it ended.
func completed(message, reason string) []byte {
	return []byte(`{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"up/m","choices":[{"index":0,"message":` + message + `,"finish_reason":"` + reason + `"}],"usage":{"prompt_tokens":30,"completion_tokens":5,"total_tokens":35}}`)
}

var answers = []struct {
	name, message, reason string
	info                  anthropic.Info
	content, stop         string
}{
	{"text", `{"role":"assistant","content":"a\n\u00e9 \ud83d\ude00"}`, "stop", anthropic.Info{}, `{"type":"text","text":"a\n\u00e9 \ud83d\ude00"}`, "end_turn"},
	{"nothing", `{"role":"assistant","content":""}`, "length", anthropic.Info{}, ``, "max_tokens"},
	{"parts", `{"content":[{"type":"thinking","thinking":[]},{"type":"text","text":"a"}]}`, "stop", anthropic.Info{}, `{"type":"text","text":"a"}`, "end_turn"},
	{"thinking asked for", `{"content":"a","reasoning_content":"hm"}`, "stop", anthropic.Info{Thinking: true}, `{"type":"thinking","thinking":"hm","signature":"nim-sidecar"},{"type":"text","text":"a"}`, "end_turn"},
	{"thinking by its other name", `{"content":"a","reasoning":"hm"}`, "stop", anthropic.Info{Thinking: true}, `{"type":"thinking","thinking":"hm","signature":"nim-sidecar"},{"type":"text","text":"a"}`, "end_turn"},
	{"thinking not asked for", `{"content":"a","reasoning_content":"hm"}`, "stop", anthropic.Info{}, `{"type":"text","text":"a"}`, "end_turn"},
	{"a filter", `{"content":null}`, "content_filter", anthropic.Info{}, ``, "refusal"},
	{"a refusal", `{"content":null,"refusal":"No."}`, "stop", anthropic.Info{}, `{"type":"text","text":"No."}`, "refusal"},
	{
		"tools", `{"content":"so","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"n\": 12345678901234567890, \"s\":\"\\ud800 \\u00e9\"}"}},{"id":"c2","function":{"name":"g","arguments":""}}]}`, "tool_calls",
		anthropic.Info{},
		`{"type":"text","text":"so"},{"type":"tool_use","id":"c1","name":"f","input":{"n":12345678901234567890,"s":"\ud800 \u00e9"}},{"type":"tool_use","id":"c2","name":"g","input":{}}`, "tool_use",
	},
	{"a tool, and another reason", `{"tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]}`, "stop", anthropic.Info{}, `{"type":"tool_use","id":"c","name":"f","input":{}}`, "tool_use"},
	{"a tool without an id", `{"tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]}`, "function_call", anthropic.Info{}, `{"type":"tool_use","id":"toolu_msg_chatcmpl-1_0","name":"f","input":{"a":1}}`, "tool_use"},
	{"broken arguments", `{"tool_calls":[{"id":"c","function":{"name":"f","arguments":"{\"path\": \"/a"}}]}`, "length", anthropic.Info{}, `{"type":"tool_use","id":"c","name":"f","input":{"_arguments":"{\"path\": \"/a"}}`, "max_tokens"},
	{"arguments that are no object", `{"tool_calls":[{"id":"c","function":{"name":"f","arguments":"[1]"}}]}`, "tool_calls", anthropic.Info{}, `{"type":"tool_use","id":"c","name":"f","input":{"_arguments":"[1]"}}`, "tool_use"},
	{"arguments that are null", `{"tool_calls":[{"id":"c","function":{"name":"f","arguments":"null"}}]}`, "tool_calls", anthropic.Info{}, `{"type":"tool_use","id":"c","name":"f","input":{}}`, "tool_use"},
	{"no tool after all", `{"content":"a"}`, "tool_calls", anthropic.Info{}, `{"type":"text","text":"a"}`, "end_turn"},
	{"an unknown reason", `{"content":"a"}`, "eos", anthropic.Info{}, `{"type":"text","text":"a"}`, "end_turn"},
	{"no reason", `{"content":"a"}`, "", anthropic.Info{}, `{"type":"text","text":"a"}`, "end_turn"},
}

func TestAnswerSaysTheSameAsTheCompletion(t *testing.T) {
	t.Parallel()
	for _, tt := range answers {
		got, err := anthropic.Answer(completed(tt.message, tt.reason), tt.info)
		if err != nil {
			t.Errorf("%s: Answer() = %v; want none", tt.name, err)
			continue
		}
		want := `{"id":"msg_chatcmpl-1","type":"message","role":"assistant","model":"up/m","content":[` + tt.content + `],"stop_reason":"` + tt.stop + `","stop_sequence":null,` +
			`"usage":{"input_tokens":30,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":5}}`
		if string(got) != want {
			t.Errorf("%s: Answer() =\n%s; want\n%s", tt.name, got, want)
		}
	}
}

func TestAnswerTellsTheStopSequenceThatWasMet(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ stopReason, want string }{
		{`"END"`, `"stop_reason":"stop_sequence","stop_sequence":"END"`},
		{`"other"`, `"stop_reason":"end_turn","stop_sequence":null`},
		{`128009`, `"stop_reason":"end_turn","stop_sequence":null`},
		{`null`, `"stop_reason":"end_turn","stop_sequence":null`},
	} {
		body := `{"id":"msg_own","choices":[{"message":{"content":"a"},"finish_reason":"stop","stop_reason":` + tt.stopReason + `}]}`
		got, err := anthropic.Answer([]byte(body), anthropic.Info{Model: "asked", StopSequences: []string{"X", "END"}})
		if err != nil || !strings.Contains(string(got), tt.want) || !strings.HasPrefix(string(got), `{"id":"msg_own",`) || !strings.Contains(string(got), `"model":"asked"`) {
			t.Errorf("stop_reason %s: Answer() = %s, %v; want %s", tt.stopReason, got, err, tt.want)
		}
	}
}

func TestAnswerCountsTokensAsAnthropicDoes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ usage, want string }{
		{`null`, `{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}`},
		{`{"prompt_tokens":30,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":10}}`, `{"input_tokens":20,"cache_creation_input_tokens":0,"cache_read_input_tokens":10,"output_tokens":5}`},
		{`{"prompt_tokens":30,"completion_tokens":5,"prompt_tokens_details":null}`, `{"input_tokens":30,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":5}`},
		{`{"prompt_tokens":30,"prompt_tokens_details":{"cached_tokens":99}}`, `{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":30,"output_tokens":0}`},
		{`{"prompt_tokens":-1,"completion_tokens":-5,"prompt_tokens_details":{"cached_tokens":-9}}`, `{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}`},
		{`{"prompt_tokens":30,"prompt_tokens_details":{"cached_tokens":-9}}`, `{"input_tokens":30,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}`},
		{`"many"`, `{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}`},
	} {
		got, err := anthropic.Answer([]byte(`{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":`+tt.usage+`}`), anthropic.Info{})
		if err != nil || !strings.HasSuffix(string(got), `"usage":`+tt.want+`}`) {
			t.Errorf("usage %s: Answer() = %s, %v; want %s", tt.usage, got, err, tt.want)
		}
	}
}

func TestAnswerRefusesWhatIsNoAnswer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, body, says string }{
		{"no JSON", `<html>`, "not JSON"},
		{"nothing", ``, "not JSON"},
		{"no object", `[]`, "no choice"},
		{"no choice", `{"id":"1","choices":[]}`, "no choice"},
		{"an error", `{"error":{"message":"worker died"}}`, "worker died"},
		{"an error of another shape", `{"object":"error","message":"worker died","code":500}`, "worker died"},
		{"a failure", string(completed(`{"content":"secret"}`, "error")), "finish_reason error"},
	} {
		got, err := anthropic.Answer([]byte(tt.body), anthropic.Info{})
		if err == nil || !strings.Contains(err.Error(), tt.says) || got != nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: Answer() = %s, %v; want an error that says %q", tt.name, got, err, tt.says)
		}
	}
}

// pieces tells a completion as a stream of chunks in which each text is cut at the given places.
func pieces(t *testing.T, body []byte, cuts []byte) (events []string) {
	t.Helper()
	var c struct {
		ID, Model string
		Choices   []struct {
			Message struct {
				Content   string
				Reasoning string `json:"reasoning_content"`
				Calls     []struct {
					ID       string
					Function struct{ Name, Arguments string }
				} `json:"tool_calls"`
			}
			FinishReason string `json:"finish_reason"`
		}
		Usage json.RawMessage
	}
	if err := json.Unmarshal(body, &c); err != nil {
		t.Fatal(err)
	}
	tell := func(delta map[string]any, reason any) {
		chunk, err := json.Marshal(map[string]any{"id": c.ID, "model": c.Model, "choices": []any{map[string]any{"index": 0, "delta": delta, "finish_reason": reason}}})
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, string(chunk))
	}
	cut := func(text string) (all []string) { // between runes: each piece is JSON of its own
		runes := []rune(text)
		for _, n := range cuts {
			k := min(int(n), len(runes))
			all, runes = append(all, string(runes[:k])), runes[k:]
		}
		return append(all, string(runes))
	}
	m := c.Choices[0].Message
	for _, p := range cut(m.Reasoning) {
		tell(map[string]any{"reasoning_content": p}, nil)
	}
	for _, p := range cut(m.Content) {
		tell(map[string]any{"content": p}, nil)
	}
	for i, call := range m.Calls {
		tell(map[string]any{"tool_calls": []any{map[string]any{"index": i, "id": call.ID, "function": map[string]any{"name": call.Function.Name, "arguments": ""}}}}, nil)
	}
	for n := range len(cuts) + 1 { // one piece of each call at a time
		for i, call := range m.Calls {
			tell(map[string]any{"tool_calls": []any{map[string]any{"index": i, "function": map[string]any{"arguments": cut(call.Function.Arguments)[n]}}}}, nil)
		}
	}
	tell(map[string]any{}, c.Choices[0].FinishReason)
	if c.Usage != nil {
		events = append(events, `{"choices":[],"usage":`+string(c.Usage)+`}`)
	}
	return append(events, "[DONE]")
}

// FuzzAnswer tells one completion as a body and as a stream cut anywhere: both are one message. Any other bytes are a message or an
// error.
func FuzzAnswer(f *testing.F) {
	f.Add("hello", "hm", `{"a":1}`, `{"b":"}\""}`, "stop", []byte{1, 2, 0, 3})
	f.Add("", "", `{"a":`, `[]`, "length", []byte{})
	f.Add("\u2028<&>\ufffd", "\n", "", " {} ", "tool_calls", []byte{0, 200})
	f.Fuzz(func(t *testing.T, content, reasoning, first, second, reason string, cuts []byte) {
		if len(cuts) > 20 {
			cuts = cuts[:20]
		}
		body, err := json.Marshal(map[string]any{
			"id": "1", "model": "m", "usage": map[string]int{"prompt_tokens": len(content), "completion_tokens": len(first)},
			"choices": []any{map[string]any{"finish_reason": reason, "message": map[string]any{
				"content": content, "reasoning_content": reasoning, "tool_calls": []any{
					map[string]any{"id": "a", "function": map[string]string{"name": "f", "arguments": first}},
					map[string]any{"id": "b", "function": map[string]string{"name": "g", "arguments": second}},
				},
			}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		info := anthropic.Info{Thinking: true}
		answer, err := anthropic.Answer(body, info)
		frames, whole := translate(info, pieces(t, body, cuts)...)
		if reason == "" || reason == "error" || reason == "abort" {
			if whole {
				t.Fatalf("the reason %q makes %s whole", reason, frames)
			}
			return
		}
		if err != nil || !whole {
			t.Fatalf("Answer() = %v, whole %v; want a message\n%s", err, whole, frames)
		}
		s, err := read(frames)
		if err != nil {
			t.Fatalf("%v: %s", err, frames)
		}
		if trailing(first) || trailing(second) { // told up to the end of the object only
			return
		}
		if diff := cmp.Diff(value(t, answer), any(s.message(t))); diff != "" {
			t.Fatalf("body and stream differ (-body +stream):\n%s\n%s", diff, frames)
		}
	})
}

// trailing reports whether something other than white space follows the first object or list in text, by the standard's own decoder
// or, if that finds no value, by doubt.
func trailing(text string) bool {
	d := json.NewDecoder(strings.NewReader(text))
	var first json.RawMessage
	err := d.Decode(&first)
	if err == nil {
		return strings.TrimSpace(text[d.InputOffset():]) != ""
	}
	return strings.ContainsAny(text, "}]")
}

func TestWhatAModelSaidGoesBackToItAsItSaidIt(t *testing.T) {
	t.Parallel()
	const said = `{"role":"assistant","content":"a <b>","reasoning_content":"hm","tool_calls":[` +
		`{"id":"functions.look:0","type":"function","function":{"name":"look","arguments":"{\"b\":1.50,\"a\":\"\\ud800\\n<&>\",\"n\":12345678901234567890}"}},` +
		`{"id":"c2","type":"function","function":{"name":"go","arguments":"{}"}}]}`
	answer, err := anthropic.Answer(completed(said, "tool_calls"), anthropic.Info{Thinking: true})
	if err != nil {
		t.Fatal(err)
	}
	var message struct{ Content json.RawMessage }
	if err := json.Unmarshal(answer, &message); err != nil {
		t.Fatal(err)
	}
	chat, _, err := anthropic.Request([]byte(`{"model":"m","max_tokens":1,"thinking":{"type":"adaptive"},"messages":[{"role":"user","content":"q"},{"role":"assistant","content":` +
		string(message.Content) + `},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c2","content":"w"}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	got := value(t, chat).(map[string]any)["messages"].([]any)[1]
	if diff := cmp.Diff(value(t, []byte(said)), got); diff != "" {
		t.Errorf("the message that goes back differs (-said +sent):\n%s", diff)
	}
}

func FuzzRequest(f *testing.F) {
	for _, tt := range requests {
		f.Add(asked(tt.in), "user")
	}
	f.Fuzz(func(t *testing.T, body []byte, omit string) {
		chat, info, err := anthropic.Request(body, omit)
		if n, countErr := anthropic.CountTokens(body); err == nil && (countErr != nil || n <= 0) {
			t.Fatalf("CountTokens(%q) = %d, %v; want a figure for what can be sent", body, n, countErr)
		}
		if err != nil {
			if _, ok := err.(*anthropic.Error); !ok {
				t.Fatalf("Request(%q) = %v; want an *Error", body, err)
			}
			return
		}
		var c struct {
			Model    string
			Stream   bool
			Messages []struct {
				Role      string
				Content   any
				ToolCalls []json.RawMessage `json:"tool_calls"`
			}
		}
		if err := json.Unmarshal(chat, &c); err != nil || c.Model != info.Model || c.Stream != info.Stream {
			t.Fatalf("Request(%q) = %s, %+v: %v", body, chat, info, err)
		}
		for i, m := range c.Messages {
			if m.Content == nil || i > 0 && m.Role == c.Messages[i-1].Role && m.Role != "tool" || m.Role == "system" && i > 0 {
				t.Fatalf("Request(%q) = %s: message %d is empty or has the role of the one before", body, chat, i)
			}
		}
	})
}

// BenchmarkAnswer translates a completion of 1 KB. Budget: 40 µs, 40 allocations.
func BenchmarkAnswer(b *testing.B) {
	body := completed(`{"role":"assistant","content":"`+strings.Repeat("so he said: \\\"hello\\\", ", 40)+`"}`, "stop")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := anthropic.Answer(body, anthropic.Info{}); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleAnswer() {
	message, err := anthropic.Answer([]byte(`{"id":"chatcmpl-7","model":"m","choices":[{"message":{"content":"Hi."},"finish_reason":"stop"}]}`), anthropic.Info{})
	fmt.Println(string(message), err)
	// Output:
	// {"id":"msg_chatcmpl-7","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Hi."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}} <nil>
}
