package anthropic_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nimsidecar/internal/anthropic"
	"nimsidecar/internal/sse"
)

// piece makes the data of a chunk with this delta.
func piece(delta string) string {
	return `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"up/m","choices":[{"index":0,"delta":` + delta + `,"finish_reason":null}]}`
}

// finish makes the data of a chunk that ends an answer.
func finish(reason string) string {
	return `{"id":"chatcmpl-1","model":"up/m","choices":[{"index":0,"delta":{},"finish_reason":"` + reason + `"}]}`
}

// spent is the data of the chunk with the usage.
const spent = `{"id":"chatcmpl-1","model":"up/m","choices":[],"usage":{"prompt_tokens":30,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":10}}}`

// translate feeds a stream of data, or of a comment where one begins with a colon, to its end.
func translate(info anthropic.Info, events ...string) (frames []byte, whole bool) {
	s := anthropic.Stream{Info: info}
	for _, e := range events {
		if comment, is := strings.CutPrefix(e, ":"); is {
			s.Comment([]byte(comment))
		} else {
			frames = s.Event(frames, []byte(e))
		}
	}
	return s.End(frames)
}

// summary writes a stream shortly, one event a word.
func summary(t *testing.T, frames []byte) string {
	t.Helper()
	var words []string
	for e := range sse.Events(frames) {
		v := value(t, e.Data).(map[string]any)
		var word strings.Builder
		word.WriteString(strings.NewReplacer("content_block_", "", "message_", "").Replace(e.Name))
		if index, has := v["index"]; has {
			word.WriteString(fmt.Sprint(index))
		}
		for _, member := range []string{"content_block", "delta", "error", "usage"} {
			inner, _ := v[member].(map[string]any)
			for _, name := range []string{"type", "id", "name", "text", "thinking", "partial_json", "stop_reason", "stop_sequence", "message", "input_tokens", "cache_read_input_tokens", "output_tokens"} {
				if s := fmt.Sprint(inner[name]); inner[name] != nil && s != "" {
					word.WriteString(":" + strings.TrimSuffix(s, "_delta"))
				}
			}
		}
		words = append(words, strings.ReplaceAll(word.String(), " ", "_"))
	}
	return strings.Join(words, " ")
}

