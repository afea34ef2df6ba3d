package mock_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nimsidecar/internal/mock"
)

// bodyID is the id that the answer to a body must carry.
func bodyID(body string) string {
	return fmt.Sprintf("%08x", crc32.Checksum([]byte(body), crc32.MakeTable(crc32.Castagnoli)))
}

// events cuts a stream into its events.
func events(t *testing.T, stream string) []string {
	t.Helper()
	if !strings.HasSuffix(stream, "\n\n") {
		t.Fatalf("stream %q; want it to end with an event", stream)
	}
	return strings.Split(strings.TrimSuffix(stream, "\n\n"), "\n\n")
}

func TestAChatAnswersInOnePiece(t *testing.T) {
	t.Parallel()
	s := newServer(t, mock.Options{Chunks: 4})
	body := `{"model":"a/\"b","messages":[]}`
	want := `{"id":"chatcmpl-mock-` + bodyID(body) + `","object":"chat.completion","created":735790403,"model":"a/\"b","choices":[` +
		`{"index":0,"message":{"role":"assistant","content":"This is a synthetic"},"logprobs":null,"finish_reason":"stop"}],` +
		`"usage":{"prompt_tokens":8,"completion_tokens":4,"total_tokens":12}}`
	for range 2 {
		rec := send(s, ask{body: body})
		if rec.Code != http.StatusOK || rec.Header().Get("Content-Type") != js || rec.Body.String() != want {
			t.Errorf("answer %d %s %s; want 200 %s", rec.Code, rec.Header().Get("Content-Type"), rec.Body, want)
		}
	}
}

func TestAChatAnswersAsAStream(t *testing.T) {
	t.Parallel()
	s := newServer(t, mock.Options{Chunks: 2, UsageComments: true})
	body := `{"model":"m","stream":true,"stream_options":{"include_usage":true}}`
	rec := send(s, ask{body: body})
	head := `data: {"id":"chatcmpl-mock-` + bodyID(body) + `","object":"chat.completion.chunk","created":735790403,"model":"m","choices":[`
	want := []string{
		head + `{"index":0,"delta":{"role":"assistant","content":"This "},"logprobs":null,"finish_reason":null}]}`,
		head + `{"index":0,"delta":{"content":"is "},"logprobs":null,"finish_reason":null}]}`,
		head + `{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}`,
		head + `],"usage":{"prompt_tokens":17,"completion_tokens":2,"total_tokens":19}}`,
		`: {"input_tokens":17,"output_tokens":2}`,
		`data: [DONE]`,
	}
	if diff := cmp.Diff(want, events(t, rec.Body.String())); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if got := rec.Header().Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("Content-Type %q; want text/event-stream", got)
	}
	if !s.Arrivals()[0].Stream {
		t.Error("the arrival does not say that it was a stream")
	}
}

func TestUsageIsOnlySentWhenAskedFor(t *testing.T) {
	t.Parallel()
	s := newServer(t, mock.Options{})
	for _, options := range []string{"", `,"stream_options":null`, `,"stream_options":{}`, `,"stream_options":{"include_usage":false}`, `,"stream_options":7`} {
		rec := send(s, ask{body: `{"model":"m","stream":true` + options + `}`})
		if got := len(events(t, rec.Body.String())); got != 16+2 || strings.Contains(rec.Body.String(), "usage") {
			t.Errorf("stream with %q has %d events: %s; want 16 words, the end, [DONE] and no usage", options, got, rec.Body)
		}
	}
}

func TestACompletionHasItsOwnShape(t *testing.T) {
	t.Parallel()
	s := newServer(t, mock.Options{Chunks: 1})
	a := ask{path: "/v1/completions", body: `{"model":"m","prompt":"x"}`}
	want := `{"id":"cmpl-mock-` + bodyID(a.body) + `","object":"text_completion","created":735790403,"model":"m","choices":[` +
		`{"index":0,"text":"This","logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":1,"total_tokens":8}}`
	if got := send(s, a).Body.String(); got != want {
		t.Errorf("completion %s; want %s", got, want)
	}
	a.body = `{"model":"m","prompt":"x","stream":true}`
	got := events(t, send(s, a).Body.String())
	if len(got) != 3 || !strings.Contains(got[0], `"choices":[{"index":0,"text":"This ","logprobs":null,"finish_reason":null}]`) || got[2] != "data: [DONE]" {
		t.Errorf("events %q; want a word, the end and [DONE]", got)
	}
}

// toolChat is the part of an answer that is about tools.
type toolChat struct {
	Choices []struct {
		FinishReason   string `json:"finish_reason"`
		Message, Delta struct {
			ToolCalls []struct {
				ID       string
				Function struct{ Name, Arguments string }
			} `json:"tool_calls"`
		}
	}
}

