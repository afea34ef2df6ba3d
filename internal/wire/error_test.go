package wire

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestDialectOfGoesByThePath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]Dialect{
		"/v1/messages":                      Anthropic,
		"/v1/messages/count_tokens":         Anthropic,
		"/v1/messages/batches/b/results":    Anthropic,
		"/anthropic/v1/messages":            Anthropic,
		"/anthropic/v1/messages/batches":    Anthropic,
		"/v1/chat/completions":              OpenAI,
		"/v1/messagesx":                     OpenAI,
		"/a/b/v1/messages":                  OpenAI,
		"/v1/x/v1/messages":                 OpenAI,
		"/v1":                               OpenAI,
		"/":                                 OpenAI,
		"":                                  OpenAI,
		"v1/messages":                       OpenAI,
		"/nvidia/v1/chat/completions":       OpenAI,
		"/v1/messagesx/v1/messages":         OpenAI,
		"/v1/models/v1/messages":            OpenAI,
		"/v1/threads/thread_1/messages":     OpenAI,
		"/openai/v1/threads/thread/message": OpenAI,
	} {
		if got := DialectOf(path); got != want {
			t.Errorf("DialectOf(%q) = %d; want %d", path, got, want)
		}
	}
}

// contract is the table of CONTRACT section 5, with the advice that the answers give to SDKs: "" is none.
var contract = []struct {
	reason Reason
	word   string
	status int
	retry  string
}{
	{QueueFull, "queue_full", 429, "true"},
	{Displaced, "displaced", 429, "true"},
	{QueueTimeout, "queue_timeout", 503, "true"},
	{Deadline, "deadline", 503, "false"},
	{UpstreamRateLimited, "upstream_rate_limited", 429, "true"},
	{UpstreamUnreachable, "upstream_unreachable", 502, "true"},
	{UpstreamTimeout, "upstream_timeout", 504, ""},
	{Draining, "draining", 503, "true"},
	{BodyTooLarge, "body_too_large", 413, ""},
	{BadRequest, "bad_request", 400, ""},
	{Overloaded, "overloaded", 503, "true"},
	{StoreUnavailable, "store_unavailable", 507, ""},
	{Unauthorized, "unauthorized", 401, ""},
	{ForbiddenHost, "forbidden_host", 403, ""},
	{ForbiddenOrigin, "forbidden_origin", 403, ""},
	{Cancelled, "cancelled", 499, "false"},
}

// anthropicTypes are the error types of Anthropic's documentation.
const anthropicTypes = " invalid_request_error authentication_error permission_error not_found_error request_too_large rate_limit_error api_error overloaded_error "

func TestEveryReasonIsRenderedAsTheContractSays(t *testing.T) {
	t.Parallel()
	if len(contract) != len(reasons) {
		t.Errorf("the contract has %d reasons, the table %d", len(contract), len(reasons))
	}
	for _, want := range contract {
		if string(want.reason) != want.word {
			t.Errorf("reason %q; want the word %q", want.reason, want.word)
		}
		for _, d := range []Dialect{OpenAI, Anthropic} {
			status, h, body := Error{Reason: want.reason}.Render(d, "req_1")
			if status != want.status {
				t.Errorf("%s: status %d; want %d", want.reason, status, want.status)
			}
			if got := h.Get("X-Sidecar-Reason"); got != want.word {
				t.Errorf("%s: X-Sidecar-Reason %q", want.reason, got)
			}
			if got := h.Get("Content-Type"); got != "application/json" {
				t.Errorf("%s: Content-Type %q", want.reason, got)
			}
			if got := h.Get("X-Should-Retry"); got != want.retry {
				t.Errorf("%s: x-should-retry %q; want %q", want.reason, got, want.retry)
			}
			if got, has := h.Get("Retry-After"), want.retry == "true"; (got == "1") != has || (h.Get("Retry-After-Ms") == "1000") != has {
				t.Errorf("%s: Retry-After %q, retry-after-ms %q; want a second where a retry makes sense, else nothing", want.reason, got, h.Get("Retry-After-Ms"))
			}
			checkShape(t, d, body, want.word)
		}
	}
}

