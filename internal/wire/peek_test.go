package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"strings"
	"testing"
)

func TestPeekReadsTheTopLevel(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body string
		want       Request
	}{
		{"all", `{"model":"a/b","messages":[],"stream":true,"service_tier":"flex"}`, Request{"a/b", true, true, "flex"}},
		{"white space", " {\n\t\"model\" : \"a\" ,\r\n \"stream\" : true } \n", Request{"a", true, true, ""}},
		{"at the end", `{"messages":[{"role":"user","content":"x"}],"stream":true,"model":"a"}`, Request{"a", true, true, ""}},
		{"nested ones do not count", `{"x":{"model":"no","stream":true},"y":[{"model":"no"}],"z":"\"model\":\"no\""}`, Request{}},
		{"of two the first counts", `{"model":"a","stream":false,"model":"b","stream":true}`, Request{"a", true, false, ""}},
		{"also when it is of another type", `{"model":7,"model":"b","stream":"true","stream":true}`, Request{}},
		{"null is absent", `{"model":null,"stream":null,"service_tier":null}`, Request{}},
		{"the empty name is a name", `{"model":""}`, Request{"", true, false, ""}},
		{"escapes in the value", `{"model":"a\/b\u00e9\n\ud83d\ude00"}`, Request{"a/bé\n😀", true, false, ""}},
		{"escapes in the name", `{"mod\u0065l":"a","\"model":"b"}`, Request{"a", true, false, ""}},
		{"a lone surrogate", `{"model":"a\ud800b"}`, Request{"a\ufffdb", true, false, ""}},
		{"broken UTF-8", "{\"model\":\"a\xffb\"}", Request{"a\ufffdb", true, false, ""}},
		{"backslashes before quotes", `{"x":"\\","y":"\\\"","z":"a\\\\","model":"m"}`, Request{"m", true, false, ""}},
		{"brackets in strings", `{"x":[["]}","}{"]],"model":"m"}`, Request{"m", true, false, ""}},
		{"half of a character", "{\"model\":\"\x80\"}", Request{"\ufffd", true, false, ""}},
		{"names differ by case", `{"Model":"a","MODEL":"b"}`, Request{}},
		{"the empty object", `{}`, Request{}},
		{"a batch item in an array", `[{"model":"a"}]`, Request{}},
		{"a string", `"model"`, Request{}},
		{"nothing", ``, Request{}},
		{"blanks", ` `, Request{}},
		{"text", `model=a&stream=true`, Request{}},
		{"a byte order mark", "\ufeff{\"model\":\"a\"}", Request{}},
		{"cut short", `{"model":"a","stream":true`, Request{}},
		{"cut in a string", `{"model":"a","x":"`, Request{}},
		{"cut in an escape", `{"model":"a","x":"\`, Request{}},
		{"cut after a name", `{"model"`, Request{}},
		{"cut after a colon", `{"model":`, Request{}},
		{"something after it", `{"model":"a"}{`, Request{}},
		{"a missing comma", `{"model":"a" "stream":true}`, Request{}},
		{"a comma too many", `{"model":"a",}`, Request{}},
		{"no quotes", `{model:"a"}`, Request{}},
		{"NUL", "\x00", Request{}},
		{"a control character in a name", "{\"model\":\"a\nb\"}", Request{}},
		{"a value without quotes", `{"model":a}`, Request{}},
		{"no value", `{"model":,"stream":true}`, Request{}},
	} {
		if got := Peek("application/json", []byte(tt.body)); got != tt.want {
			t.Errorf("%s: Peek(%q) = %+v; want %+v", tt.name, tt.body, got, tt.want)
		}
	}
}

func TestPeekGoesByTheBytesAndNotByTheLabel(t *testing.T) {
	t.Parallel()
	for _, contentType := range []string{"", "application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-8"} {
		if got := Peek(contentType, []byte(`{"model":"a"}`)); got.Model != "a" {
			t.Errorf("Peek(%q).Model = %q; want a", contentType, got.Model)
		}
	}
}

func TestPeekSurvivesAnyNesting(t *testing.T) {
	t.Parallel()
	const deep = 200_000
	for body, want := range map[string]string{
		`{"x":` + strings.Repeat("[", deep) + strings.Repeat("]", deep) + `,"model":"a"}`: "a",
		`{"x":` + strings.Repeat("[", deep) + `,"model":"a"}`:                             "",
		strings.Repeat(`{"model":`, deep):                                                 "",
		`{"x":"` + strings.Repeat(`\"`, deep) + `","model":"a"}`:                          "a",
		`{"x":"` + strings.Repeat(`\\`, deep) + `","model":"a"}`:                          "a",
	} {
		if got := Peek("", []byte(body)).Model; got != want {
			t.Errorf("Peek(%.30s...).Model = %q; want %q", body, got, want)
		}
	}
}

func TestTheModelSharesNoMemoryWithTheBody(t *testing.T) {
	t.Parallel()
	body := []byte(`{"model":"abc","service_tier":"flex"}`)
	got := Peek("", body)
	clear(body)
	if got.Model != "abc" || got.ServiceTier != "flex" {
		t.Errorf("after the body was overwritten Peek's result is %+v", got)
	}
}

// form returns a multipart form with the given fields, in order, and a file between them.
func form(t *testing.T, fields ...string) (contentType string, body []byte) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i < len(fields); i += 2 {
		file, err := w.CreateFormFile("image", "a.png")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(file, "\x89PNG{\"model\":\"no\"}\r\n--")
		if err := w.WriteField(fields[i], fields[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	_ = w.Close()
	return w.FormDataContentType(), b.Bytes()
}

func TestPeekReadsForms(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		fields []string
		want   Request
	}{
		{[]string{"prompt", "x", "model", "a/b", "stream", "true"}, Request{"a/b", true, true, ""}},
		{[]string{"model", "a", "model", "b"}, Request{"a", true, false, ""}},
		{[]string{"model", "a\xff"}, Request{"a\ufffd", true, false, ""}},
		{[]string{"n", "1"}, Request{}},
		{[]string{"model", strings.Repeat("m", 5000)}, Request{strings.Repeat("m", maxField), true, false, ""}},
	} {
		contentType, body := form(t, tt.fields...)
		if got := Peek(contentType, body); got != tt.want {
			t.Errorf("Peek(form %.40q) = %.60v; want %.60v", tt.fields, got, tt.want)
		}
	}
	contentType, body := form(t, "model", "a")
	for name, got := range map[string]Request{
		"no boundary":    Peek("multipart/form-data", body),
		"other boundary": Peek("multipart/form-data; boundary=x", body),
		"bad parameters": Peek("multipart/form-data; =", body),
		"cut short":      Peek(contentType, body[:20]),
		"no body":        Peek(contentType, nil),
	} {
		if got != (Request{}) {
			t.Errorf("%s: Peek() = %+v; want the zero Request", name, got)
		}
	}
}

// decoded is Peek by encoding/json's decoder, token by token: the oracle. ok is false where that takes the body for no object.
func decoded(body []byte) (r Request, ok bool) {
	if !json.Valid(body) {
		return Request{}, false
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return Request{}, false
	}
	seen := map[string]bool{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return Request{}, false
		}
		var value any
		if err := d.Decode(&value); err != nil {
			if strings.Contains(err.Error(), "cannot unmarshal number") { // valid, but beyond float64: not a member of ours
				seen[name.(string)] = true
				continue
			}
			return Request{}, false
		}
		if seen[name.(string)] {
			continue
		}
		seen[name.(string)] = true
		switch text, isText := value.(string); name {
		case "model":
			r.Model, r.HasModel = text, isText
		case "stream":
			r.Stream = value == true
		case "service_tier":
			r.ServiceTier = text
		}
	}
	return r, true
}

func FuzzPeek(f *testing.F) {
	for _, seed := range []string{
		`{"model":"a","stream":true,"service_tier":"flex","messages":[{"content":"x\"y"}]}`, `{"mod\u0065l":"a\ud800"}`, `{"model":1e999}`,
		`[{"model":"a"}]`, `{"model":"a",}`, "{\"model\":\"\xff\"}", `{"a":{"b":[]},"model":"m","model":"n"}`, ``, `{"":""}`, "{\"m\xff\":1}",
	} {
		f.Add("application/json", []byte(seed))
	}
	f.Add("multipart/form-data; boundary=x", []byte("--x\r\nContent-Disposition: form-data; name=model\r\n\r\na\r\n--x--"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		kept := bytes.Clone(body)
		got := Peek(contentType, body)
		if !bytes.Equal(body, kept) {
			t.Fatal("Peek changed the body")
		}
		if strings.HasPrefix(contentType, "multipart/form-data") {
			return
		}
		if want, ok := decoded(body); ok && got != want {
			t.Fatalf("Peek(%q) = %+v; encoding/json reads %+v", body, got, want)
		}
	})
}

// chat returns a chat request with n bytes of conversation; stream is its last member.
func chat(n int) []byte {
	line := `{"role":"user","content":"Say \"hello\" to {everyone},\nand [once] more: hello, hello."},`
	return []byte(`{"model":"meta/llama-3.3-70b-instruct","messages":[` + strings.Repeat(line, n/len(line)) +
		`{"role":"user","content":"go"}],"max_tokens":1024,"temperature":0.7,"stream":true}`)
}

// BenchmarkPeek1KB is the hot path: a system prompt and a question. Budget: 400 ns, one allocation: the model's name.
func BenchmarkPeek1KB(b *testing.B) {
	prompt := strings.Repeat(`You answer in short sentences, and say \"I do not know\" where you do not.\n`, 10)
	benchmarkPeek(b, []byte(`{"model":"meta/llama-3.3-70b-instruct","messages":[{"role":"system","content":"`+prompt+`"},`+
		`{"role":"user","content":"What is a leap second, and who decides on it?"}],"max_tokens":1024,"temperature":0.7,"stream":true}`))
}

// BenchmarkPeek1KBDense is 1 KB of ten short messages with many quotes. Budget: 1 µs, one allocation.
func BenchmarkPeek1KBDense(b *testing.B) { benchmarkPeek(b, chat(1<<10)) }

// BenchmarkPeek1MB is a long conversation, with the model first and stream last. Budget: 1 ms, one allocation.
func BenchmarkPeek1MB(b *testing.B) { benchmarkPeek(b, chat(1<<20)) }

// BenchmarkPeek1MBText is one long prompt. Budget: 100 µs, one allocation.
func BenchmarkPeek1MBText(b *testing.B) {
	benchmarkPeek(b, []byte(`{"model":"m","prompt":"`+strings.Repeat("lorem ipsum ", 1<<20/12)+`","stream":true}`))
}

func benchmarkPeek(b *testing.B, body []byte) {
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if r := Peek("application/json", body); !r.Stream || !r.HasModel {
			b.Fatalf("Peek() = %+v", r)
		}
	}
}

func ExamplePeek() {
	fmt.Printf("%+v\n", Peek("application/json", []byte(`{"model":"meta/llama","messages":[],"stream":true}`)))
	// Output: {Model:meta/llama HasModel:true Stream:true ServiceTier:}
}
