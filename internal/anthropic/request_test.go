package anthropic_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nimsidecar/internal/anthropic"
)

// value decodes JSON with its numbers as they are written.
func value(t *testing.T, text []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s is no JSON: %v", text, err)
	}
	return v
}

// asked makes a request, in either format, of the members that matter to a test.
func asked(members string) []byte {
	if !strings.Contains(members, `"messages"`) {
		members = strings.TrimPrefix(members+`,"messages":[{"role":"user","content":"hi"}]`, ",")
	}
	return []byte(`{"model":"m","max_tokens":9,` + members + `}`)
}

// tools are two tools in both formats, and the sampling of one.
const (
	claudeTools = `"tools":[{"name":"look","description":"looks","input_schema":{"type":"object","properties":{"n":{"maximum":1e400}}},"cache_control":{"type":"ephemeral"}},{"type":"custom","name":"go","strict":true}]`
	chatTools   = `"tools":[{"type":"function","function":{"name":"look","description":"looks","parameters":{"type":"object","properties":{"n":{"maximum":1e400}}}}},{"type":"function","function":{"name":"go","strict":true}}]`
)

var requests = []struct{ name, in, want string }{
	{"a question", `"messages":[{"role":"user","content":"hi"}]`, `"messages":[{"role":"user","content":"hi"}]`},
	{"sampling", `"temperature":0.70,"top_p":null,"top_k":40,"stop_sequences":["END"]`, `"temperature":0.70,"top_k":40,"stop":["END"]`},
	{"a stream", `"stream":true`, `"stream":true,"stream_options":{"include_usage":true}`},
	{"what is unknown is left out", `"container":{"id":1},"context_management":{},"mcp_servers":[{}],"inference_geo":"eu"`, ``},
	{"a user", `"metadata":{"user_id":"u1","more":2}`, `"user":"u1"`},
	{"tiers", `"service_tier":"auto"`, ``},
	{"the standard tier", `"service_tier":"standard_only"`, `"service_tier":"default"`},
	{"a client's own tier is not the provider's", `"service_tier":"flex"`, ``},

	{"system text", `"system":"Be brief."`, `"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"hi"}]`},
	{
		"system blocks", `"system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}},{"type":"text","text":"b"}]`,
		`"messages":[{"role":"system","content":"a\n\nb"},{"role":"user","content":"hi"}]`,
	},
	{"no system text", `"system":null`, ``},
	{
		"the billing line", `"system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=2.1; cch=1f;"},{"type":"text","text":"You are"}]`,
		`"messages":[{"role":"system","content":"You are"},{"role":"user","content":"hi"}]`,
	},
	{"the billing line alone", `"system":"x-anthropic-billing-header: cch=1f;"`, ``},
	{
		"system text in the middle", `"messages":[{"role":"user","content":"q"},{"role":"system","content":[{"type":"text","text":"skills: s"}]},{"role":"assistant","content":"a"},{"role":"user","content":"r"}]`,
		`"messages":[{"role":"user","content":"q\n\n<system-reminder>\nskills: s\n</system-reminder>"},{"role":"assistant","content":"a"},{"role":"user","content":"r"}]`,
	},
	{
		"system text before all", `"system":"a","messages":[{"role":"system","content":"b"},{"role":"user","content":"q"}]`,
		`"messages":[{"role":"system","content":"a\n\nb"},{"role":"user","content":"q"}]`,
	},
	{
		"a system message without text", `"messages":[{"role":"user","content":"q"},{"role":"system","content":[],"output_config":{"effort":"low"}}]`,
		`"messages":[{"role":"user","content":"q"}]`,
	},
	{
		"a prefill stays the last message", `"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"The answer is ("}]`,
		`"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"The answer is ("}]`,
	},
	{
		"neighbours are one", `"messages":[{"role":"user","content":"a"},{"role":"user","content":[{"type":"text","text":"b"},{"type":"text","text":""}]},{"role":"assistant","content":[]},{"role":"user","content":"c"}]`,
		`"messages":[{"role":"user","content":"a\n\nb\n\nc"}]`,
	},

	{
		"images", `"messages":[{"role":"user","content":[{"type":"text","text":"see"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBO+/="}},{"type":"image","source":{"type":"url","url":"https://x/y?a=1&b=<2>"}}]}]`,
		`"messages":[{"role":"user","content":[{"type":"text","text":"see"},{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBO+/="}},{"type":"image_url","image_url":{"url":"https://x/y?a=1&b=<2>"}}]}]`,
	},
	{
		"a text document", `"messages":[{"role":"user","content":[{"type":"document","title":"a \"b\"","context":null,"source":{"type":"text","media_type":"text/plain","data":"words"}},{"type":"text","text":"sum up"}]}]`,
		`"messages":[{"role":"user","content":"<document title=\"a \\\"b\\\"\">\nwords\n</document>\n\nsum up"}]`,
	},
	{
		"a document of blocks", `"messages":[{"role":"user","content":[{"type":"document","source":{"type":"content","content":[{"type":"text","text":"w"},{"type":"image","source":{"type":"url","url":"u"}}]}}]}]`,
		`"messages":[{"role":"user","content":[{"type":"text","text":"<document>\nw\n</document>"},{"type":"image_url","image_url":{"url":"u"}}]}]`,
	},
	{
		"a finding", `"messages":[{"role":"user","content":[{"type":"search_result","title":"t","source":"https://s","content":[{"type":"text","text":"found"}]}]}]`,
		`"messages":[{"role":"user","content":"<search_result title=\"t\" source=\"https://s\">\nfound\n</search_result>"}]`,
	},

	{"tools", claudeTools, chatTools},
	{"tools on demand", claudeTools + `,"tool_choice":{"type":"auto"}`, chatTools + `,"tool_choice":"auto"`},
	{"any tool", claudeTools + `,"tool_choice":{"type":"any","disable_parallel_tool_use":true}`, chatTools + `,"tool_choice":"required","parallel_tool_calls":false`},
	{"one tool", claudeTools + `,"tool_choice":{"type":"tool","name":"go"}`, chatTools + `,"tool_choice":{"type":"function","function":{"name":"go"}}`},
	{"no tool", claudeTools + `,"tool_choice":{"type":"none"}`, chatTools + `,"tool_choice":"none"`},
	{"a choice without tools", `"tool_choice":{"type":"auto"}`, ``},
	{
		"a server's tool beside others", `"tools":[{"type":"web_search_20250305","name":"web_search","max_uses":3},{"name":"look"}]`,
		`"tools":[{"type":"function","function":{"name":"look"}}]`,
	},
	{
		"calls and results", `"messages":[{"role":"user","content":"q"},
			{"role":"assistant","content":[{"type":"text","text":"let me"},{"type":"tool_use","id":"t1","name":"look","input":{"n": 12345678901234567890, "s": "\ud83d\ude00 \u00e9 <&>", "x": "\ud800"}},{"type":"tool_use","id":"t2","name":"go","input":{}}]},
			{"role":"user","content":[{"type":"text","text":"then?"},{"type":"tool_result","tool_use_id":"t1","content":"one"},{"type":"tool_result","tool_use_id":"t2","is_error":true,"content":[{"type":"text","text":"no such file"}]}]}]`,
		`"messages":[{"role":"user","content":"q"},
			{"role":"assistant","content":"let me","tool_calls":[{"id":"t1","type":"function","function":{"name":"look","arguments":"{\"n\":12345678901234567890,\"s\":\"\\ud83d\\ude00 \\u00e9 <&>\",\"x\":\"\\ud800\"}"}},{"id":"t2","type":"function","function":{"name":"go","arguments":"{}"}}]},
			{"role":"tool","tool_call_id":"t1","content":"one"},{"role":"tool","tool_call_id":"t2","content":"Error: no such file"},{"role":"user","content":"then?"}]`,
	},
	{
		"results of all kinds", `"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"a"},{"type":"tool_result","tool_use_id":"b","content":[]},{"type":"tool_result","tool_use_id":"c","is_error":true},
			{"type":"tool_result","tool_use_id":"d","is_error":true,"content":"Error: known"},{"type":"tool_result","tool_use_id":"e","content":[{"type":"tool_reference","tool_name":"go"},{"type":"text","text":"x"}]}]}]`,
		`"messages":[{"role":"tool","tool_call_id":"a","content":""},{"role":"tool","tool_call_id":"b","content":""},{"role":"tool","tool_call_id":"c","content":"Error:"},
			{"role":"tool","tool_call_id":"d","content":"Error: known"},{"role":"tool","tool_call_id":"e","content":"go\n\nx"}]`,
	},
	{
		"images in results", `"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":[{"type":"image","source":{"type":"url","url":"u"}}]},{"type":"tool_result","tool_use_id":"b","content":[{"type":"text","text":"w"},{"type":"image","source":{"type":"url","url":"v"}}]},{"type":"text","text":"q"}]}]`,
		`"messages":[{"role":"tool","tool_call_id":"a","content":"The result is in the images that follow."},{"role":"tool","tool_call_id":"b","content":"w"},
			{"role":"user","content":[{"type":"text","text":"Images of the result of a:"},{"type":"image_url","image_url":{"url":"u"}},{"type":"text","text":"Images of the result of b:"},{"type":"image_url","image_url":{"url":"v"}},{"type":"text","text":"q"}]}]`,
	},
	{
		"what Anthropic's servers did is dropped", `"messages":[{"role":"user","content":"q"},{"role":"assistant","content":[{"type":"server_tool_use","id":"s","name":"web_search","input":{}},{"type":"web_search_tool_result","tool_use_id":"s","content":[]},{"type":"text","text":"a"}]},{"role":"user","content":"r"}]`,
		`"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"},{"role":"user","content":"r"}]`,
	},

	{"thinking", `"thinking":{"type":"enabled","budget_tokens":2000}`, `"reasoning_effort":"high"`},
	{"thinking as it sees fit", `"thinking":{"type":"adaptive"},"output_config":{"effort":"medium"}`, `"reasoning_effort":"medium"`},
	{"more effort than there is", `"output_config":{"effort":"max"}`, `"reasoning_effort":"high"`},
	{"no thinking", `"thinking":{"type":"disabled"},"output_config":{"effort":"low"}`, ``},
	{
		"thinking goes back inside a tool loop only", `"thinking":{"type":"enabled"},"messages":[{"role":"user","content":"q"},{"role":"assistant","content":[{"type":"thinking","thinking":"old","signature":"s"},{"type":"text","text":"a"}]},{"role":"user","content":"r"},
			{"role":"assistant","content":[{"type":"thinking","thinking":"new","signature":"s"},{"type":"redacted_thinking","data":"d"},{"type":"tool_use","id":"t","name":"go","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"w"},{"type":"text","text":"note"}]}]`,
		`"reasoning_effort":"high","messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"},{"role":"user","content":"r"},
			{"role":"assistant","content":"","reasoning_content":"new","tool_calls":[{"id":"t","type":"function","function":{"name":"go","arguments":"{}"}}]},{"role":"tool","tool_call_id":"t","content":"w"},{"role":"user","content":"note"}]`,
	},
	{
		"thinking does not go back to who does not think", `"messages":[{"role":"user","content":"q"},{"role":"assistant","content":[{"type":"thinking","thinking":"new","signature":"s"},{"type":"text","text":"a"}]}]`,
		`"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]`,
	},

	{
		"an answer of a shape", `"output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}}`,
		`"response_format":{"type":"json_schema","json_schema":{"name":"answer","schema":{"type":"object"},"strict":true}}`,
	},
	{
		"an answer of a shape, in the beta", `"output_format":{"type":"json_schema","schema":{"type":"object"}}`,
		`"response_format":{"type":"json_schema","json_schema":{"name":"answer","schema":{"type":"object"},"strict":true}}`,
	},
}