var streams = []struct {
	name   string
	info   anthropic.Info
	events []string
	want   string
	whole  bool
}{
	{
		"text",
		anthropic.Info{},
		[]string{piece(`{"role":"assistant","content":""}`), piece(`{"content":"Hel"}`), piece(`{"content":"lo"}`), finish("stop"), spent, "[DONE]"},
		`start start0:text delta0:text:Hel delta0:text:lo stop0 delta:end_turn:20:10:5 stop`, true,
	},
	{
		"the usage in a comment",
		anthropic.Info{},
		[]string{piece(`{"content":"a"}`), finish("length"), `: {"input_tokens":7,"output_tokens":3}`, ":  ping", "[DONE]"},
		`start start0:text delta0:text:a stop0 delta:max_tokens:7:0:3 stop`, true,
	},
	{"no usage, no [DONE]", anthropic.Info{}, []string{piece(`{"content":"a"}`), finish("stop")}, `start start0:text delta0:text:a stop0 delta:end_turn:0:0:0 stop`, true},
	{"nothing said", anthropic.Info{}, []string{finish("stop"), "[DONE]"}, `start delta:end_turn:0:0:0 stop`, true},
	{"a filter", anthropic.Info{}, []string{finish("content_filter")}, `start delta:refusal:0:0:0 stop`, true},
	{"a refusal", anthropic.Info{}, []string{piece(`{"refusal":"No."}`), finish("stop")}, `start start0:text delta0:text:No. stop0 delta:refusal:0:0:0 stop`, true},
	{
		"a stop sequence",
		anthropic.Info{StopSequences: []string{"END"}},
		[]string{`{"id":"1","choices":[{"delta":{"content":"a"},"finish_reason":"stop","stop_reason":"END"}]}`},
		`start start0:text delta0:text:a stop0 delta:end_turn:0:0:0 stop`, true,
	},
	{"parts", anthropic.Info{}, []string{piece(`{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"},{"type":"x"}]}`), finish("stop")}, `start start0:text delta0:text:ab stop0 delta:end_turn:0:0:0 stop`, true},

	{
		"thinking",
		anthropic.Info{Thinking: true},
		[]string{piece(`{"reasoning_content":"hm"}`), piece(`{"reasoning":"m"}`), piece(`{"reasoning_content":null,"content":"a"}`), finish("stop")},
		`start start0:thinking delta0:thinking:hm delta0:thinking:m delta0:signature stop0 start1:text delta1:text:a stop1 delta:end_turn:0:0:0 stop`, true,
	},
	{
		"thinking again",
		anthropic.Info{Thinking: true},
		[]string{piece(`{"content":"a","reasoning_content":"hm"}`), piece(`{"reasoning_content":"so"}`), finish("stop")},
		`start start0:thinking delta0:thinking:hm delta0:signature stop0 start1:text delta1:text:a stop1 start2:thinking delta2:thinking:so delta2:signature stop2 delta:end_turn:0:0:0 stop`, true,
	},
	{
		"thinking that nobody asked for",
		anthropic.Info{},
		[]string{piece(`{"reasoning_content":"hm"}`), piece(`{"content":"a"}`), finish("stop")},
		`start start0:text delta0:text:a stop0 delta:end_turn:0:0:0 stop`, true,
	},

	{
		"a tool",
		anthropic.Info{},
		[]string{
			piece(`{"content":"so"}`), piece(`{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"look","arguments":""}}]}`),
			piece(`{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]}`), piece(`{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}`), finish("tool_calls"), "[DONE]",
		},
		`start start0:text delta0:text:so stop0 start1:tool_use:c1:look delta1:input_json:{"a": delta1:input_json:1} stop1 delta:tool_use:0:0:0 stop`, true,
	},
	{
		"tools in one chunk",
		anthropic.Info{},
		[]string{piece(`{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}},{"index":1,"id":"b","function":{"name":"g","arguments":"{}"}}]}`), finish("tool_calls")},
		`start start0:tool_use:a:f delta0:input_json:{} stop0 start1:tool_use:b:g delta1:input_json:{} stop1 delta:tool_use:0:0:0 stop`, true,
	},
	{
		"tools whose pieces are mixed",
		anthropic.Info{},
		[]string{
			piece(`{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":\""}},{"index":1,"id":"b","function":{"name":"g","arguments":"{\"y\":"}}]}`),
			piece(`{"tool_calls":[{"index":1,"function":{"arguments":"2}"}}],"content":"and"}`), piece(`{"tool_calls":[{"index":0,"function":{"arguments":"}\"}"}}]}`), finish("tool_calls"),
		},
		`start start0:tool_use:a:f delta0:input_json:{"x":" delta0:input_json:}"} stop0 start1:tool_use:b:g delta1:input_json:{"y":2} stop1 start2:text delta2:text:and stop2 delta:tool_use:0:0:0 stop`, true,
	},
	{
		"tools that break off",
		anthropic.Info{},
		[]string{
			piece(`{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":"}},{"index":1,"id":"b","function":{"name":"g","arguments":"{\"y"}}]}`), finish("length"),
		},
		`start start0:tool_use:a:f delta0:input_json:{"x": stop0 start1:tool_use:b:g delta1:input_json:{"y stop1 delta:max_tokens:0:0:0 stop`, true,
	},
	{
		"a tool without arguments or id",
		anthropic.Info{},
		[]string{piece(`{"tool_calls":[{"function":{"name":"f"}}]}`), finish("tool_calls")},
		`start start0:tool_use:toolu_msg_chatcmpl-1_0:f stop0 delta:tool_use:0:0:0 stop`, true,
	},
	{
		"arguments that are null",
		anthropic.Info{},
		[]string{piece(`{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"null"}},{"index":1,"id":"b","function":{"name":"g","arguments":"{\"x\":"}}]}`), piece(`{"tool_calls":[{"index":1,"function":{"arguments":"null"}}]}`), piece(`{"tool_calls":[{"index":1,"function":{"arguments":"}"}}]}`), finish("tool_calls")},
		`start start0:tool_use:a:f stop0 start1:tool_use:b:g delta1:input_json:{"x":null} stop1 delta:tool_use:0:0:0 stop`, true,
	},
	{
		"a name that comes late",
		anthropic.Info{},
		[]string{piece(`{"tool_calls":[{"index":0,"id":"a"}]}`), piece(`{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}`), piece(`{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"}"}}]}`), finish("tool_calls")},
		`start start0:tool_use:a:f delta0:input_json:{} stop0 delta:tool_use:0:0:0 stop`, true,
	},
	{
		"a second name that comes late",
		anthropic.Info{},
		[]string{piece(`{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}},{"index":1,"id":"b"}]}`), piece(`{"tool_calls":[{"index":1,"function":{"name":"g","arguments":"{}"}}]}`), finish("tool_calls")},
		`start start0:tool_use:a:f delta0:input_json:{} stop0 start1:tool_use:b:g delta1:input_json:{} stop1 delta:tool_use:0:0:0 stop`, true,
	},
	{
		"arguments as an object",
		anthropic.Info{},
		[]string{piece(`{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":{"x":"ü"}}}]}`), finish("tool_calls")},
		`start start0:tool_use:a:f delta0:input_json:{"x":"ü"} stop0 delta:tool_use:0:0:0 stop`, true,
	},
	{
		"calls without index and id",
		anthropic.Info{},
		[]string{piece(`{"tool_calls":[{"function":{"name":"f","arguments":"{\"a\":1}"}},{"function":{"name":"f","arguments":"{\"a\":2}"}}]}`), finish("stop")},
		`start start0:tool_use:toolu_msg_chatcmpl-1_0:f delta0:input_json:{"a":1} stop0 start1:tool_use:toolu_msg_chatcmpl-1_1:f delta1:input_json:{"a":2} stop1 delta:tool_use:0:0:0 stop`, true,
	},
	{
		"calls that all have the index 0",
		anthropic.Info{},
		[]string{piece(`{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}`), piece(`{"tool_calls":[{"index":0,"id":"b","function":{"name":"g","arguments":"{}"}}]}`), finish("tool_calls")},
		`start start0:tool_use:a:f delta0:input_json:{} stop0 start1:tool_use:b:g delta1:input_json:{} stop1 delta:tool_use:0:0:0 stop`, true,
	},
	{
		"pieces that each have an id",
		anthropic.Info{},
		[]string{piece(`{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]}`), piece(`{"tool_calls":[{"index":0,"id":"b","function":{"name":"","arguments":"{\"x\":"}}]}`), piece(`{"tool_calls":[{"index":0,"id":"c","function":{"name":"","arguments":"1}"}}]}`), finish("stop")},
		`start start0:tool_use:a:f delta0:input_json:{"x": delta0:input_json:1} stop0 delta:tool_use:0:0:0 stop`, true,
	},
	{
		"a call that is told twice",
		anthropic.Info{},
		[]string{
			piece(`{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":[1]} "}}]}`), piece(`{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":[1]}"}}]}`),
			piece(`{"content":"b"}`), piece(`{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}`), finish("tool_calls"),
		},
		`start start0:tool_use:a:f delta0:input_json:{"x":[1]} stop0 start1:text delta1:text:b stop1 delta:tool_use:0:0:0 stop`, true,
	},
	{
		"a reason that comes early, and twice",
		anthropic.Info{},
		[]string{finish("stop"), piece(`{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}`), finish("stop"), "[DONE]"},
		`start start0:tool_use:a:f delta0:input_json:{} stop0 delta:tool_use:0:0:0 stop`, true,
	},
	{"tools that were not called", anthropic.Info{}, []string{piece(`{"content":"a"}`), finish("tool_calls")}, `start start0:text delta0:text:a stop0 delta:end_turn:0:0:0 stop`, true},

	{"nothing", anthropic.Info{}, nil, ``, false},
	{"only an end", anthropic.Info{}, []string{"", "[DONE]"}, ``, false},
	{"cut inside a text", anthropic.Info{}, []string{piece(`{"content":"a"}`)}, `start start0:text delta0:text:a`, false},
	{"[DONE] without a reason", anthropic.Info{}, []string{piece(`{"content":"a"}`), "[DONE]"}, `start start0:text delta0:text:a`, false},
	{"broken off by the provider", anthropic.Info{}, []string{piece(`{"content":"a"}`), finish("error"), "[DONE]"}, `start start0:text delta0:text:a`, false},
	{
		"an error in the stream",
		anthropic.Info{},
		[]string{piece(`{"content":"a"}`), `{"error":{"message":"worker died","type":"internal","code":500}}`, finish("stop"), "[DONE]"},
		`start start0:text delta0:text:a error:api_error:worker_died`, false,
	},
	{"an error at once", anthropic.Info{}, []string{`{"error":{"message":"slow down","code":"429"}}`}, `error:rate_limit_error:slow_down`, false},
	{"an error by its type", anthropic.Info{}, []string{`{"error":{"message":"m","type":"overloaded_error","code":null}}`}, `error:overloaded_error:m`, false},
	{"an error of the client", anthropic.Info{}, []string{`{"error":{"message":"too long","code":422}}`}, `error:invalid_request_error:too_long`, false},
	{"an error of few words", anthropic.Info{}, []string{`{"error":"broken"}`}, `error:api_error:broken`, false},
	{"an error of no words", anthropic.Info{}, []string{`{"error":{}}`}, `error:api_error:the_provider_told_of_an_error_without_saying_what_it_is`, false},
	{"an error of another shape", anthropic.Info{}, []string{`{"object":"error","message":"ResourceExhausted","type":"Service Unavailable","code":503}`}, `error:overloaded_error:ResourceExhausted`, false},
	{"no JSON", anthropic.Info{}, []string{`{"choices":[`}, `error:api_error:the_provider's_stream_holds_an_event_that_is_not_JSON`, false},
	{"members of other types", anthropic.Info{}, []string{`{"id":7,"choices":[{"delta":{"content":5,"tool_calls":[{"index":"x"}]}}],"usage":[]}`, finish("stop")}, ``, true},
}

