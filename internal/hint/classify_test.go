package hint

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

// now is a fixed time: classification must not depend on the clock.
var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// The headers with which answers come.
func plain() http.Header    { return http.Header{"Content-Type": {"text/plain; charset=utf-8"}} }
func jsonType() http.Header { return http.Header{"Content-Type": {"application/json"}} }
func pj() http.Header       { return http.Header{"Content-Type": {"application/problem+json"}} }

// with adds headers to h.
func with(h http.Header, pairs ...string) http.Header {
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

// queued is an answer's head after the gateway's limiter and queue.
func queued(h http.Header) http.Header {
	return with(h, "Nvcf-Reqid", "4f0c3a52-0000-4000-8000-000000000001", "Nvcf-Status", "errored")
}

const offline = `{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"The model is taken offline."}`

// known are the answers that NVIDIA's gateway and its workers are known to give, byte for byte.
var known = []struct {
	name   string
	status int
	header http.Header
	body   string
	want   Class
}{
	{"quota", 429, pj(), `{"status":429,"title":"Too Many Requests"}`, Quota},
	{"quota with the operator's text", 429, pj(), `{"detail":"Try again later or use a partner endpoint.","status":429,"title":"Too Many Requests"}`, Quota},
	{"work queue full", 429, pj(), `{"status":429,"title":"Too Many Requests","detail":"nats: maximum messages exceeded"}`, QueueFull},
	{"other stream-store failure", 429, pj(), `{"status":429,"title":"Too Many Requests","detail":"nats: no response from stream"}`, Quota},
	{"the worker's own limit", 429, queued(jsonType()), `{"message":"slow down"}`, QueueFull},
	{"quota of the newer gateway", 429, with(jsonType(), "Retry-After", "12"), `{"message":"rate limit exceeded"}`, Quota},
	{"workers exhausted", 503, queued(jsonType()), `{"message":"ResourceExhausted: Worker local total request limit reached (71/32)"}`, WorkerExhausted},
	{"all workers busy", 503, queued(jsonType()), `{"message":"ResourceExhausted: All workers are busy, please retry later","type":"Service Unavailable","code":503}`, WorkerExhausted},
	{"all workers busy, through a reseller", 502, jsonType(), `{"error":{"message":"Upstream: ResourceExhausted: All workers are busy, please retry later"}}`, WorkerExhausted},
	{"temporarily overloaded", 503, jsonType(), `{"message":"Service temporarily overloaded"}`, WorkerExhausted},
	{"exhausted under 429", 429, pj(), `{"status":429,"title":"ResourceExhausted"}`, WorkerExhausted},
	{"exhausted under 400", 400, jsonType(), `{"message":"ResourceExhausted: All workers are busy, please retry later","type":"Bad Request","code":400}`, WorkerExhausted},
	{"exhausted as the first event of a stream", 200, jsonType(), `{"error":{"message":"ResourceExhausted: Worker local total request limit reached (33/32)","code":503}}`, WorkerExhausted},
	{"overload of one model", 529, http.Header{}, ``, WorkerExhausted},
	{"taken offline", 503, with(pj(), "Retry-After", "10800"), offline, Offline},
	{"taken offline for an hour", 503, with(pj(), "Retry-After", "3600"), offline, Offline},
	{"control plane in trouble", 503, pj(), `{"status":503,"title":"Service Unavailable","detail":"upstream connect error"}`, Transient},
	{"busy for a minute", 503, with(pj(), "Retry-After", "60"), offline, Transient},
	{"no worker took the job", 504, queued(http.Header{}), ``, NoWorker},
	{"authorisation service too slow", 504, pj(), `{"status":504,"title":"Gateway Timeout","detail":"deadline exceeded"}`, Transient},
	{"the worker is gone", 504, pj(), `{"status":504,"title":"Gateway Timeout","detail":"worker did not acknowledge the status request."}`, Transient},
	{"a 504 of something in front", 504, http.Header{}, ``, Transient},
	{"gateway could not reach the next part", 502, pj(), `{"type":"about:blank","title":"Bad Gateway","status":502,"detail":"Upstream request failed."}`, Transient},
	{"inside the gateway", 500, pj(), `{"status":500,"title":"Internal Server Error","detail":"a; cause: b"}`, UpstreamError},
	{"body too large for the queue", 500, pj(), `{"status":500,"title":"Internal Server Error","detail":"payload size exceeds 6MB"}`, ClientError},
	{"the client's JSON is broken", 500, plain(), `failed to decode json body: unexpected EOF`, ClientError},
	{"the gateway's overall limit", 408, http.Header{}, ``, Transient},
	{"degraded", 400, pj(), `{"status":400,"title":"Bad Request","detail":"Function id '0f1e2d3c-0000-4000-8000-000000000002': DEGRADED function cannot be invoked"}`, Degraded},
	{"poll seconds", 400, pj(), `{"status":400,"title":"Bad Request","detail":"failed to parse poll duration"}`, ClientError},
	{"upload broken off", 400, pj(), `{"status":400,"title":"Bad Request","detail":"failed to read request body: connection reset"}`, ClientError},
	{"body over 25 MiB", 400, http.Header{}, `{"error":{"message":"Please make sure your payload is below 26214400 bytes in size. If larger assets are required please refer to our Assets API.","type":"invalid_request_error","param":null,"code":"invalid_image_format"}}`, ClientError},
	{"no model", 400, plain(), `{"error":{"message":"model field is required","type":"invalid_request_error","param":null,"code":"missing_required_field"}}`, ClientError},
	{"reserved header", 400, plain(), "reserved header in external request", ClientError},
	{"X-Priority on the newer gateway", 400, jsonType(), `{"message":"X-Priority is a reserved header and cannot be set by the client"}`, ClientError},
	{"the worker's validation", 400, queued(jsonType()), `{"message":"unsupported reasoning_effort","type":"Bad Request","code":400}`, ClientError},
	{"no credential", 401, plain(), "Header of type `authorization` was missing", KeyDead},
	{"unreadable credential", 401, plain(), "Unauthorized access", KeyDead},
	{"bad credential", 401, jsonType(), `{"status":401,"title":"Unauthorized","detail":"Authentication failed"}`, KeyDead},
	{"credits", 402, pj(), `{"status":402,"title":"Payment Required","detail":"Account 'abc': Cloud credits expired - Please contact NVIDIA representatives"}`, Credits},
	{"402 of another provider", 402, http.Header{}, ``, Credits},
	{"credits under 403", 403, pj(), `{"status":403,"title":"Forbidden","detail":"Account 'abc': Cloud credits expired - Please contact NVIDIA representatives"}`, Credits},
	{"credits under 500", 500, pj(), `{"status":500,"title":"Internal Server Error","detail":"grpc; cause: Cloud credits expired"}`, Credits},
	{"key not valid any more", 403, jsonType(), `{"status":403,"title":"Forbidden","detail":"Authorization failed"}`, KeyDead},
	{"not shared", 403, pj(), `{"status":403,"title":"Forbidden","detail":"Function 'f':  Not shared with the account 'a'"}`, NotEntitled},
	{"key too narrow", 403, pj(), `{"status":403,"title":"Forbidden","detail":"Function 'f': Missing resource entry in ApiKey for the function"}`, NotEntitled},
	{"a filter in front", 403, with(http.Header{}, "Content-Type", "text/html"), "<html>Access denied</html>", Forbidden},
	{"unknown model or path", 404, plain(), "404 page not found\n", UnknownModel},
	{"not for this account", 404, pj(), `{"status":404,"title":"Not Found","detail":"Function '0f1e': Not found for account 'a'"}`, NotEntitled},
	{"version not for this account", 404, pj(), `{"status":404,"title":"Not Found","detail":"Function id '0f', version '1e': Not found for account 'a'"}`, NotEntitled},
	{"no active version", 404, pj(), `{"status":404,"title":"Not Found","detail":"Function id '0f' version '1e': Specified function in account 'a' is not found"}`, Inactive},
	{"GET of an unknown model", 404, plain(), "Model does not exist by the name of x/y", UnknownModel},
	{"end of life", 410, pj(), `{"type":"about:blank","title":"Gone","status":410,"detail":"The model 'x' has reached its end of life on 2026-01-01T00:00:00Z and is no longer available."}`, Gone},
	{"the job goes on elsewhere", 202, with(http.Header{}, "Nvcf-Reqid", "r", "Nvcf-Status", "in-progress"), ``, InProgress},
	{"a limit behind OpenRouter", 429, jsonType(), `{"error":{"message":"Provider returned error","code":429,"metadata":{"raw":"qwen/qwen3:free is temporarily rate-limited upstream. Please retry shortly.","provider_name":"Venice"}}}`, QueueFull},
	{"OpenAI's account without credits", 429, jsonType(), `{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`, Credits},
	{"Gemini's quota says the same sentence", 429, jsonType(), `{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.","status":"RESOURCE_EXHAUSTED"}}`, Quota},
	{"larger than OpenAI's limit", 429, jsonType(), `{"error":{"message":"Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Requested 34307. The input or output tokens must be reduced.","type":"tokens","code":"rate_limit_exceeded"}}`, ClientError},
	{"a quota that quotes another refusal", 429, jsonType(), `{"error":{"message":"slow down","last":"Request too large for gpt-4o"}}`, Quota},
	{"telemetry's 499", 499, pj(), `{"status":499,"title":"Client Closed Request"}`, ClientError},
	{"gRPC AlreadyExists", 409, pj(), `{"status":409,"title":"Conflict","detail":"x"}`, ClientError},
	{"gRPC FailedPrecondition", 412, pj(), `{"status":412,"title":"Precondition Failed","detail":"x"}`, ClientError},
	{"gRPC Unimplemented", 501, pj(), `{"status":501,"title":"Not Implemented","detail":"x"}`, UpstreamError},
	{"too large", 413, http.Header{}, ``, ClientError},
	{"not processable", 422, jsonType(), `{"detail":[{"loc":["body","model"],"msg":"field required"}]}`, ClientError},
	{"an answer", 200, queued(jsonType()), ``, OK},
	{"no content", 204, http.Header{}, ``, OK},
	{"a redirect is passed on", 302, http.Header{}, ``, OK},
	{"quota as the first event of a stream", 200, http.Header{}, `{"error":{"message":"slow down","type":"rate_limit_error","code":"rate_limit_exceeded"}}`, Quota},
	{"problem as the first event of a stream", 200, http.Header{}, `{"status":429,"title":"Too Many Requests"}`, Quota},
	{"another error as the first event of a stream", 200, http.Header{}, `{"error":{"message":"CUDA out of memory","code":500}}`, UpstreamError},
	{"Anthropic's error event", 200, http.Header{}, `{"type":"error","error":{"type":"api_error","message":"boom"}}`, UpstreamError},
	{"Anthropic's overload", 529, jsonType(), `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, WorkerExhausted},
}

func TestEveryKnownAnswerHasItsClass(t *testing.T) {
	t.Parallel()
	for _, tt := range known {
		got := Classify(now, Answer{Status: tt.status, Header: tt.header, Body: tt.body})
		if got.Class != tt.want || got.Status != tt.status || got.Fault != "" {
			t.Errorf("%s: Classify(%d) = %s, status %d, fault %q; want %s", tt.name, tt.status, got.Class, got.Status, got.Fault, tt.want)
		}
	}
}

func TestEveryRuleIsNeeded(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for _, tt := range known {
		for i := range rules {
			if rules[i].fits(Answer{Status: tt.status, Header: tt.header, Body: tt.body}.facts()) {
				used[rules[i].why] = true
				break
			}
		}
	}
	for _, r := range rules {
		if !used[r.why] {
			t.Errorf("no known answer is decided by the rule %q: add one to the table of known answers, or take the rule out", r.why)
		}
	}
}

// TestAnAnswerThatQuotesATextIsNotThatAnswer: validators repeat what the client sent, and clients send everything.
func TestAnAnswerThatQuotesATextIsNotThatAnswer(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"ResourceExhausted: Worker local total request limit reached (71/32)", "All workers are busy", "Service temporarily overloaded",
		"DEGRADED function cannot be invoked", "Cloud credits expired", "maximum messages exceeded", "Too Many Requests", "rate_limit",
		"Not found for account", "is not found", "Not shared with the account", "Authorization failed", "failed to decode json body",
	} {
		for name, body := range map[string]string{
			"in the message":         `{"error":{"message":"Invalid value: '` + text + `' is not one of low, high","type":"invalid_request_error"}}`,
			"in a worker's message":  `{"message":"unsupported content: '` + text + `'","type":"Bad Request","code":400}`,
			"in an echoed input":     `{"detail":[{"type":"missing","loc":["body","model"],"msg":"Field required","input":{"prompt":"` + text + `"}}]}`,
			"in another member":      `{"error":{"message":"bad request","param":"` + text + `"}}`,
			"in plain text":          `cannot parse: ` + text,
			"in JSON that is cut":    `{"message":"bad","input":"` + text,
			"in a list":              `["` + text + `"]`,
			"in an error of a wrong": `{"error":["` + text + `"],"message":7}`,
		} {
			for _, status := range []int{400, 413, 422} {
				got := Classify(now, Answer{Status: status, Header: queued(jsonType()), Body: body})
				if got.Class != ClientError {
					t.Errorf("%q %s, status %d: class %s; want client_error", text, name, status, got.Class)
				}
			}
		}
	}
}

func TestWhatADoneStreamQuotesIsNotRead(t *testing.T) {
	t.Parallel()
	got := Classify(now, Answer{Status: 200, Header: jsonType(), Body: ""})
	if got.Class != OK {
		t.Errorf("class %s; want ok", got.Class)
	}
}

func TestOnlyTheHeadOfALongBodyIsRead(t *testing.T) {
	t.Parallel()
	filler := strings.Repeat(" ", MaxBody)
	for body, want := range map[string]Class{
		filler + "ResourceExhausted":                                         Transient,
		filler[:MaxBody-len("ResourceExhausted")] + "ResourceExhausted tail": WorkerExhausted,
	} {
		if got := Classify(now, Answer{Status: 503, Header: http.Header{}, Body: body}); got.Class != want {
			t.Errorf("text at byte %d: class %s; want %s", strings.Index(body, "Res"), got.Class, want)
		}
	}
}

func TestOutcomeCarriesRequestIDAndRetryAfter(t *testing.T) {
	t.Parallel()
	got := Classify(now, Answer{Status: 429, Header: with(queued(pj()), "Retry-After", "7")})
	want := Outcome{Class: QueueFull, Status: 429, ReqID: "4f0c3a52-0000-4000-8000-000000000001", RetryAfter: 7 * time.Second, Asked: true}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Classify() = %+v; want %+v", got, want)
	}
	if got := Classify(now, Answer{Status: 429}); !reflect.DeepEqual(got, Outcome{Class: Quota, Status: 429}) {
		t.Errorf("Classify(429 without headers) = %+v; want a quota refusal that asks for nothing", got)
	}
}

