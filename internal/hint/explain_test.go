package hint

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// Violations as Gemini writes them.
const (
	geminiMinute = `{"quotaMetric":"generativelanguage.googleapis.com/generate_content_free_tier_requests","quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier","quotaDimensions":{"model":"gemini-2.5-flash","location":"global"},"quotaValue":"5"}`
	geminiDay    = `{"quotaMetric":"generativelanguage.googleapis.com/generate_content_free_tier_requests","quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier","quotaDimensions":{"location":"global","model":"gemini-2.5-flash"},"quotaValue":"20"}`
	geminiInput  = `{"quotaMetric":"generativelanguage.googleapis.com/generate_content_free_tier_input_token_count","quotaId":"GenerateContentInputTokensPerModelPerMinute-FreeTier","quotaDimensions":{"location":"global","model":"gemini-2.0-flash"}}`
	geminiSearch = `{"quotaId":"GroundingSearchRequestsPerDay-FreeTier","quotaValue":"0"}`
)

// geminiBody is an error of Gemini's.
func geminiBody(retryDelay string, violations ...string) string {
	return `{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.","status":"RESOURCE_EXHAUSTED","details":[` +
		`{"@type":"type.googleapis.com/google.rpc.Help","links":[{"description":"Learn more","url":"https://ai.google.dev/"}]},` +
		`{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[` + strings.Join(violations, ",") + `]},` +
		`{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"` + retryDelay + `"}]}}`
}

// says is an error body with a message.
func says(message string) string {
	b, _ := json.Marshal(map[string]any{"error": map[string]any{"message": message, "code": "rate_limit_exceeded"}})
	return string(b)
}

// model is a sign of a model that its answer names.
func model(u Unit, period time.Duration, allowed, remaining int) Sign {
	return reaching(ReachModel, blamed(limit(u, period, allowed, remaining, -1)))
}