func TestStreamTellsTheSameInAnthropicsEvents(t *testing.T) {
	t.Parallel()
	for _, tt := range streams {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			frames, whole := translate(tt.info, tt.events...)
			got := summary(t, frames)
			want := tt.want
			if tt.info.StopSequences != nil {
				want = strings.Replace(want, "end_turn", "stop_sequence:END", 1)
			}
			if want != "" && got != want || whole != tt.whole {
				t.Errorf("Stream tells\n%s, whole %v; want\n%s, whole %v", got, whole, want, tt.whole)
			}
			if s, err := read(frames); err != nil || s.Whole != whole {
				t.Errorf("the stream is no message: %v\n%s", err, frames)
			}
		})
	}
}

func TestStreamWritesEventsInOneForm(t *testing.T) {
	t.Parallel()
	const want = `event: message_start
data: {"type":"message_start","message":{"id":"msg_chatcmpl-1","type":"message","role":"assistant","model":"up/m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\u00e9 <&>\n"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"input_tokens":20,"cache_creation_input_tokens":0,"cache_read_input_tokens":10,"output_tokens":5}}

event: message_stop
data: {"type":"message_stop"}

`
	got, _ := translate(anthropic.Info{}, piece(`{"content":"\u00e9 <&>\n"}`), finish("stop"), spent, "[DONE]")
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("the stream differs (-want +got):\n%s", diff)
	}
}