// checkShape parses an error body as SDKs do. code is what an OpenAI body must have as its code.
func checkShape(t *testing.T, d Dialect, body []byte, code string) (message string) {
	t.Helper()
	var got struct {
		Type      string
		RequestID string `json:"request_id"`
		Error     *struct {
			Message, Type string
			Param, Code   *string
		}
	}
	if err := json.Unmarshal(body, &got); err != nil || got.Error == nil {
		t.Fatalf("body %s: %v; want JSON with an error member", body, err)
	}
	if got.Error.Message == "" || got.Error.Type == "" {
		t.Errorf("body %s; want a message and a type", body)
	}
	switch d {
	case Anthropic:
		if got.Type != "error" || got.RequestID != "req_1" || !strings.Contains(anthropicTypes, " "+got.Error.Type+" ") {
			t.Errorf("body %s; want type error, the request's id, and a type that Anthropic has", body)
		}
	default:
		for _, name := range []string{`"message":`, `"type":`, `"param":`, `"code":`} {
			if !strings.Contains(string(body), name) {
				t.Errorf("body %s; want the member %s, be it null", body, name)
			}
		}
		if (got.Error.Code == nil) != (code == "") || got.Error.Code != nil && *got.Error.Code != code {
			t.Errorf("body %s; want code %q", body, code)
		}
	}
	return got.Error.Message
}

func TestTheShapesAreTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	e := Error{Reason: QueueTimeout, Message: `waited "long" <b>`}
	_, _, body := e.Render(OpenAI, "req_1")
	if want := `{"error":{"message":"waited \"long\" \u003cb\u003e","type":"rate_limit_error","param":null,"code":"queue_timeout"}}`; string(body) != want {
		t.Errorf("OpenAI body %s; want %s", body, want)
	}
	_, _, body = e.Render(Anthropic, "req_1")
	if want := `{"type":"error","error":{"type":"overloaded_error","message":"waited \"long\" \u003cb\u003e"},"request_id":"req_1"}`; string(body) != want {
		t.Errorf("Anthropic body %s; want %s", body, want)
	}
	_, _, body = Error{Reason: BadRequest, Param: "X-Sidecar-Priority"}.Render(OpenAI, "req_1")
	if want := `"param":"X-Sidecar-Priority","code":"bad_request"`; !strings.Contains(string(body), want) {
		t.Errorf("body %s; want %s in it", body, want)
	}
}

func TestRetryAfterIsWholeSecondsFromOneToSixty(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		wait        time.Duration
		seconds, ms string
	}{
		{0, "1", "1000"},
		{-time.Hour, "1", "1000"},
		{time.Nanosecond, "1", "1"},
		{150 * time.Millisecond, "1", "150"},
		{time.Second, "1", "1000"},
		{1001 * time.Millisecond, "2", "1001"},
		{2500 * time.Millisecond, "3", "2500"},
		{time.Minute - 1, "60", "60000"},
		{time.Minute, "60", "60000"},
		{time.Hour, "60", "60000"},
		{1<<63 - 1, "60", "60000"},
		{-1 << 63, "1", "1000"},
	} {
		_, h, _ := Error{Reason: QueueFull, RetryAfter: tt.wait}.Render(OpenAI, "")
		if h.Get("Retry-After") != tt.seconds || h.Get("retry-after-ms") != tt.ms {
			t.Errorf("RetryAfter %s: Retry-After %s, retry-after-ms %s; want %s, %s", tt.wait, h.Get("Retry-After"), h.Get("retry-after-ms"), tt.seconds, tt.ms)
		}
	}
}

func TestARetryThatMakesNoSenseIsNotAdvised(t *testing.T) {
	t.Parallel()
	for _, e := range []Error{{Reason: QueueTimeout, NoRetry: true, RetryAfter: time.Second}, {Reason: Deadline, RetryAfter: time.Second}} {
		_, h, _ := e.Render(OpenAI, "")
		if h.Get("X-Should-Retry") != "false" || len(h["Retry-After"])+len(h["Retry-After-Ms"]) > 0 {
			t.Errorf("%+v: headers %v; want x-should-retry: false and no time to wait", e, h)
		}
	}
}

