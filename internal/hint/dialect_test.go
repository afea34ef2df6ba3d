package hint

import (
	"fmt"
	"net/http"
	"testing"
)

func TestDialectOfKnowsHostsAndWhatIsBelowThem(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]Dialect{
		"api.openai.com": DialectOpenAI, "mine.openai.azure.com": DialectOpenAI, "mine.cognitiveservices.azure.com": DialectOpenAI,
		"mine.services.ai.azure.com": DialectOpenAI, "api.groq.com": DialectGroq, "api.anthropic.com": DialectAnthropic,
		"api.mistral.ai": DialectMistral, "codestral.mistral.ai": DialectMistral, "openrouter.ai": DialectOpenRouter,
		"generativelanguage.googleapis.com": DialectGemini, "us-central1-aiplatform.googleapis.com": DialectGemini,
		"integrate.api.nvidia.com": DialectNVIDIA, "inference-api.nousresearch.com": DialectNous,
		"API.Groq.COM": DialectGroq, "api.groq.com.": DialectGroq,
		"": DialectUnknown, ".": DialectUnknown, "127.0.0.1": DialectUnknown, "localhost": DialectUnknown, "com": DialectUnknown,
		"notgroq.com": DialectUnknown, "api.groq.com.evil.test": DialectUnknown, "vm.cloudapp.azure.com": DialectUnknown, "api.cerebras.ai": DialectUnknown,
	} {
		if got := DialectOf(host); got != want {
			t.Errorf("DialectOf(%q) = %d; want %d", host, got, want)
		}
	}
}

func TestDialectsAreInOrder(t *testing.T) {
	t.Parallel()
	for d := range dialectCount {
		if known := len(dialects[d].hosts) > 0; known != (d != DialectUnknown) {
			t.Errorf("dialect %d has hosts: %v", d, known)
		}
		for _, name := range dialects[d].marks {
			if http.CanonicalHeaderKey(name) != name {
				t.Errorf("dialect %d: the mark %s is not in canonical form", d, name)
			}
		}
		for after := range dialects[d].periods {
			if row, _, ok := find(usual + kinds[0] + after); !ok || rows[row].period != 0 {
				t.Errorf("dialect %d tells the period of %s, which is no header without one", d, after)
			}
		}
	}
}

func TestMostAnswersNeedNoSecondLook(t *testing.T) {
	t.Parallel()
	for d := range dialectCount {
		rules := d.rules()
		if !rules.silent(nil) || !rules.silent(queued(jsonType())) {
			t.Errorf("dialect %d looks for limits where there are none", d)
		}
		if rules.silent(header("X-Ratelimit-Limit-Tokens: 5")) || rules.silent(header("RateLimit: a;r=5")) {
			t.Errorf("dialect %d does not look for limits where there are some", d)
		}
	}
}

func FuzzDialectOf(f *testing.F) {
	f.Add("api.groq.com")
	f.Add("..groq.com")
	f.Fuzz(func(t *testing.T, host string) {
		if d := DialectOf(host); d >= dialectCount {
			t.Fatalf("DialectOf(%q) = %d; want a dialect", host, d)
		}
	})
}

func ExampleDialectOf() {
	fmt.Println(DialectOf("api.groq.com") == DialectGroq, DialectOf("llm.example.com") == DialectUnknown)
	// Output: true true
}
