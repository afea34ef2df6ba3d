package wire

import (
	"strings"
	"testing"
)

func TestAConversationIsKnownByItsBeginning(t *testing.T) {
	t.Parallel()
	const first = `{"model":"m","temperature":0.1,"messages":[{"role":"system","content":"be kind"},{"role":"user","content":"hello"}`
	one := Conversation([]byte(first + `]}`))
	if one == 0 {
		t.Fatal("Conversation = 0; want a number")
	}
	for name, body := range map[string]string{
		"a turn later":        first + `,{"role":"assistant","content":"hi"},{"role":"user","content":"more"}],"stream":true}`,
		"another temperature": strings.Replace(first, "0.1", "0.9", 1) + `]}`,
		"cut behind it":       first,
	} {
		if got := Conversation([]byte(body)); got != one {
			t.Errorf("%s: Conversation = %d; want %d", name, got, one)
		}
	}
	for name, body := range map[string]string{
		"another model":      strings.Replace(first, `"m"`, `"n"`, 1) + `]}`,
		"another system":     strings.Replace(first, "kind", "rude", 1) + `]}`,
		"another first word": strings.Replace(first, "hello", "hullo", 1) + `]}`,
	} {
		if got := Conversation([]byte(body)); got == one || got == 0 {
			t.Errorf("%s: Conversation = %d; want another than %d", name, got, one)
		}
	}
}

func TestEveryShapeOfAConversationHasANumber(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, body string
		known      bool
	}{
		{"Anthropic's", `{"model":"m","system":[{"type":"text","text":"s"}],"messages":[{"role":"user","content":[{"type":"text","text":"x"}]}]}`, true},
		{"responses with a text", `{"model":"m","instructions":"i","input":"x"}`, true},
		{"responses with a list", `{"input":[{"role":"user","content":"x"}],"model":"m"}`, true},
		{"no user in it", `{"messages":[{"role":"system","content":"x"}]}`, true},
		{"completions", `{"model":"m","prompt":"x"}`, false},
		{"embeddings of a list of numbers", `{"input":[1,2]}`, true},
		{"no messages", `{"messages":[]}`, false},
		{"messages that are none", `{"messages":3}`, false},
		{"nothing", ``, false},
		{"no object", `[{"messages":"x"}]`, false},
		{"broken", `{"model":,"messages":"x"}`, false},
	}
	for _, tt := range tests {
		if got := Conversation([]byte(tt.body)); (got != 0) != tt.known {
			t.Errorf("%s: Conversation(%s) = %d; want a number: %t", tt.name, tt.body, got, tt.known)
		}
	}
}

func TestTheTextsOfAConversationDoNotRunIntoEachOther(t *testing.T) {
	t.Parallel()
	a := Conversation([]byte(`{"model":"ab","system":"c","input":"x"}`))
	b := Conversation([]byte(`{"model":"a","system":"bc","input":"x"}`))
	if a == b {
		t.Errorf("both are %d; want two numbers", a)
	}
}

func FuzzConversation(f *testing.F) {
	f.Add([]byte(`{"model":"m","messages":[{"role":"user","content":"hello"}]}`))
	f.Add([]byte(`{"input":[[{}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		h := Conversation(body)
		if again := Conversation(append(append([]byte(" "), body...), "  "...)); h != 0 && again != h {
			t.Errorf("Conversation(%q) = %d, between white space %d", body, h, again)
		}
	})
}

// BenchmarkConversation budget: 10 µs and no allocation, however long the conversation is.
func BenchmarkConversation(b *testing.B) {
	body := []byte(`{"model":"m","messages":[{"role":"system","content":"` + strings.Repeat("s", 3000) + `"},{"role":"user","content":"` +
		strings.Repeat("x", 3000) + `"}` + strings.Repeat(`,{"role":"assistant","content":"more and more"}`, 50_000) + `]}`)
	b.ReportAllocs()
	for b.Loop() {
		if Conversation(body) == 0 {
			b.Fatal("no conversation")
		}
	}
}
