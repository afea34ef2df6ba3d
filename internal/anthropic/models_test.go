package anthropic_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"nimsidecar/internal/anthropic"
)

func TestModelsListsTheSameModels(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, in, want string }{
		{
			"two", `{"object":"list","data":[{"id":"meta/llama","object":"model","created":735790403,"owned_by":"meta"},{"id":"b"}]}`,
			`{"data":[{"type":"model","id":"meta/llama","display_name":"meta/llama","created_at":"1993-04-26T02:13:23Z"},{"type":"model","id":"b","display_name":"b","created_at":"1970-01-01T00:00:00Z"}],"has_more":false,"first_id":"meta/llama","last_id":"b"}`,
		},
		{"none", `{"object":"list","data":[]}`, `{"data":[],"has_more":false,"first_id":null,"last_id":null}`},
		{
			"times that are none", `{"data":[{"id":"a","created":-1},{"id":"b","created":99999999999999},{"id":"c","created":1.5}]}`,
			`{"data":[{"type":"model","id":"a","display_name":"a","created_at":"1970-01-01T00:00:00Z"},{"type":"model","id":"b","display_name":"b","created_at":"1970-01-01T00:00:00Z"},{"type":"model","id":"c","display_name":"c","created_at":"1970-01-01T00:00:00Z"}],"has_more":false,"first_id":"a","last_id":"c"}`,
		},
	} {
		if got, err := anthropic.Models([]byte(tt.in)); err != nil || string(got) != tt.want {
			t.Errorf("%s: Models(%s) = %s, %v; want %s", tt.name, tt.in, got, err, tt.want)
		}
	}
	if got, err := anthropic.Models([]byte(`<html>`)); err == nil {
		t.Errorf("Models(<html>) = %s; want an error", got)
	}
}

func TestCountTokensFollowsItsFormula(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, members string
		want          int
	}{
		{"one word", `"messages":[{"role":"user","content":"word"}]`, 3 + 4 + 1},
		{"system text too", `"system":"1234567","messages":[{"role":"user","content":"12345"}]`, 3 + 4 + 4 + 3},
		{"the billing line is not sent", `"system":"x-anthropic-billing-header: cch=1;","messages":[{"role":"user","content":"word"}]`, 3 + 4 + 1},
		{"a picture", `"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + strings.Repeat("A", 9999) + `"}}]}]`, 3 + 4 + 1500},
		{"a tool", `"tools":[{"name":"look","description":"it looks","input_schema":{ "type" : "object" }}],"messages":[{"role":"user","content":"word"}]`, 3 + 4 + 8 + 9}, // 4+8+17+4 = 33 bytes
		{
			"a call and its result", `"messages":[{"role":"user","content":"word"},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"look","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"123456"}]}]`,
			3 + 3*4 + 8 + 1 + 4, // 4+2+6 = 12 bytes
		},
		{
			"thinking that is sent", `"thinking":{"type":"enabled"},"messages":[{"role":"user","content":"word"},{"role":"assistant","content":[{"type":"thinking","thinking":"1234"}]}]`,
			3 + 2*4 + 2,
		},
		{"text in another script", `"messages":[{"role":"user","content":"十二"}]`, 3 + 4 + 2},
	} {
		if got, err := anthropic.CountTokens([]byte(`{"model":"m",` + tt.members + `}`)); err != nil || got != tt.want {
			t.Errorf("%s: CountTokens(%s) = %d, %v; want %d", tt.name, tt.members, got, err, tt.want)
		}
	}
	for _, body := range []string{`{`, `{"model":"m"}`} {
		_, err := anthropic.CountTokens([]byte(body))
		if _, ok := errors.AsType[*anthropic.Error](err); !ok {
			t.Errorf("CountTokens(%s) = %v; want an *Error", body, err)
		}
	}
}

func TestTranslateErrorBringsAnErrorIntoAnthropicsShape(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body string
		status     int
		want       string // empty = it is not translated
	}{
		{"a limit", `{"error":{"message":"slow <down>","type":"requests","code":"rate_limit_exceeded"}}`, 429, `{"type":"error","error":{"type":"rate_limit_error","message":"slow <down>"},"request_id":"r1"}`},
		{"a mistake", `{"error":{"message":"no","type":"BadRequestError","param":null,"code":400}}`, 400, `{"type":"error","error":{"type":"invalid_request_error","message":"no"},"request_id":"r1"}`},
		{"a mistake of another kind", `{"error":{"message":"no"}}`, 422, `{"type":"error","error":{"type":"invalid_request_error","message":"no"},"request_id":"r1"}`},
		{"a key", `{"error":{"message":"who?"}}`, 401, `{"type":"error","error":{"type":"authentication_error","message":"who?"},"request_id":"r1"}`},
		{"a failure", `{"error":{"message":"oh"}}`, 500, `{"type":"error","error":{"type":"api_error","message":"oh"},"request_id":"r1"}`},
		{"a text", `{"error":"oh"}`, 529, `{"type":"error","error":{"type":"overloaded_error","message":"oh"},"request_id":"r1"}`},
		{"something else", `{"error":[1]}`, 500, `{"type":"error","error":{"type":"api_error","message":"[1]"},"request_id":"r1"}`},
		{"Anthropic's shape", `{"type":"error","error":{"type":"api_error","message":"x"}}`, 500, ``},
		{"no error", `{"detail":"x"}`, 400, ``},
		{"a null", `{"error":null}`, 400, ``},
		{"no JSON", `oh`, 500, ``},
	} {
		got, ok := anthropic.TranslateError(tt.status, []byte(tt.body), "r1")
		if string(got) != tt.want || ok != (tt.want != "") {
			t.Errorf("%s: TranslateError(%d, %s) = %s, %v; want %s", tt.name, tt.status, tt.body, got, ok, tt.want)
		}
	}
}

func ExampleCountTokens() {
	n, err := anthropic.CountTokens([]byte(`{"model":"m","messages":[{"role":"user","content":"How long is a piece of string?"}]}`))
	fmt.Println(n, err)
	// Output: 15 <nil>
}