func TestAnOtherStatusBringsItsType(t *testing.T) {
	t.Parallel()
	for status, want := range map[int][2]string{
		http.StatusRequestTimeout:   {"invalid_request_error", "invalid_request_error"},
		http.StatusNotFound:         {"not_found_error", "not_found_error"},
		http.StatusMethodNotAllowed: {"invalid_request_error", "invalid_request_error"},
		http.StatusUpgradeRequired:  {"invalid_request_error", "invalid_request_error"},
		431:                         {"invalid_request_error", "invalid_request_error"},
	} {
		for d, kind := range want {
			got, _, body := Error{Reason: BadRequest, Status: status}.Render(Dialect(d), "req_1")
			if got != status || !strings.Contains(string(body), `"type":"`+kind+`"`) {
				t.Errorf("status %d, dialect %d: %d %s; want type %s", status, d, got, body, kind)
			}
		}
	}
}

func TestAnUnknownReasonIsAnInternalError(t *testing.T) {
	t.Parallel()
	for _, d := range []Dialect{OpenAI, Anthropic} {
		status, _, body := Error{Reason: "new", Message: "x"}.Render(d, "req_1")
		if status != http.StatusInternalServerError {
			t.Errorf("status %d; want 500", status)
		}
		checkShape(t, d, body, "new")
	}
}

func TestStreamErrorIsOneEvent(t *testing.T) {
	t.Parallel()
	e := Error{Reason: UpstreamUnreachable, Message: "line one\nline two"}
	for d, prefix := range map[Dialect]string{OpenAI: "data: ", Anthropic: "event: error\ndata: "} {
		event := string(StreamError(d, e, "req_1"))
		body, ok := strings.CutPrefix(event, prefix)
		body, end := strings.CutSuffix(body, "\n\n")
		if !ok || !end || strings.ContainsAny(body, "\r\n") {
			t.Fatalf("dialect %d: %q; want %s, one line of JSON, a blank line", d, event, prefix)
		}
		if got := checkShape(t, d, []byte(body), "upstream_unreachable"); got != e.Message {
			t.Errorf("message %q; want %q", got, e.Message)
		}
	}
}

func FuzzRender(f *testing.F) {
	f.Add("queue_full", "message", "param", int64(time.Second), 0)
	f.Add("", "\xff\x00</script>", "\"", int64(-1), 529)
	f.Fuzz(func(t *testing.T, reason, message, param string, wait int64, status int) {
		for _, d := range []Dialect{OpenAI, Anthropic} {
			_, h, body := Error{Reason: Reason(reason), Status: status, Message: message, Param: param, RetryAfter: time.Duration(wait)}.Render(d, "req_1")
			if !json.Valid(body) {
				t.Fatalf("body %q is not JSON", body)
			}
			if seconds := h.Get("Retry-After"); seconds != "" {
				if n, err := strconv.Atoi(seconds); err != nil || n < 1 || n > 60 {
					t.Fatalf("Retry-After %q; want 1 to 60", seconds)
				}
			}
		}
	})
}

// BenchmarkRender is what a full queue answers thousands of times. Budget: 2 µs, 15 allocations.
func BenchmarkRender(b *testing.B) {
	e := Error{Reason: QueueFull, RetryAfter: 2500 * time.Millisecond}
	b.ReportAllocs()
	for b.Loop() {
		if status, _, _ := e.Render(OpenAI, "req_1"); status != 429 {
			b.Fatal(status)
		}
	}
}

func ExampleError_Render() {
	e := Error{Reason: QueueFull, Message: "the queue is full (queue.capacity)", RetryAfter: 2500 * time.Millisecond}
	status, h, body := e.Render(OpenAI, "req_1")
	fmt.Println(status, h.Get("Retry-After"), h.Get("Retry-After-Ms"), h.Get("X-Should-Retry"))
	fmt.Println(string(body))
	// Output:
	// 429 3 2500 true
	// {"error":{"message":"the queue is full (queue.capacity)","type":"rate_limit_error","param":null,"code":"queue_full"}}
}