func TestRequestSaysTheSameInChatCompletions(t *testing.T) {
	t.Parallel()
	for _, tt := range requests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, _, err := anthropic.Request(asked(tt.in))
			if err != nil {
				t.Fatalf("Request() = %v; want none", err)
			}
			if diff := cmp.Diff(value(t, asked(tt.want)), value(t, got)); diff != "" {
				t.Errorf("Request() differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRequestKeepsAnOrderOfMembersAndBytes(t *testing.T) {
	t.Parallel()
	in := `{"stream":true,"messages":[{"role":"user","content":"a<b> & \u00e9"}],"max_tokens":16,"temperature":1.0,"tools":[{"name":"f","input_schema":{"b":1,"a":2}}],"model":"m"}`
	want := `{"model":"m","messages":[{"role":"user","content":"a<b> & é"}],"max_tokens":16,"temperature":1.0,"stream":true,"stream_options":{"include_usage":true},"tools":[{"type":"function","function":{"name":"f","parameters":{"b":1,"a":2}}}]}`
	if got, _, err := anthropic.Request([]byte(in)); err != nil || string(got) != want {
		t.Errorf("Request() = %s, %v; want %s", got, err, want)
	}
}

func TestRequestTellsWhatTheAnswerNeeds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		members string
		want    anthropic.Info
	}{
		{`"stream":false`, anthropic.Info{Model: "m"}},
		{`"stream":true,"stop_sequences":["a","b"]`, anthropic.Info{Model: "m", Stream: true, StopSequences: []string{"a", "b"}}},
		{`"thinking":{"type":"adaptive","display":"summarized"}`, anthropic.Info{Model: "m", Thinking: true}},
		{`"thinking":{"type":"enabled","display":"omitted"}`, anthropic.Info{Model: "m"}},
		{`"thinking":{"type":"disabled"}`, anthropic.Info{Model: "m"}},
		{`"model":"the last one counts"`, anthropic.Info{Model: "the last one counts"}},
	} {
		_, got, err := anthropic.Request(asked(tt.members))
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("Request(%s): %v, info differs (-want +got):\n%s", tt.members, err, diff)
		}
	}
}

