package coalesce

import (
	"net/http"
	"testing"
)

func TestAStarStandsForAnyText(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"*", "nvidia/nv-embed-v1", true},
		{"nvidia/nv-embed-v1", "nvidia/nv-embed-v1", true},
		{"nvidia/nv-embed-v1", "nvidia/nv-embed-v10", false},
		{"nvidia/*", "nvidia/nv-embed-v1", true},
		{"nvidia/*", "nvidia", false},
		{"*embed*", "nvidia/nv-embed-v1", true},
		{"*embed*", "meta/llama", false},
		{"*-v1", "nvidia/nv-embed-v1", true},
		{"*-v1", "nvidia/nv-embed-v1-large", false},
		{"a*a", "a", false},
		{"a*a", "aa", true},
		{"a*b*c", "a-b-b-c", true},
		{"a*b*c", "a-c-b", false},
		{"**", "x", true},
		{"a*b*b", "ab", false},
	} {
		if got := matches(test.pattern, test.text); got != test.want {
			t.Errorf("matches(%q, %q) = %t; want %t", test.pattern, test.text, got, test.want)
		}
	}
}

func TestRulesWantPathAndModel(t *testing.T) {
	t.Parallel()
	r := Rules{Models: []string{"a/*", "b"}, Paths: []string{"/embeddings"}}
	for _, test := range []struct {
		path, model string
		want        bool
	}{
		{"/embeddings", "a/x", true},
		{"/embeddings", "b", true},
		{"/embeddings", "c", false},
		{"/embeddings/", "b", false},
		{"/completions", "b", false},
	} {
		if got := r.match(test.path, test.model); got != test.want {
			t.Errorf("match(%q, %q) = %t; want %t", test.path, test.model, got, test.want)
		}
	}
	if (Rules{}).match("/embeddings", "") {
		t.Error("the zero Rules name a request; want none")
	}
}

func TestOnlyWhatIsDeterministicIsRepeatable(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		path, body string
		want       bool
	}{
		{"/embeddings", `{"input":"x"}`, true},
		{"/ranking", `{"query":{},"temperature":1}`, true},
		{"/chat/completions", `{"temperature":0}`, true},
		{"/chat/completions", `{"temperature":0.0,"n":1,"best_of":null,"store":false,"stream":true}`, true},
		{"/chat/completions", `{"temperature":-0e5}`, true},
		{"/chat/completions", `{}`, false},
		{"/chat/completions", `{"temperature":null}`, false},
		{"/chat/completions", `{"temperature":"0"}`, false},
		{"/chat/completions", `{"temperature":0.01}`, false},
		{"/chat/completions", `{"seed":7}`, false},
		{"/chat/completions", `{"seed":7,"temperature":1}`, false},
		{"/chat/completions", `{"temperature":0,"n":2}`, false},
		{"/chat/completions", `{"temperature":0,"n":"1"}`, false},
		{"/chat/completions", `{"temperature":0,"store":true}`, false},
		{"/chat/completions", `{"temperature":0,"web_search_options":{}}`, false},
		{"/chat/completions", `{"temperature":0,"web_search_options":null}`, true},
		{"/chat/completions", `{"temperature":0,"tools":[]}`, true},
		{"/chat/completions", `{"temperature":0,"tools":[{"type":"function"},{"type":"custom"}]}`, true},
		{"/chat/completions", `{"temperature":0,"tools":[{"type":"function"},{"type":"web_search"}]}`, false},
		{"/chat/completions", `{"temperature":0,"tools":[{"type":"function","type":"web_search"}]}`, false},
		{"/chat/completions", `{"temperature":0,"tools":[7]}`, false},
		{"/chat/completions", `{"temperature":0,"tools":{}}`, false},
		{"/messages", `{"temperature":0,"tools":[{"name":"read","input_schema":{}}]}`, true},
		{"/messages", `{"temperature":0,"tools":[{"type":"web_search_20250305","name":"web_search"}]}`, false},
		{"/messages", `{"temperature":0,"mcp_servers":[{}]}`, false},
		{"/messages", `{"temperature":0,"container":"c"}`, false},
		{"/completions", `{"temperature":0,"prompt":"x"}`, true},
		{"/completions", `{"temperature":0,"best_of":3}`, false},
		{"/responses", `{"temperature":0}`, false},
		{"/responses", `{"temperature":0,"store":false}`, true},
		{"/responses", `{"temperature":0,"store":false,"background":false}`, true},
		{"/responses", `{"temperature":0,"store":false,"background":true}`, false},
		{"/responses", `{"temperature":0,"store":false,"previous_response_id":"r"}`, false},
		{"/responses", `{"temperature":0,"store":false,"conversation":"c"}`, false},
		{"/responses", `{"temperature":0,"store":false,"prompt":{"id":"p"}}`, false},
	} {
		body, ok := readForm([]byte(test.body))
		if !ok {
			t.Fatalf("readForm(%s) = false; want true", test.body)
		}
		if got := paths[test.path].repeatable(body); got != test.want {
			t.Errorf("%s %s is repeatable: %t; want %t", test.path, test.body, got, test.want)
		}
	}
}

func TestCacheControlIsReadByDirective(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		values         []string
		fresh, private bool
	}{
		{nil, false, false},
		{[]string{"max-age=60"}, false, false},
		{[]string{"no-cache"}, true, false},
		{[]string{"No-Store"}, false, true},
		{[]string{"max-age=0, no-cache , no-transform"}, true, false},
		{[]string{"no-cache", "no-store"}, true, true},
		{[]string{"x-no-cache"}, false, false},
	} {
		fresh, private := directives(http.Header{"Cache-Control": test.values})
		if fresh != test.fresh || private != test.private {
			t.Errorf("directives(%q) = %t, %t; want %t, %t", test.values, fresh, private, test.fresh, test.private)
		}
	}
}