// facts are what Classify would ask the rules about.
func (a Answer) facts() *facts {
	o := Outcome{Status: a.Status, ReqID: a.Header.Get("nvcf-reqid")}
	o.RetryAfter, o.Asked = RetryAfter(now, a.Header)
	problem := strings.HasPrefix(a.Header.Get("Content-Type"), problemJSON)
	return &facts{Outcome: &o, body: a.Body[:min(len(a.Body), MaxBody)], problem: problem}
}

// byTheTable is Classify without its short cut: the oracle.
func byTheTable(a Answer) (class Class, fitting int) {
	f := a.facts()
	for i := len(rules) - 1; i >= 0; i-- {
		if rules[i].fits(f) {
			class = rules[i].class
			fitting++
		}
	}
	return class, fitting
}

func TestTheShortCutAgreesWithTheTable(t *testing.T) {
	t.Parallel()
	for status := range 1000 {
		for _, header := range []http.Header{nil, queued(http.Header{}), with(pj(), "Retry-After", "10800")} {
			a := Answer{Status: status, Header: header}
			want, fitting := byTheTable(a)
			if got := Classify(now, a).Class; got != want || fitting == 0 {
				t.Errorf("Classify(%d, %v) = %s; the table says %s by %d rules", status, header, got, want, fitting)
			}
		}
	}
}