func TestRequestRefusesWhatItCannotSay(t *testing.T) {
	t.Parallel()
	user := func(block string) string {
		return `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"text","text":"secret"},` + block + `]}]}`
	}
	for _, tt := range []struct{ name, in, param, says string }{
		{"no JSON", `{"model":`, "body", "not JSON"},
		{"no object", `["model"]`, "body", "its type is array; send an object"},
		{"no model", `{"max_tokens":1,"messages":[]}`, "model", "missing"},
		{"no limit", `{"model":"m","messages":[{"role":"user","content":"x"}]}`, "max_tokens", "missing"},
		{"a limit that is none", string(asked(`"max_tokens":0`)), "max_tokens", "below 1"},
		{"a limit that is a word", string(asked(`"max_tokens":"many"`)), "max_tokens", "its type is string; send a whole number"},
		{"a temperature that is a word", string(asked(`"temperature":"hot"`)), "temperature", "no number"},
		{"no messages", string(asked(`"messages":[]`)), "messages", "at least one"},
		{"messages that are none", string(asked(`"messages":"hi"`)), "messages", "its type is string; send a list"},
		{"an unknown role", string(asked(`"messages":[{"role":"user","content":"x"},{"role":"robot","content":"x"}]`)), "messages.1.role", `"robot"`},
		{"content of another type", string(asked(`"messages":[{"role":"user","content":7}]`)), "messages.0.content", "its type is number; send a list"},
		{"text of another type", user(`{"type":"text","text":{}}`), "messages.0.content.text", "its type is object; send a string"},
		{"an unknown block", user(`{"type":"audio"}`), "messages.0.content.1.type", `"audio"`},
		{"an image behind an id", user(`{"type":"image","source":{"type":"file","file_id":"f"}}`), "messages.0.content.1.source.type", `"file"`},
		{"an image without bytes", user(`{"type":"image","source":{"type":"base64"}}`), "messages.0.content.1.source", "media_type"},
		{"an image without a source", user(`{"type":"image"}`), "messages.0.content.1.source.type", "base64 or url"},
		{"an image whose source is a text", user(`{"type":"image","source":"x"}`), "messages.0.content.1.source", "its type is string"},
		{"a PDF", user(`{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBE"}}`), "messages.0.content.1.source.type", "no PDF"},
		{"a PDF in a result", user(`{"type":"tool_result","tool_use_id":"t","content":[{"type":"document","source":{"type":"url","url":"u"}}]}`), "messages.0.content.1.content.0.source.type", "no PDF"},
		{"a PDF in a document", user(`{"type":"document","source":{"type":"content","content":[{"type":"document"}]}}`), "messages.0.content.1.source.content.0.source.type", "no PDF"},
		{"a finding with a picture that is none", user(`{"type":"search_result","content":[{"type":"image"}]}`), "messages.0.content.1.content.0.source.type", `""`},
		{"a finding from a thing", user(`{"type":"search_result","source":{}}`), "messages.0.content.1.source", "send a string"},
		{"a result of nothing", user(`{"type":"tool_result","content":"x"}`), "messages.0.content.1.tool_use_id", "missing"},
		{"system blocks of another type", string(asked(`"system":[{"type":"thinking"}]`)), "system.0.type", `"thinking"`},
		{"system text of another type", string(asked(`"system":5`)), "system", "its type is number"},
		{"a reminder of another type", string(asked(`"messages":[{"role":"user","content":"x"},{"role":"system","content":[{"type":"x"}]}]`)), "messages.1.content.0.type", `"x"`},
		{"a tool without a name", string(asked(`"tools":[{"name":"a"},{"input_schema":{}}]`)), "tools.1.name", "missing"},
		{"a tool that is none", string(asked(`"tools":["look"]`)), "tools.0", "its type is string"},
		{"a server's tool alone", string(asked(`"tools":[{"type":"web_search_20250305","name":"web_search"}]`)), "tools.0.type", `"web_search_20250305"`},
		{"a server's tool demanded", string(asked(`"tools":[{"name":"a"},{"type":"web_search_20250305","name":"web_search"}],"tool_choice":{"type":"tool","name":"web_search"}`)), "tools.1.type", "Anthropic's own"},
		{"an unknown choice", string(asked(claudeTools + `,"tool_choice":{"type":"some"}`)), "tool_choice.type", `"some"`},
		{"a choice of no name", string(asked(claudeTools + `,"tool_choice":{"type":"tool"}`)), "tool_choice.name", "missing"},
		{"an unknown shape", string(asked(`"output_config":{"format":{"type":"grammar"}}`)), "output_config.format.type", `"grammar"`},
		{"a shape without a schema", string(asked(`"output_format":{"type":"json_schema","schema":[]}`)), "output_format.schema", "missing"},
	} {
		_, info, err := anthropic.Request([]byte(tt.in))
		e, ok := errors.AsType[*anthropic.Error](err)
		if !ok {
			t.Errorf("%s: Request() = %v; want an *Error", tt.name, err)
			continue
		}
		if e.Param != tt.param || !strings.Contains(e.Message, tt.says) || !strings.HasPrefix(e.Message, tt.param+": ") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: Request() fails with %q, %q; want the member %s and %q", tt.name, e.Param, e.Message, tt.param, tt.says)
		}
		if diff := cmp.Diff(anthropic.Info{}, info); diff != "" {
			t.Errorf("%s: Request() fails and tells %+v; want nothing", tt.name, info)
		}
	}
}