func TestBodiesExplainRefusals(t *testing.T) {
	t.Parallel()
	const unasked = -1
	for _, tt := range []struct {
		source string
		lines  []string // of the header
		body   string
		want   []Sign
		wait   time.Duration
	}{
		{
			"OpenAI, requests a minute", nil,
			says("Rate limit reached for gpt-4o-mini in organization org-x on requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 20s. Visit https://platform.openai.com/account/rate-limits to learn more."),
			[]Sign{model(Requests, time.Minute, 3, 0)},
			20 * time.Second,
		},
		{
			"OpenAI, requests a day", nil,
			says("Rate limit reached for gpt-4o-mini-realtime in organization org-xx on requests per day (RPD): Limit 1000, Used 1000, Requested 1. Please try again in 1m26.4s."),
			[]Sign{model(Requests, day, 1000, 0)},
			86400 * time.Millisecond,
		},
		{
			"OpenAI, tokens, with a project", nil,
			says("Rate limit reached for gpt-4o-mini in project proj_J organization org-l on tokens per min (TPM): Limit 50000, Used 47949, Requested 3006. Please try again in 1.146s. Visit"),
			[]Sign{model(Tokens, time.Minute, 50000, 2051)},
			1146 * time.Millisecond,
		},
		{
			"OpenAI, without the rest", nil, says("Rate limit reached for gpt-4o on requests per min (RPM): Limit 3."),
			[]Sign{model(Requests, time.Minute, 3, -1)},
			unasked,
		},
		{
			"OpenAI's header and sentence speak of one limit",
			[]string{"x-ratelimit-limit-requests: 3", "x-ratelimit-remaining-requests: 0", "x-ratelimit-reset-requests: 60s", "retry-after-ms: 20500"},
			says("Rate limit reached for gpt-4 in organization org-x on requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 20s."),
			[]Sign{reaching(ReachModel, blamed(limit(Requests, time.Minute, 3, 0, time.Minute)))},
			20500 * time.Millisecond,
		},
		{
			"Groq, tokens a day, whatever the headers say",
			[]string{"x-ratelimit-limit-requests: 14400", "x-ratelimit-remaining-requests: 14370"},
			says("Rate limit reached for model `llama-3.3-70b-versatile` in organization `org_01` service tier `on_demand` on tokens per day (TPD): Limit 100000, Used 99996, Requested 484. Please try again in 6m54.72s. Need more tokens? Upgrade to Dev Tier today at https://console.groq.com/settings/billing"),
			[]Sign{limit(Requests, 0, 14400, 14370, -1), model(Tokens, day, 100000, 4)},
			414720 * time.Millisecond,
		},
		{
			"Groq, split tokens", nil, says("Rate limit reached for model `qwen` in organization `org_x` service tier `on_demand` on input tokens per minute (ITPM): Limit 7000, Used 4472, Requested 3000."),
			[]Sign{model(InputTokens, time.Minute, 7000, 2528)},
			unasked,
		},
		{
			"more used than there is", nil, says("Rate limit reached for gpt-4 in organization org-x on requests per min (RPM): Limit 3, Used 5."),
			[]Sign{model(Requests, time.Minute, 3, 0)},
			unasked,
		},
		{
			"units and periods that are not known", nil, says("Rate limit reached for whisper in organization org-x on audio seconds per hour (ASPH): Limit 3, Used 3."), nil, unasked,
		},
		{
			"Anthropic, with an organization's id", nil,
			says("This request would exceed the rate limit for your organization (874899f0-c2de-4906-8802-cc478416bee6) of 20,000 input tokens per minute. For details, refer to: https://docs.anthropic.com/en/api/rate-limits."),
			[]Sign{blamed(limit(InputTokens, time.Minute, 20000, -1, -1))},
			unasked,
		},
		{
			"Anthropic, with its header",
			[]string{"anthropic-ratelimit-output-tokens-limit: 8000", "anthropic-ratelimit-output-tokens-remaining: 120", "retry-after: 9"},
			says("This request would exceed your organization’s rate limit of 8,000 output tokens per minute (org: 9bdecd1f, model: claude-sonnet-4-6)."),
			[]Sign{blamed(limit(OutputTokens, time.Minute, 8000, 120, -1))},
			9 * time.Second,
		},
		{
			"Azure, tokens",
			[]string{"retry-after: 26", "x-ratelimit-remaining-requests: 12"},
			says("Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-21 have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after 26 seconds."),
			[]Sign{limit(Requests, 0, -1, 12, -1), blamed(Sign{Unit: Tokens})},
			26 * time.Second,
		},
		{
			"Azure, requests", nil, says("Requests to the Embeddings_Create Operation under Azure OpenAI API version 2023-09-01-preview have exceeded call rate limit of your current OpenAI S0 pricing tier."),
			[]Sign{blamed(Sign{})},
			unasked,
		},
		{
			"OpenRouter, a day's free requests, with the headers in the body", nil,
			`{"error":{"message":"Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day","code":429,"metadata":{"headers":{"X-RateLimit-Limit":"50","X-RateLimit-Remaining":"0","X-RateLimit-Reset":"1795651200000"},"provider_name":null}},"user_id":"u"}`,
			[]Sign{reaching(ReachAccount, blamed(limit(Requests, day, 50, 0, 12*time.Hour)))},
			unasked,
		},
		{
			"OpenRouter, a minute's", nil, says("Rate limit exceeded: free-models-per-min."),
			[]Sign{reaching(ReachAccount, blamed(Sign{Period: time.Minute}))},
			unasked,
		},
		{
			"OpenRouter, one model's, with numbers for texts", nil,
			`{"error":{"message":"Rate limit exceeded: limit_rpm/meta-llama/llama-3.3-70b-instruct:free","code":429,"metadata":{"headers":{"X-RateLimit-Limit":8,"X-RateLimit-Remaining":0,"X-RateLimit-Reset":1795608060000}}}}`,
			[]Sign{model(Requests, time.Minute, 8, 0).resetting(time.Minute)},
			unasked,
		},
		{
			"OpenRouter, one model's day", nil, says("Rate limit exceeded: limit_rpd/example/model. Daily limit reached for example/model:free."),
			[]Sign{reaching(ReachModel, blamed(Sign{Period: day}))},
			unasked,
		},
		{
			"OpenRouter, another provider's refusal", nil,
			`{"error":{"message":"Provider returned error","code":429,"metadata":{"raw":"llama is temporarily rate-limited upstream.","provider_name":"Venice","headers":{"Retry-After":"29"}}}}`,
			nil, 29 * time.Second,
		},
		{
			"OpenRouter, one header in two spellings", nil,
			`{"error":{"message":"x","metadata":{"headers":{"X-RateLimit-Limit":"8","x-ratelimit-limit":"9","X-RateLimit-Remaining":"1"}}}}`,
			[]Sign{limit(Requests, 0, -1, 1, -1)},
			unasked,
		},
		{"Gemini, a minute", nil, geminiBody("26s", geminiMinute), []Sign{model(Requests, time.Minute, 5, 0)}, 26 * time.Second},
		{"Gemini, through its OpenAI path: a list of one", nil, "[" + geminiBody("20.70617005s", geminiMinute) + "\n]\n", []Sign{model(Requests, time.Minute, 5, 0)}, 20706170050},
		{"Gemini, tokens without a value", nil, geminiBody("13s", geminiInput), []Sign{model(InputTokens, time.Minute, -1, 0)}, 13 * time.Second},
		{"Gemini, a day: what it asks for is not when the day ends", nil, geminiBody("34s", geminiDay), []Sign{model(Requests, day, 20, 0)}, unasked},
		{
			"Gemini, all of them", nil, geminiBody("45s", geminiInput, geminiMinute, geminiDay),
			[]Sign{model(InputTokens, time.Minute, -1, 0), model(Requests, time.Minute, 5, 0), model(Requests, day, 20, 0)},
			unasked,
		},
		{"Gemini, a header says when", []string{"retry-after: 7"}, geminiBody("18s", geminiMinute), []Sign{model(Requests, time.Minute, 5, 0)}, 7 * time.Second},
		{"Gemini, searches are no requests", nil, geminiBody("18s", geminiSearch), nil, 18 * time.Second},
		{
			"Gemini, a project's quota", nil, geminiBody("1s", `{"quotaId":"GenerateContentRequestsPerHourPerProject","quotaValue":7}`),
			[]Sign{reaching(ReachAccount, blamed(limit(Requests, time.Hour, 7, 0, -1)))},
			time.Second,
		},
		{
			"Vertex AI, by the metric alone", nil, geminiBody("", `{"quotaMetric":"aiplatform.googleapis.com/generate_content_requests_per_minute_per_project_per_base_model"}`),
			[]Sign{model(Requests, time.Minute, -1, 0)},
			unasked,
		},
		{"Gemini, hostile values", nil, geminiBody("-5s", `{"quotaId":"RequestsPerMinute","quotaValue":-3}`, `{"quotaId":7}`, `"x"`, `{"quotaId":"Pictures"}`), []Sign{blamed(limit(Requests, time.Minute, -1, 0, -1))}, 0},
		{"Gemini, asked for an age", nil, geminiBody("999999h", geminiMinute), []Sign{model(Requests, time.Minute, 5, 0)}, MaxRetryAfter},
		{"a sentence as the event of a stream", nil, "event: error\ndata: " + says("Rate limit reached for gpt-4 in organization o on requests per min (RPM): Limit 3.") + "\n\n", []Sign{model(Requests, time.Minute, 3, -1)}, unasked},
		{"a sentence inside another", nil, says("litellm: Rate limit reached for gpt-4 in organization o on requests per min (RPM): Limit 3."), nil, unasked},
		{"not even JSON", nil, "Rate limit reached for gpt-4 in organization o on requests per min (RPM): Limit 3.", nil, unasked},
		{"JSON that is cut", nil, geminiBody("26s", geminiMinute)[:500], nil, unasked},
		{"JSON of other types", nil, `{"error":{"message":["Rate limit"],"details":{"violations":7},"metadata":{"headers":[]}}}`, nil, unasked},
		{"NVIDIA's bare refusal", nil, `{"status":429,"title":"Too Many Requests"}`, nil, unasked},
	} {
		o := Classify(now, Answer{Status: 429, Header: header(tt.lines...), Body: tt.body})
		wait := o.RetryAfter
		if !o.Asked {
			wait = unasked
		}
		if !slices.Equal(o.Signs, tt.want) || wait != tt.wait {
			t.Errorf("%s: asked for %s, signs\n%+v; want %s,\n%+v", tt.source, wait, o.Signs, tt.wait, tt.want)
		}
	}
}

