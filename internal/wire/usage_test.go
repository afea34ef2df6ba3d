package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// bodies are the ends of answers in all dialects.
var bodies = []struct {
	name, body string
	want       Usage
	ok         bool
}{
	{"chat", `{"id":"1","choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}`, Usage{9, 3}, true},
	{"chat with details", `{"usage":{"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens":3,"completion_tokens_details":{"reasoning_tokens":2}}}`, Usage{9, 3}, true},
	{"responses", `{"object":"response","output":[],"usage":{"input_tokens":36,"output_tokens":87,"total_tokens":123},"user":null}`, Usage{36, 87}, true},
	{"Anthropic", `{"type":"message","usage":{"input_tokens":10,"cache_read_input_tokens":99,"output_tokens":20}}`, Usage{10, 20}, true},
	{"embeddings", `{"data":[],"usage": { "prompt_tokens" : 8, "total_tokens": 8}}`, Usage{8, 0}, true},
	{"zero is an answer", `{"usage":{"prompt_tokens":0,"completion_tokens":0}}`, Usage{}, true},
	{"null", `{"usage":null}`, Usage{}, false},
	{"none", `{"choices":[]}`, Usage{}, false},
	{"other figures", `{"usage":{"seconds":3}}`, Usage{}, false},
	{"quoted by the model", `{"choices":[{"message":{"content":"say \"usage\":{\"prompt_tokens\":7}"}}]}`, Usage{}, false},
	{"the last one counts", `{"content":[{"input":{"usage":{"input_tokens":1,"output_tokens":1}}}],"usage":{"input_tokens":10,"output_tokens":20}}`, Usage{10, 20}, true},
	{"a name that only ends so", `{"my_usage":{"prompt_tokens":7}}`, Usage{}, false},
	{"a word", `["usage","usage",{"usage":"usage"}]`, Usage{}, false},
	{"figures that are none", `{"usage":{"prompt_tokens":-5,"completion_tokens":1e3}}`, Usage{}, true},
	{"figures beyond 64 bits", `{"usage":{"prompt_tokens":99999999999999999999,"completion_tokens":"4"}}`, Usage{}, true},
	{"both names", `{"usage":{"input_tokens":0,"prompt_tokens":9,"output_tokens":3,"completion_tokens":0}}`, Usage{9, 3}, true},
	{"cut in the middle", `{"usage":{"prompt_tokens":9,"completion_to`, Usage{}, false},
	{"a piece of the end", `kens"}}],"usage":{"prompt_tokens":9,"completion_tokens":3}}`, Usage{9, 3}, true},
	{"nothing", ``, Usage{}, false},
}

func TestBodyUsageFindsTheFiguresOfEveryDialect(t *testing.T) {
	t.Parallel()
	for _, tt := range bodies {
		if got, ok := BodyUsage([]byte(tt.body)); got != tt.want || ok != tt.ok {
			t.Errorf("%s: BodyUsage(%s) = %+v, %v; want %+v, %v", tt.name, tt.body, got, ok, tt.want, tt.ok)
		}
	}
}

func TestStreamUsageFindsTheFiguresOfEveryDialect(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, piece string
		want        Usage
		ok          bool
	}{
		{"chat", "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}}\n\ndata: [DONE]\n\n", Usage{9, 3}, true},
		{"running total", "data: {\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1}}\n\ndata: {\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}\n\n", Usage{9, 2}, true},
		{"not asked for", "data: {\"choices\":[{\"delta\":{}}],\"usage\":null}\n\n", Usage{}, false},
		{"Anthropic's start and end", "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\n\n" +
			"event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":15}}\n\n", Usage{25, 15}, true},
		{"responses", "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":7,\"output_tokens\":8}}}\n\n", Usage{7, 8}, true},
		{"NVIDIA's comment", ": {\"input_tokens\":11,\"output_tokens\":5}\n\n", Usage{11, 5}, true},
		{"NVIDIA's comment after data", "data: {\"choices\":[]}\n\n: {\"input_tokens\":11,\"output_tokens\":5}\n\ndata: [DONE]\n\n", Usage{11, 5}, true},
		{"comment after CRLF", "data: x\r\n\r\n: {\"input_tokens\":11,\"output_tokens\":5}\r\n", Usage{11, 5}, true},
		{"two comments", ": {\"input_tokens\":11}\n: {\"output_tokens\":5}\n", Usage{11, 5}, true},
		{"a comment of something else", ": {\"queue\":3}\n: ping\n", Usage{}, false},
		{"not a comment", "data: {\"a\": {\"input_tokens\":11,\"output_tokens\":5}}\n\n", Usage{}, false},
		{"a comment cut short", ": {\"input_tokens\":11,\"output_t", Usage{}, false},
	} {
		if got, ok := StreamUsage([]byte(tt.piece)); got != tt.want || ok != tt.ok {
			t.Errorf("%s: StreamUsage(%q) = %+v, %v; want %+v, %v", tt.name, tt.piece, got, ok, tt.want, tt.ok)
		}
	}
}