func TestRequestLeavesOutWhatAProviderRefuses(t *testing.T) {
	t.Parallel()
	body := asked(`"stream":true,"temperature":1,"top_p":1,"top_k":4,"service_tier":"standard_only","metadata":{"user_id":"u"},"thinking":{"type":"enabled"},` +
		claudeTools + `,"tool_choice":{"type":"any","disable_parallel_tool_use":true},` +
		`"messages":[{"role":"user","content":"q"},{"role":"assistant","content":[{"type":"thinking","thinking":"t"},{"type":"text","text":"a"}]}]`)
	const all = "stream_options parallel_tool_calls reasoning_effort reasoning_content temperature top_p top_k service_tier user strict"
	full, _, err := anthropic.Request(body)
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.FieldsSeq(all) {
		got, _, err := anthropic.Request(body, name)
		if err != nil || !strings.Contains(string(full), `"`+name+`":`) || strings.Contains(string(got), `"`+name+`":`) {
			t.Errorf("Request(…, %s) = %s, %v; want it without that member, and %s with it", name, got, err, full)
		}
	}
	got, _, err := anthropic.Request(body, append(strings.Fields(all), "tools", "messages")...)
	want := `{"model":"m","messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"max_tokens":9,"stream":true,` +
		strings.Replace(chatTools, `,"strict":true`, "", 1) + `,"tool_choice":"required"}`
	if err != nil || string(got) != want {
		t.Errorf("Request(…, all) = %s, %v; want %s", got, err, want)
	}
}