// resetting is s with a reset.
func (s Sign) resetting(in time.Duration) Sign {
	s.Reset = Tell(in)
	return s
}

func TestRefusalsOfTokensAreTold(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		source  string
		dialect Dialect
		lines   []string
		body    string
		want    Unit
		ok      bool
	}{
		{"NVIDIA's newer gateway limits nothing else", DialectNVIDIA, []string{"X-Ratelimit-Limit-Tokens: 1000", "X-Ratelimit-Remaining-Tokens: 150"}, `{"message":"rate limit exceeded"}`, Tokens, true},
		{"of another provider nobody knows", DialectUnknown, []string{"X-Ratelimit-Limit-Tokens: 1000", "X-Ratelimit-Remaining-Tokens: 150"}, `{"message":"rate limit exceeded"}`, 0, false},
		{"nothing is left", DialectUnknown, []string{"X-Ratelimit-Remaining-Tokens: 0", "X-Ratelimit-Remaining-Requests: 7"}, ``, Tokens, true},
		{"requests", DialectOpenAI, []string{"X-Ratelimit-Remaining-Tokens: 5", "X-Ratelimit-Remaining-Requests: 0"}, ``, Requests, true},
		{"the sentence", DialectOpenAI, []string{"X-Ratelimit-Remaining-Tokens: 5", "X-Ratelimit-Remaining-Requests: 0"}, says("Rate limit reached for m in organization o on tokens per min (TPM): Limit 9, Used 4, Requested 8."), Tokens, true},
		{"Anthropic", DialectAnthropic, []string{"anthropic-ratelimit-requests-remaining: 994", "anthropic-ratelimit-input-tokens-remaining: 0"}, ``, InputTokens, true},
	} {
		s, ok := Classify(now, Answer{Status: 429, Header: header(tt.lines...), Body: tt.body, Dialect: tt.dialect}).Exhausted()
		if s.Unit != tt.want || ok != tt.ok {
			t.Errorf("%s: Exhausted() = %+v, %v; want %s, %v", tt.source, s, ok, tt.want, tt.ok)
		}
	}
}