func TestStreamSaysHowFarItIs(t *testing.T) {
	t.Parallel()
	var s anthropic.Stream
	if s.Begun() || s.Failed() {
		t.Error("a new stream has begun or failed; want neither")
	}
	s.Event(nil, []byte(piece(`{"content":"a"}`)))
	if !s.Begun() || s.Failed() {
		t.Errorf("after a chunk Begun() = %v, Failed() = %v; want true, false", s.Begun(), s.Failed())
	}
	s.Event(nil, []byte(`{"error":"x"}`))
	if rest, whole := s.End(nil); !s.Failed() || whole || len(rest) > 0 {
		t.Errorf("after an error Failed() = %v, End() = %q, %v; want true, nothing, false", s.Failed(), rest, whole)
	}
}

func TestStreamTakesItsNamesFromTheRequestWhereTheProviderHasNone(t *testing.T) {
	t.Parallel()
	one, _ := translate(anthropic.Info{Model: "asked"}, `{"choices":[{"delta":{"content":"a"}}]}`)
	two, _ := translate(anthropic.Info{Model: "asked"}, `{"choices":[{"delta":{"content":"b"}}]}`)
	first, _ := read(one)
	second, err := read(two)
	if err != nil || first.Message["model"] != "asked" || first.Message["id"] == second.Message["id"] {
		t.Errorf("messages %v and %v, %v; want the model asked and two ids", first.Message, second.Message, err)
	}
}