func TestWordsAreTheClosedListOfLogsAndMetrics(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for c := range Class(ClassCount) {
		word := c.String()
		if word == "" || word == "unknown" || seen[word] || strings.ToLower(word) != word {
			t.Errorf("Class(%d).String() = %q; want a lower-case word of its own", c, word)
		}
		seen[word] = true
	}
	for want, c := range map[string]Class{
		"ok": OK, "quota": Quota, "queue_full_upstream": QueueFull, "worker_exhausted": WorkerExhausted, "no_worker": NoWorker,
		"degraded": Degraded, "inactive": Inactive, "offline": Offline, "gone": Gone, "not_entitled": NotEntitled,
		"unknown_model_or_path": UnknownModel, "key_dead": KeyDead, "forbidden": Forbidden, "credits": Credits, "transient": Transient,
		"upstream_error": UpstreamError, "client_error": ClientError, "in_progress": InProgress, "broken": Broken, "cancelled": Cancelled,
		"unknown": classCount,
	} {
		if got := c.String(); got != want {
			t.Errorf("Class(%d).String() = %q; want %q", c, got, want)
		}
	}
}

func TestOnlyQuotaIsARefusal(t *testing.T) {
	t.Parallel()
	for c := range Class(ClassCount) {
		if got := (Outcome{Class: c}).Refused(); got != (c == Quota) {
			t.Errorf("Refused() of %s = %v; want it for quota alone", c, got)
		}
	}
	if got := Failed(FaultIdle); !reflect.DeepEqual(got, Outcome{Class: Broken, Fault: FaultIdle}) {
		t.Errorf("Failed(idle) = %+v; want a broken attempt with that fault", got)
	}
}