// TestOnlyRefusalsAreExplained: what the client sent may stand in any other answer.
func TestOnlyRefusalsAreExplained(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 403, 404, 500, 503} {
		o := Classify(now, Answer{Status: status, Header: http.Header{}, Body: geminiBody("26s", geminiMinute)})
		if o.Signs != nil || o.Asked {
			t.Errorf("status %d: %+v; want no signs", status, o)
		}
	}
	o := Classify(now, Answer{Status: 200, Header: http.Header{}, Body: "data: " + says("Rate limit reached for m in organization o on requests per min (RPM): Limit 9.") + "\n\n"})
	if s, ok := o.Exhausted(); !ok || s != model(Requests, time.Minute, 9, -1) {
		t.Errorf("an error event of a 200 stream: Exhausted() = %+v, %v; want the limit of 9", s, ok)
	}
}

func FuzzGeminiBody(f *testing.F) {
	f.Add("26s", "GenerateRequestsPerDayPerProjectPerModel-FreeTier", `"20"`, "")
	f.Add("-1e9s", "GenerateContentInputTokensPerModelPerMinute", `-7`, `[{"error":{"details":[{"violations":[`)
	f.Add("", "\xff", `{}`, geminiBody("1s", geminiDay, geminiInput, geminiMinute))
	f.Fuzz(func(t *testing.T, delay, id, value, body string) {
		quoted, _ := json.Marshal(id)
		built := geminiBody(delay, fmt.Sprintf(`{"quotaId":%s,"quotaValue":%s}`, quoted, value))
		for _, body := range []string{body, built} {
			o := Classify(now, Answer{Status: 429, Body: body, Dialect: DialectGemini})
			checkSigns(t, o.Signs)
			if o.RetryAfter < 0 || o.RetryAfter > MaxRetryAfter || !o.Asked && o.RetryAfter != 0 {
				t.Fatalf("%q: RetryAfter = %s, %v; want it within [0, %s]", body, o.RetryAfter, o.Asked, MaxRetryAfter)
			}
			if s, _ := o.Exhausted(); s.Period == day && o.Asked && body == built {
				t.Fatalf("%q: the quota of a day is spent, and %s is asked for", body, o.RetryAfter)
			}
		}
	})
}

// FuzzSentences writes OpenAI's sentence around any words, and reads any sentence.
func FuzzSentences(f *testing.F) {
	f.Add("gpt-4o in organization org-x", uint32(3), uint32(3), uint16(20), "Rate limit exceeded: free-models-per-day")
	f.Add("model `a b` in project on requests per min (RPM): Limit 7", uint32(0), uint32(9), uint16(0), "This request would exceed your organization's rate limit of 30,000 input tokens per minute")
	f.Add("", uint32(1), uint32(0), uint16(1), "Requests to the x have exceeded token rate limit of")
	f.Fuzz(func(t *testing.T, who string, allowed, used uint32, wait uint16, other string) {
		var o Outcome
		o.readSentence(other)
		checkSigns(t, o.Signs)
		if len(o.Signs) > 1 || len(o.Signs) == 1 && !o.Signs[0].Blamed {
			t.Fatalf("%q says %+v; want one limit, blamed", other, o.Signs)
		}
		if strings.ContainsAny(who, "\n\r") || len(who) > maxSentence/2 {
			return
		}
		o = Outcome{}
		o.readSentence(fmt.Sprintf("Rate limit reached for %s on tokens per min (TPM): Limit %d, Used %d, Requested 1. Please try again in %dms.", who, allowed, used, wait))
		want := model(Tokens, time.Minute, int(allowed), int(max(int64(allowed)-int64(used), 0)))
		if len(o.Signs) != 1 || o.Signs[0] != want || o.RetryAfter != time.Duration(wait)*time.Millisecond {
			t.Fatalf("with %q: %+v; want %+v in %d ms", who, o, want, wait)
		}
	})
}