func TestToolsAreCalledUntilTheirResultIsThere(t *testing.T) {
	t.Parallel()
	const tools = `"tools":[{"type":"function","function":{"name":"look"}},{"type":"function","function":{"name":"write"}}]`
	for _, tt := range []struct{ name, body, want string }{
		{"the first tool", `{"model":"m",` + tools + `}`, "look"},
		{"the chosen one", `{"model":"m",` + tools + `,"tool_choice":{"type":"function","function":{"name":"write"}}}`, "write"},
		{"auto", `{"model":"m",` + tools + `,"tool_choice":"auto"}`, "look"},
		{"none", `{"model":"m",` + tools + `,"tool_choice":"none"}`, ""},
		{"no tools", `{"model":"m","tools":[]}`, ""},
		{"tools that are none", `{"model":"m","tools":"all"}`, ""},
		{"a result", `{"model":"m",` + tools + `,"messages":[{"role":"user"},{"role":"tool"}]}`, ""},
		{"a question after a result", `{"model":"m",` + tools + `,"messages":[{"role":"tool"},{"role":"user"}]}`, "look"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, mock.Options{})
			var whole toolChat
			if err := json.Unmarshal(send(s, ask{body: tt.body}).Body.Bytes(), &whole); err != nil {
				t.Fatal(err)
			}
			name, arguments, finish := "", "", whole.Choices[0].FinishReason
			for _, c := range whole.Choices[0].Message.ToolCalls {
				name, arguments = c.Function.Name, c.Function.Arguments
			}
			if name != tt.want || (name != "") != (finish == "tool_calls") || (name != "") != (arguments == "{}") {
				t.Errorf("calls %q with %q and finishes with %s; want a call of %q", name, arguments, finish, tt.want)
			}
			streamed := send(s, ask{body: strings.Replace(tt.body, "{", `{"stream":true,`, 1)}).Body.String()
			if got := joinToolStream(t, streamed); got != name+arguments+finish {
				t.Errorf("the stream calls %q; want the same as the whole answer, %q", got, name+arguments+finish)
			}
		})
	}
}

// joinToolStream puts together what a stream says about tools, and how it finishes.
func joinToolStream(t *testing.T, stream string) (joined string) {
	t.Helper()
	for _, event := range events(t, stream) {
		data := strings.TrimPrefix(event, "data: ")
		if data == "[DONE]" {
			return joined
		}
		var chunk toolChat
		if err := json.Unmarshal([]byte(data), &chunk); err != nil {
			t.Fatalf("event %s: %v", event, err)
		}
		for _, c := range chunk.Choices[0].Delta.ToolCalls {
			joined += c.Function.Name + c.Function.Arguments
		}
		joined += chunk.Choices[0].FinishReason
	}
	t.Fatalf("stream %s; want [DONE] at its end", stream)
	return ""
}

// vectors are the answer of the embeddings route.
type vectors struct {
	Object, Model string
	Data          []struct {
		Object    string
		Index     int
		Embedding json.RawMessage
	}
	Usage struct {
		PromptTokens int `json:"prompt_tokens"`
	}
}

func embed(t *testing.T, s *mock.Server, fields string) vectors {
	t.Helper()
	rec := send(s, ask{path: "/v1/embeddings", body: `{"model":"m",` + fields + `}`})
	var v vectors
	if err := json.Unmarshal(rec.Body.Bytes(), &v); err != nil || rec.Code != http.StatusOK {
		t.Fatalf("embeddings of %s: %d %s; want 200 and JSON", fields, rec.Code, rec.Body)
	}
	return v
}

func TestEmbeddingsTakeEveryFormOfInput(t *testing.T) {
	t.Parallel()
	s := newServer(t, mock.Options{})
	for input, want := range map[string]int{
		`"one"`: 1, `["one","two","three"]`: 3, `[1,2,3]`: 1, `[[1,2],[3]]`: 2, `[]`: 1,
	} {
		v := embed(t, s, `"input":`+input)
		if len(v.Data) != want || v.Object != "list" || v.Model != "m" || v.Usage.PromptTokens < 1 {
			t.Errorf("input %s gives %d vectors of %s %s; want %d of list m", input, len(v.Data), v.Object, v.Model, want)
		}
		for i, d := range v.Data {
			var numbers []float32
			if json.Unmarshal(d.Embedding, &numbers) != nil || len(numbers) != 16 || d.Index != i || d.Object != "embedding" {
				t.Errorf("input %s, entry %d: %+v; want 16 numbers", input, i, d)
			}
		}
	}
	for _, fields := range []string{`"input":"x","dimensions":-1`, `"input":"x","dimensions":8193`, `"other":"x"`, `"input":[""` + strings.Repeat(`,""`, 2048) + `]`, `"input":"x","dimensions":"many"`} {
		if got := send(s, ask{path: "/v1/embeddings", body: `{"model":"m",` + fields + `}`}).Code; got != http.StatusBadRequest {
			t.Errorf("embeddings with %.60s got %d; want 400", fields, got)
		}
	}
}

func TestTheSameTextHasTheSameVectorInBothEncodings(t *testing.T) {
	t.Parallel()
	s := newServer(t, mock.Options{})
	numbers := embed(t, s, `"input":["a","b","a"],"dimensions":3`)
	encoded := embed(t, s, `"input":["a","b"],"dimensions":3,"encoding_format":"base64"`)
	if a, b, again := numbers.Data[0].Embedding, numbers.Data[1].Embedding, numbers.Data[2].Embedding; string(a) != string(again) || string(a) == string(b) {
		t.Errorf("vectors of a, b, a: %s %s %s; want the first and last alike", a, b, again)
	}
	for i, d := range encoded.Data {
		var text string
		var want []float32
		if json.Unmarshal(d.Embedding, &text) != nil || json.Unmarshal(numbers.Data[i].Embedding, &want) != nil {
			t.Fatalf("entry %d: %s; want a base64 text", i, d.Embedding)
		}
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(raw) != 12 {
			t.Fatalf("entry %d: %q; want the base64 of 12 bytes", i, text)
		}
		for j := range want {
			bits := uint32(raw[4*j]) | uint32(raw[4*j+1])<<8 | uint32(raw[4*j+2])<<16 | uint32(raw[4*j+3])<<24
			if got := math.Float32frombits(bits); got != want[j] {
				t.Errorf("entry %d, number %d: %v; want %v", i, j, got, want[j])
			}
		}
	}
}