func TestRefusedFindsTheMembersThatAProviderDoesNotTake(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		refusal string
		want    []string
	}{
		{`{"message":"Validation: Unsupported parameter(s): reasoning_effort, top_k","type":"Bad Request","code":400}`, []string{"reasoning_effort", "top_k"}},
		{`{"detail":"body -> user\n  Extra inputs are not permitted (type=extra_forbidden)\nbody -> n\n  Extra inputs"}`, []string{"user"}},
		{`{"error":{"message":"Unrecognized request argument supplied: top_k"}}`, []string{"top_k"}},
		{`{"message":"Validation: 'top_p' is immutable for this model and must be 0.95, got 1"}`, []string{"top_p"}},
		{`{"message":"Input should be 'none' or 'high': reasoning_effort","code":400}`, []string{"reasoning_effort"}},
		{`{"message":"unknown field reasoning_content; reasoning_content"}`, []string{"reasoning_content"}},
		{`{"message":"Unsupported parameter(s): tools, response_format"}`, nil},
		{`{"message":"the user asked for too much"}`, nil},
		{`{"message":"unsupported: my_top_k, top_kk"}`, nil},
		{``, nil},
	} {
		if got := anthropic.Refused([]byte(tt.refusal)); !cmp.Equal(got, tt.want) {
			t.Errorf("Refused(%s) = %q; want %q", tt.refusal, got, tt.want)
		}
	}
}

