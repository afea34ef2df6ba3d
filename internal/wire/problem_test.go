package wire

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestTranslateProblemKeepsWhatTheUpstreamSays(t *testing.T) {
	t.Parallel()
	const pj, text = "application/problem+json", "text/plain; charset=utf-8"
	for _, tt := range []struct {
		name, contentType, body string
		status                  int
		want                    string // the message; empty = passed on as it is
	}{
		{"quota", pj, `{"status":429,"title":"Too Many Requests"}`, 429, "Too Many Requests"},
		{"with the operator's text", pj, `{"detail":"Try again later.","status":429,"title":"Too Many Requests"}`, 429, "Too Many Requests: Try again later."},
		{"with a type", pj, `{"type":"about:blank","title":"Gone","status":410,"detail":"The model 'x' has reached its end of life."}`, 410, "Gone: The model 'x' has reached its end of life."},
		{"labelled as something else", "application/octet-stream", `{"status":400,"title":"Bad Request","detail":"no"}`, 400, "Bad Request: no"},
		{"the worker's validation", "application/json", `{"message":"bad effort","type":"Bad Request","code":400}`, 400, "bad effort"},
		{"the newer gateway", "application/json", `{"message":"rate limit exceeded"}`, 429, "rate limit exceeded"},
		{"a list of findings", "application/json", `{"detail":[{"loc":["body","model"],"msg":"field required"}]}`, 422, `[{"loc":["body","model"],"msg":"field required"}]`},
		{"a long list of findings", "application/json", `{"detail":["` + strings.Repeat("x", maxDetail) + `"]}`, 422, ""},
		{"escapes", "", ` {"title":"a \"b\"\n","detail":null} `, 500, "a \"b\"\n"},
		{"unknown path", text, "404 page not found\n", 404, "404 page not found"},
		{"no credential", text, "Header of type `authorization` was missing", 401, "Header of type `authorization` was missing"},
		{"unreadable credential", text, "Unauthorized access", 401, "Unauthorized access"},
		{"broken JSON", "", "failed to decode json body: EOF", 500, "failed to decode json body: EOF"},
		{"unknown model", text, "Model does not exist by the name of x", 404, "Model does not exist by the name of x"},
		{"reserved header", text, "reserved header in external request", 400, "reserved header in external request"},
		{"empty", "", "", 504, "Gateway Timeout (the upstream's answer was empty)"},
		{"blank", text, " \n", 529, "(the upstream's answer was empty)"},

		{"in shape", "application/json", `{"error":{"message":"x","type":"y"}}`, 400, ""},
		{"in shape, labelled as text", text, `{"error":{"message":"model field is required","type":"invalid_request_error","param":null,"code":"missing_required_field"}}`, 400, ""},
		{"Anthropic's shape", "application/json", `{"type":"error","error":{"type":"api_error","message":"x"}}`, 500, ""},
		{"both", "application/json", `{"error":"x","message":"y","title":"z"}`, 500, ""},
		{"says nothing", "application/json", `{"status":500}`, 500, ""},
		{"JSON that is cut", "application/json", `{"title":"x"`, 500, ""},
		{"an array", "application/json", `["x"]`, 500, ""},
		{"unknown text", text, "upstream connect error", 503, ""},
		{"a page", "text/html", "404 page not found", 404, ""},
		{"compressed", pj, "\x1f\x8b\x08\x00", 429, ""},
	} {
		for _, d := range []Dialect{OpenAI, Anthropic} {
			got, ok := TranslateProblem(d, tt.status, tt.contentType, []byte(tt.body), "req_1")
			if ok != (tt.want != "") || !ok && got != nil {
				t.Errorf("%s: TranslateProblem(%q) = %q, %v; want ok %v", tt.name, tt.body, got, ok, tt.want != "")
				continue
			}
			if ok {
				if message := checkShape(t, d, got, ""); message != tt.want {
					t.Errorf("%s: message %q; want %q", tt.name, message, tt.want)
				}
			}
		}
	}
}

func TestTranslateProblemKeepsParamAndCode(t *testing.T) {
	t.Parallel()
	got, ok := TranslateProblem(OpenAI, 404, "", []byte(`{"object":"error","message":"no such model","type":"NotFoundError","param":"model","code":"gone"}`), "")
	if want := `{"error":{"message":"no such model","type":"not_found_error","param":"model","code":"gone"}}`; !ok || string(got) != want {
		t.Errorf("TranslateProblem() = %s, %v; want %s", got, ok, want)
	}
}

func TestTypesGoByTheStatus(t *testing.T) {
	t.Parallel()
	for status, want := range map[int][2]string{
		400: {"invalid_request_error", "invalid_request_error"},
		401: {"authentication_error", "authentication_error"},
		402: {"invalid_request_error", "invalid_request_error"},
		403: {"permission_error", "permission_error"},
		404: {"not_found_error", "not_found_error"},
		410: {"invalid_request_error", "invalid_request_error"},
		413: {"invalid_request_error", "request_too_large"},
		429: {"rate_limit_error", "rate_limit_error"},
		500: {"server_error", "api_error"},
		502: {"server_error", "api_error"},
		503: {"server_error", "overloaded_error"},
		504: {"server_error", "api_error"},
		529: {"server_error", "overloaded_error"},
	} {
		for d, kind := range want {
			if got := kindOf(Dialect(d), status); got != kind {
				t.Errorf("kindOf(%d, %d) = %s; want %s", d, status, got, kind)
			}
		}
	}
}

func FuzzTranslateProblem(f *testing.F) {
	f.Add(429, "application/problem+json", []byte(`{"status":429,"title":"Too Many Requests","detail":"x"}`))
	f.Add(404, "text/plain", []byte("404 page not found\n"))
	f.Add(400, "", []byte(`{"error":{"message":"x"}}`))
	f.Add(504, "", []byte(nil))
	f.Fuzz(func(t *testing.T, status int, contentType string, body []byte) {
		for _, d := range []Dialect{OpenAI, Anthropic} {
			got, ok := TranslateProblem(d, status, contentType, body, "req_1")
			if ok != (got != nil) {
				t.Fatalf("TranslateProblem(%q) = %q, %v", body, got, ok)
			}
			if ok {
				var shaped map[string]json.RawMessage
				if err := json.Unmarshal(got, &shaped); err != nil || shaped["error"] == nil {
					t.Fatalf("TranslateProblem(%q) = %q; want JSON with an error member", body, got)
				}
				if _, again := TranslateProblem(d, status, contentType, got, "req_1"); again {
					t.Fatalf("TranslateProblem translates its own result %q", got)
				}
			}
		}
	})
}

func ExampleTranslateProblem() {
	body := []byte(`{"status":404,"title":"Not Found","detail":"Function 'f': Not found for account 'a'"}`)
	translated, _ := TranslateProblem(OpenAI, 404, "application/problem+json", body, "req_1")
	fmt.Println(string(translated))
	// Output: {"error":{"message":"Not Found: Function 'f': Not found for account 'a'","type":"not_found_error","param":null,"code":null}}
}
