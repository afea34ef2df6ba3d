package wire

import (
	"bytes"
	"encoding/json"
	"mime/multipart"
	"strings"
	"testing"
)

func TestRewriteChangesTheModelAndNothingElse(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, body, want string }{
		{"an ordinary body", `{"model":"a","messages":[]}`, `{"model":"x/y:1","messages":[]}`},
		{"odd white space is kept", "\n{ \"a\" : 1 ,\r\n\t\"model\"  :  \"a\" }\n", "\n{ \"a\" : 1 ,\r\n\t\"model\"  :  \"x/y:1\" }\n"},
		{"other members are kept as they are written", `{"n":1.0e+2,"u":"\u0061","model":"a"}`, `{"n":1.0e+2,"u":"\u0061","model":"x/y:1"}`},
		{"a name with an escape", `{"mod\u0065l":"a"}`, `{"mod\u0065l":"x/y:1"}`},
		{"a value with escapes", `{"model":"a\"b"}`, `{"model":"x/y:1"}`},
		{"an empty name", `{"model":""}`, `{"model":"x/y:1"}`},
		{"a model inside is another's", `{"tools":[{"model":"b"}],"model":"a","x":{"model":"c"}}`, `{"tools":[{"model":"b"}],"model":"x/y:1","x":{"model":"c"}}`},
		{"each of several", `{"model":"a","model":"b","model":3}`, `{"model":"x/y:1","model":"x/y:1","model":"x/y:1"}`},
		{"the text in a prompt", `{"prompt":"\"model\":\"a\"","model":"a"}`, `{"prompt":"\"model\":\"a\"","model":"x/y:1"}`},
	}
	for _, tt := range tests {
		before := strings.Clone(tt.body)
		got, ok := Rewrite("application/json", []byte(tt.body), "x/y:1")
		if string(got) != tt.want || !ok {
			t.Errorf("%s: Rewrite(%q) = %q, %t; want %q", tt.name, tt.body, got, ok, tt.want)
		}
		if tt.body != before {
			t.Errorf("%s: the body was changed to %q", tt.name, tt.body)
		}
	}
}

func TestRewriteRefusesABodyThatNamesNoModel(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "null", "[]", `{}`, `{"model":3}`, `{"model":3,"model":"a"}`, `{"model":"a"`, `{"model":"a"}x`, `"model"`} {
		if got, ok := Rewrite("", []byte(body), "b"); ok || got != nil {
			t.Errorf("Rewrite(%q) = %q, %t; want none", body, got, ok)
		}
	}
	for _, contentType := range []string{"multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=x"} {
		if got, ok := Rewrite(contentType, []byte(`{"model":"a"}`), "b"); ok || got != nil {
			t.Errorf("Rewrite as %s = %q, %t; want none", contentType, got, ok)
		}
	}
}

func TestAModelsNameIsQuotedInJSON(t *testing.T) {
	t.Parallel()
	const odd = "a\"\\\n<é>\x00"
	got, ok := Rewrite("", []byte(`{"model":"a"}`), odd)
	var back struct{ Model string }
	if err := json.Unmarshal(got, &back); err != nil || !ok || back.Model != odd {
		t.Errorf("Rewrite = %q, %t; want JSON that says %q", got, ok, odd)
	}
}

// upload is a form as a client sends it: some bytes as a file, and a model.
func upload(t testing.TB, model, file string) (contentType string, body []byte) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	image, err := w.CreateFormFile("image", "model.png")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = image.Write([]byte(file))
	for _, field := range [][2]string{{"prompt", "model"}, {"model", model}, {"n", "1"}} {
		if err := w.WriteField(field[0], field[1]); err != nil {
			t.Fatal(err)
		}
	}
	_ = w.Close()
	return w.FormDataContentType(), b.Bytes()
}

func TestRewriteOfAFormKeepsItsFiles(t *testing.T) {
	t.Parallel()
	file := "\x89PNG\r\n--not the boundary\r\nname=\"model\"\r\n\r\na, and more"
	contentType, body := upload(t, "a", file)
	got, ok := Rewrite(contentType, body, "x/y:1")
	want := bytes.Replace(body, []byte("name=\"model\"\r\n\r\na\r\n--"+boundaryOf(contentType)), []byte("name=\"model\"\r\n\r\nx/y:1\r\n--"+boundaryOf(contentType)), 1)
	if !ok || bytes.Equal(want, body) || !bytes.Equal(got, want) {
		t.Errorf("Rewrite = %q, %t; want %q", got, ok, want)
	}
	withPreamble := append([]byte("to be ignored\r\n"), body...)
	if got, ok := Rewrite(contentType, withPreamble, "x"); !ok || Peek(contentType, got).Model != "x" {
		t.Errorf("Rewrite with a preamble = %q, %t; want the model x", got, ok)
	}
}

func boundaryOf(contentType string) string {
	_, boundary, _ := strings.Cut(contentType, "boundary=")
	return boundary
}

// FuzzRewrite holds Rewrite to Peek, which is written apart from it: a body in which Peek finds a model can be rewritten, then Peek
// finds the new one and all else as before, and rewriting it back to the old name as JSON has it changes nothing else.
func FuzzRewrite(f *testing.F) {
	f.Add("application/json", []byte(`{"model":"a","stream":true,"service_tier":"flex"}`), "b")
	f.Add("", []byte(`{"x":[{"model":1}],"model":"\u0061","model":2}`), "meta/llama-3.1:8b")
	contentType, body := upload(f, "a", "bytes")
	f.Add(contentType, body, "b")
	f.Fuzz(func(t *testing.T, contentType string, body []byte, model string) {
		before := bytes.Clone(body)
		peeked := Peek(contentType, body)
		got, ok := Rewrite(contentType, body, model)
		if !bytes.Equal(body, before) {
			t.Fatal("the body was changed")
		}
		isForm := strings.HasPrefix(contentType, "multipart/")
		if isForm { // forms have many readings: what is rewritten must be whole, not more
			return
		}
		if ok != peeked.HasModel {
			t.Fatalf("Rewrite(%q) = %t; Peek finds a model: %t", body, ok, peeked.HasModel)
		}
		if !ok {
			return
		}
		again := Peek(contentType, got)
		want := peeked
		want.Model = strings.ToValidUTF8(model, "\uFFFD")
		if strings.ToValidUTF8(model, "") == model && again != want {
			t.Fatalf("Peek(Rewrite(%q)) = %+v; want %+v", body, again, want)
		}
		third, ok := Rewrite(contentType, got, model)
		if !ok || !bytes.Equal(third, got) {
			t.Fatalf("rewritten again = %q, %t; want the same %q", third, ok, got)
		}
	})
}

// BenchmarkRewrite budget: 4 ms and 5 allocations for a body of 5 MB with its model at the end.
func BenchmarkRewrite(b *testing.B) {
	body := []byte(`{"messages":[{"content":"` + strings.Repeat("x", 5_000_000) + `"}],"model":"a"}`)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, ok := Rewrite("application/json", body, "meta/llama"); !ok {
			b.Fatal("no model")
		}
	}
}