func TestMergeKeepsWhatALaterPartDoesNotSay(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ early, late, want Usage }{
		{Usage{25, 1}, Usage{0, 15}, Usage{25, 15}},
		{Usage{}, Usage{9, 3}, Usage{9, 3}},
		{Usage{9, 3}, Usage{}, Usage{9, 3}},
		{Usage{9, 3}, Usage{9, 7}, Usage{9, 7}},
	} {
		if got := tt.early.Merge(tt.late); got != tt.want {
			t.Errorf("%+v.Merge(%+v) = %+v; want %+v", tt.early, tt.late, got, tt.want)
		}
	}
}

func FuzzUsage(f *testing.F) {
	for _, tt := range bodies {
		f.Add([]byte(tt.body), int64(9), int64(3), 5)
	}
	f.Add([]byte(": {\"input_tokens\":1}\n\n"), int64(0), int64(1), 0)
	f.Fuzz(func(t *testing.T, noise []byte, input, output int64, cut int) {
		if u, ok := StreamUsage(noise); u.InputTokens < 0 || u.OutputTokens < 0 || !ok && u != (Usage{}) {
			t.Fatalf("StreamUsage(%q) = %+v, %v; want no negative figures, and none where nothing was found", noise, u, ok)
		}
		// Whatever a model wrote before it and however the body is cut there, the figures at the end are found.
		content, _ := json.Marshal(string(noise))
		want := Usage{max(input, 1), max(output, 1)}
		body := fmt.Appendf(nil, `{"choices":[{"message":{"content":%s}}],"usage":{"prompt_tokens":%d,"completion_tokens":%d}}`,
			content, want.InputTokens, want.OutputTokens)
		cut = max(cut, 0) % (len(body) - len(`"usage":{"prompt_tokens":9223372036854775807,"completion_tokens":9223372036854775807}}`) + 40)
		cut = min(max(cut, 0), bytes.LastIndex(body, []byte(`"usage":{`)))
		if got, ok := BodyUsage(body[cut:]); !ok || got != want {
			t.Fatalf("BodyUsage(%s) = %+v, %v; want %+v", body[cut:], got, ok, want)
		}
	})
}

// BenchmarkBodyUsage1KB reads an answer of 1 KB. Budget: 500 ns, no allocation.
func BenchmarkBodyUsage1KB(b *testing.B) {
	body := []byte(`{"id":"1","choices":[{"message":{"content":"` + strings.Repeat(`so he said: \"hello\", `, 40) +
		`"}}],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}`)
	b.ReportAllocs()
	for b.Loop() {
		if u, _ := BodyUsage(body); u.InputTokens != 9 {
			b.Fatalf("BodyUsage() = %+v", u)
		}
	}
}

// BenchmarkStreamUsageChunk looks at a chunk without figures, as nearly all are. Budget: 150 ns, no allocation.
func BenchmarkStreamUsageChunk(b *testing.B) {
	chunk := []byte(`data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1764072000,"model":"meta/llama-3.3-70b-instruct",` +
		`"choices":[{"index":0,"delta":{"content":" hello"},"finish_reason":null}]}` + "\n\n")
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := StreamUsage(chunk); ok {
			b.Fatal("found figures")
		}
	}
}

func ExampleBodyUsage() {
	u, ok := BodyUsage([]byte(`{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3}}`))
	fmt.Println(u.InputTokens, u.OutputTokens, ok)
	// Output: 9 3 true
}