// claudeCode is a request as Claude Code sends it: much system text, many tools, a long conversation. It has about 76 kB.
func claudeCode() []byte {
	var b strings.Builder
	b.WriteString(`{"model":"m","max_tokens":32000,"stream":true,"thinking":{"type":"adaptive"},"system":[{"type":"text","text":"` + strings.Repeat("Follow the rules, always.\\n", 600) + `"}],"tools":[`)
	for i := range 20 {
		fmt.Fprintf(&b, `{"name":"Tool%d","description":"%s","input_schema":{"type":"object","properties":{"path":{"type":"string"}},"required":["path"]}},`, i, strings.Repeat("It reads a file. ", 60))
	}
	b.WriteString(`{"name":"Last","input_schema":{"type":"object"}}],"messages":[{"role":"user","content":"go"}`)
	for i := range 40 {
		fmt.Fprintf(&b, `,{"role":"assistant","content":[{"type":"text","text":"next"},{"type":"tool_use","id":"t%d","name":"Tool1","input":{"path":"/a/b"}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t%d","content":"%s"}]}`, i, i, strings.Repeat("line of a file\\n", 50))
	}
	b.WriteString(`]}`)
	return []byte(b.String())
}

// BenchmarkRequest translates a request of Claude Code of 76 kB. Budget: 6 ms, 2,500 allocations.
func BenchmarkRequest(b *testing.B) {
	body := claudeCode()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := anthropic.Request(body); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRequestImage translates a request with a picture of 5 MB. Budget: 300 ms.
func BenchmarkRequestImage(b *testing.B) {
	body := asked(`"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + strings.Repeat("abcd", 5<<20/4) + `"}}]}]`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := anthropic.Request(body); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleRequest() {
	chat, info, err := anthropic.Request([]byte(`{"model":"meta/llama-3.3-70b-instruct","max_tokens":64,"system":"Be brief.","messages":[{"role":"user","content":"Why?"}]}`))
	fmt.Println(string(chat), info.Stream, err)
	_, _, err = anthropic.Request([]byte(`{"model":"m","max_tokens":64,"messages":[{"role":"robot"}]}`))
	fmt.Println(err)
	// Output:
	// {"model":"meta/llama-3.3-70b-instruct","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Why?"}],"max_tokens":64} false <nil>
	// anthropic: messages.0.role: it is "robot"; send user, assistant or system
}