func TestStreamsCutAnywhereTellTheSame(t *testing.T) {
	t.Parallel()
	for _, tt := range streams {
		want, _ := translate(tt.info, tt.events...)
		var wire []byte
		for _, e := range tt.events {
			if comment, is := strings.CutPrefix(e, ":"); is {
				wire = sse.AppendComment(wire, comment)
			} else {
				wire = sse.AppendEvent(wire, "", []byte(e))
			}
		}
		for cut := range len(wire) + 1 {
			s := anthropic.Stream{Info: tt.info}
			var split sse.Splitter
			var got []byte
			for _, chunk := range [][]byte{wire[:cut], wire[cut:]} {
				for e := range sse.Events(split.Feed(chunk)) {
					if e.Comment != nil {
						s.Comment(e.Comment)
					} else {
						got = s.Event(got, e.Data)
					}
				}
			}
			if got, _ = s.End(got); string(got) != string(want) {
				t.Fatalf("%s: cut at %d, the stream tells\n%s; want\n%s", tt.name, cut, got, want)
			}
		}
	}
}

// FuzzStream feeds any lines as data. What is told is a message by Anthropic's event flow, whole where End says so, and the same when it
// is told from one chunk or many.
func FuzzStream(f *testing.F) {
	for _, tt := range streams {
		f.Add(strings.Join(tt.events, "\n"), tt.info.Thinking)
	}
	f.Fuzz(func(t *testing.T, lines string, thinking bool) {
		frames, whole := translate(anthropic.Info{Thinking: thinking, StopSequences: []string{"END"}}, strings.Split(lines, "\n")...)
		if s, err := read(frames); err != nil || s.Whole != whole {
			t.Fatalf("%q is told as %q: %v, whole %v", lines, frames, err, whole)
		}
	})
}

// BenchmarkStreamText translates a chunk with a word. Budget: 8 µs, 9 allocations.
func BenchmarkStreamText(b *testing.B) {
	var s anthropic.Stream
	data := []byte(`{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1764072000,"model":"meta/llama-3.3-70b-instruct","choices":[{"index":0,"delta":{"content":" hello"},"logprobs":null,"finish_reason":null}]}`)
	dst := s.Event(nil, data)
	b.ReportAllocs()
	for b.Loop() {
		if dst = s.Event(dst[:0], data); len(dst) == 0 {
			b.Fatal("nothing told")
		}
	}
}

// BenchmarkStreamTool translates a chunk with a piece of a tool's arguments. Budget: 12 µs, 18 allocations.
func BenchmarkStreamTool(b *testing.B) {
	var s anthropic.Stream
	dst := s.Event(nil, []byte(piece(`{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}]}`)))
	data := []byte(piece(`{"tool_calls":[{"index":0,"function":{"arguments":"\"path\":1,"}}]}`))
	b.ReportAllocs()
	for b.Loop() {
		if dst = s.Event(dst[:0], data); len(dst) == 0 {
			b.Fatal("nothing told")
		}
	}
}

func ExampleStream() {
	upstream := "data: {\"id\":\"1\",\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"
	var s anthropic.Stream
	var told []byte
	for e := range sse.Events([]byte(upstream)) {
		told = s.Event(told, e.Data)
	}
	told, whole := s.End(told)
	for e := range sse.Events(told) {
		fmt.Println(e.Name)
	}
	fmt.Println(whole)
	// Output:
	// message_start
	// content_block_start
	// content_block_delta
	// content_block_stop
	// message_delta
	// message_stop
	// true
}