func FuzzClassify(f *testing.F) {
	for _, tt := range known {
		f.Add(tt.status, tt.header.Get("Content-Type"), tt.header.Get("Retry-After"), tt.header.Get("Nvcf-Reqid"), tt.body)
	}
	f.Add(-1, "", "1e99", "\xff", "{\x00")
	f.Fuzz(func(t *testing.T, status int, contentType, retryAfter, reqID, body string) {
		a := Answer{Status: status, Body: body, Header: http.Header{
			"Content-Type": {contentType}, "Retry-After": {retryAfter}, "Nvcf-Reqid": {reqID},
		}}
		got := Classify(now, a)
		want, fitting := byTheTable(a)
		if got.Class != want || fitting == 0 || got.Status != status || got.ReqID != reqID || got.Class >= Broken {
			t.Fatalf("Classify(%+v) = %+v; the table says %s by %d rules", a, got, want, fitting)
		}
		if got.RetryAfter < 0 || got.RetryAfter > MaxRetryAfter {
			t.Fatalf("RetryAfter = %s; want it within [0, %s]", got.RetryAfter, MaxRetryAfter)
		}
	})
}

// BenchmarkClassifyOK is the hot path: the ordinary answer of NVIDIA's gateway. Budget: 50 ns, no allocation.
func BenchmarkClassifyOK(b *testing.B) {
	a := Answer{Status: 200, Dialect: DialectNVIDIA, Header: with(queued(jsonType()), "Date", "x", "Server", "y", "X-Request-Id", "z", "Vary", "Origin")}
	b.ReportAllocs()
	for b.Loop() {
		if Classify(now, a).Class != OK {
			b.Fatal("not OK")
		}
	}
}

// BenchmarkClassifyQuota is what overload brings most of. Budget: 500 ns, no allocation.
func BenchmarkClassifyQuota(b *testing.B) {
	a := Answer{Status: 429, Dialect: DialectNVIDIA, Header: pj(), Body: `{"status":429,"title":"Too Many Requests"}`}
	b.ReportAllocs()
	for b.Loop() {
		if Classify(now, a).Class != Quota {
			b.Fatal("not quota")
		}
	}
}

// BenchmarkClassifyOKUnknown is an ordinary answer without limits of a provider whose header has to be walked. Budget: 150 ns, no
// allocation.
func BenchmarkClassifyOKUnknown(b *testing.B) {
	a := Answer{Status: 200, Header: with(jsonType(), "Date", "x", "Server", "y", "X-Request-Id", "z", "Vary", "Origin")}
	b.ReportAllocs()
	for b.Loop() {
		if o := Classify(now, a); o.Signs != nil {
			b.Fatal("signs")
		}
	}
}

// BenchmarkClassifySigns is an ordinary answer that tells of two limits. Budget: 2 µs, one allocation.
func BenchmarkClassifySigns(b *testing.B) {
	a := Answer{Status: 200, Dialect: DialectOpenAI, Header: with(header(
		"x-ratelimit-limit-requests: 500", "x-ratelimit-remaining-requests: 499", "x-ratelimit-reset-requests: 120ms",
		"x-ratelimit-limit-tokens: 200000", "x-ratelimit-remaining-tokens: 199978", "x-ratelimit-reset-tokens: 6ms",
	), "Content-Type", "application/json", "Date", "x", "Server", "y", "X-Request-Id", "z")}
	b.ReportAllocs()
	for b.Loop() {
		if o := Classify(now, a); len(o.Signs) != 2 {
			b.Fatal("no signs")
		}
	}
}

// BenchmarkClassifyExplained is a refusal whose body has to be taken apart. Budget: 20 µs; it comes with refusals only.
func BenchmarkClassifyExplained(b *testing.B) {
	a := Answer{Status: 429, Dialect: DialectGemini, Header: jsonType(), Body: geminiBody("26s", geminiMinute)}
	b.ReportAllocs()
	for b.Loop() {
		if o := Classify(now, a); len(o.Signs) != 1 {
			b.Fatal("no sign")
		}
	}
}

func ExampleClassify() {
	busy := `{"message":"ResourceExhausted: All workers are busy, please retry later","type":"Service Unavailable","code":503}`
	fmt.Println(Classify(time.Now(), Answer{Status: 503, Body: busy}).Class)
	fmt.Println(Classify(time.Now(), Answer{Status: 429, Body: `{"status":429,"title":"Too Many Requests"}`}).Class)
	// Output:
	// worker_exhausted
	// quota
}
