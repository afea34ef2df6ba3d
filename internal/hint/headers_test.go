package hint

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEveryProvidersHeadersAreUnderstood(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		source string
		host   string
		lines  []string
		want   []Sign
	}{
		{
			"OpenAI, a limit by the minute: platform.openai.com/docs/guides/rate-limits", "api.openai.com",
			[]string{
				"x-ratelimit-limit-requests: 500", "x-ratelimit-remaining-requests: 499", "x-ratelimit-reset-requests: 120ms",
				"x-ratelimit-limit-tokens: 150000", "x-ratelimit-remaining-tokens: 149984", "x-ratelimit-reset-tokens: 6m0s",
			},
			[]Sign{limit(Requests, time.Minute, 500, 499, 120*time.Millisecond), limit(Tokens, time.Minute, 150000, 149984, 6*time.Minute)},
		},
		{
			"OpenAI, a limit by the day in the same header, as lower tiers have it", "api.openai.com",
			[]string{
				"x-ratelimit-limit-requests: 10000", "x-ratelimit-remaining-requests: 9999", "x-ratelimit-reset-requests: 8.64s",
				"x-ratelimit-limit-tokens: 200000", "x-ratelimit-remaining-tokens: 199978", "x-ratelimit-reset-tokens: 6ms",
			},
			[]Sign{limit(Requests, day, 10000, 9999, 8640*time.Millisecond), limit(Tokens, time.Minute, 200000, 199978, 6*time.Millisecond)},
		},
		{
			"OpenAI, a free account: 200 a day", "api.openai.com",
			[]string{"x-ratelimit-limit-requests: 200", "x-ratelimit-remaining-requests: 199", "x-ratelimit-reset-requests: 7m12s"},
			[]Sign{limit(Requests, day, 200, 199, 432*time.Second)},
		},
		{
			"OpenAI, a reset that fits neither minute nor day", "api.openai.com",
			[]string{"x-ratelimit-limit-requests: 10000", "x-ratelimit-remaining-requests: 9998", "x-ratelimit-reset-requests: 8.64s"},
			[]Sign{limit(Requests, 0, 10000, 9998, 8640*time.Millisecond)},
		},
		{
			"OpenAI, a day's limit that is spent", "api.openai.com",
			[]string{"x-ratelimit-limit-requests: 200", "x-ratelimit-reset-requests: 24h0m0s"},
			[]Sign{limit(Requests, day, 200, -1, day)},
		},
		{
			"OpenAI, nothing used", "api.openai.com",
			[]string{"x-ratelimit-limit-requests: 500", "x-ratelimit-remaining-requests: 500", "x-ratelimit-reset-requests: 60s"},
			[]Sign{limit(Requests, time.Minute, 500, 500, time.Minute)},
		},
		{
			"OpenAI, a reset that lies beyond a minute", "api.openai.com",
			[]string{"x-ratelimit-remaining-requests: 7", "x-ratelimit-reset-requests: 61s"},
			[]Sign{limit(Requests, 0, -1, 7, 61*time.Second)},
		},
		{
			"Azure, older API versions: what is left and nothing else", "mine.openai.azure.com",
			[]string{"x-ratelimit-remaining-requests: 249", "x-ratelimit-remaining-tokens: 249883"},
			[]Sign{limit(Requests, time.Minute, -1, 249, -1), limit(Tokens, time.Minute, -1, 249883, -1)},
		},
		{
			"Groq: console.groq.com/docs/rate-limits", "api.groq.com",
			[]string{
				"retry-after: 2",
				"x-ratelimit-limit-requests: 14400", "x-ratelimit-remaining-requests: 14370", "x-ratelimit-reset-requests: 2m59.56s",
				"x-ratelimit-limit-tokens: 18000", "x-ratelimit-remaining-tokens: 17997", "x-ratelimit-reset-tokens: 7.66s",
			},
			[]Sign{limit(Requests, day, 14400, 14370, 179560*time.Millisecond), limit(Tokens, time.Minute, 18000, 17997, 7660*time.Millisecond)},
		},
		{
			"Anthropic: docs.anthropic.com/en/api/rate-limits", "api.anthropic.com",
			[]string{
				"anthropic-ratelimit-requests-limit: 1000", "anthropic-ratelimit-requests-remaining: 994", "anthropic-ratelimit-requests-reset: 2026-11-25T12:00:01Z",
				"anthropic-ratelimit-tokens-limit: 540000", "anthropic-ratelimit-tokens-remaining: 14000", "anthropic-ratelimit-tokens-reset: 2026-11-25T12:00:17Z",
				"anthropic-ratelimit-input-tokens-limit: 450000", "anthropic-ratelimit-input-tokens-remaining: 0", "anthropic-ratelimit-input-tokens-reset: 2026-11-25T13:00:18+01:00",
				"anthropic-ratelimit-output-tokens-limit: 90000", "anthropic-ratelimit-output-tokens-remaining: 14000", "anthropic-ratelimit-output-tokens-reset: 2026-11-25T11:59:59Z",
			},
			[]Sign{
				limit(Requests, time.Minute, 1000, 994, time.Second), limit(Tokens, time.Minute, 540000, 14000, 17*time.Second),
				limit(InputTokens, time.Minute, 450000, 0, 18*time.Second), limit(OutputTokens, time.Minute, 90000, 14000, 0),
			},
		},
		{
			"Mistral: docs.mistral.ai, and headers seen by users", "api.mistral.ai",
			[]string{
				"x-ratelimit-limit-req-minute: 50", "x-ratelimit-remaining-req-minute: 49", "x-ratelimit-tokens-query-cost: 1300",
				"x-ratelimit-limit-tokens-minute: 500000", "x-ratelimit-remaining-tokens-minute: 499000",
				"x-ratelimit-limit-tokens-month: 1000000000", "x-ratelimit-remaining-tokens-month: 870000000",
			},
			[]Sign{
				limit(Requests, time.Minute, 50, 49, -1), limit(Tokens, time.Minute, 500000, 499000, -1),
				limit(Tokens, 30*day, 1000000000, 870000000, -1),
			},
		},
		{
			"Mistral, other windows", "api.mistral.ai",
			[]string{
				"x-ratelimit-limit-req-second: 1", "x-ratelimit-limit-req-10-second: 2", "x-ratelimit-limit-req-month: 3",
				"x-ratelimit-limit-tokens-5-minute: 4",
			},
			[]Sign{
				limit(Requests, time.Second, 1, -1, -1), limit(Requests, 10*time.Second, 2, -1, -1), limit(Requests, 720*time.Hour, 3, -1, -1),
				limit(Tokens, 5*time.Minute, 4, -1, -1),
			},
		},
		{
			"Mistral, a model that is not in the plan: nothing is ever allowed", "api.mistral.ai",
			[]string{"x-ratelimit-limit-req-minute: 0"},
			[]Sign{limit(Requests, time.Minute, 0, 0, -1)},
		},
		{
			"OpenRouter: openrouter.ai/docs/api-reference/limits", "openrouter.ai",
			[]string{"X-RateLimit-Limit: 50", "X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 1795651200000"},
			[]Sign{limit(Requests, 0, 50, 0, 12*time.Hour)},
		},
		{
			"Nous: NousResearch/hermes-agent, agent/rate_limit_tracker.py", "inference-api.nousresearch.com",
			[]string{
				"x-ratelimit-limit-requests: 800", "x-ratelimit-remaining-requests: 795", "x-ratelimit-reset-requests: 45.5",
				"x-ratelimit-limit-requests-1h: 33600", "x-ratelimit-remaining-requests-1h: 33590", "x-ratelimit-reset-requests-1h: 3500.0",
				"x-ratelimit-limit-tokens: 8000000", "x-ratelimit-remaining-tokens: 7999500", "x-ratelimit-reset-tokens: 42.3",
				"x-ratelimit-limit-tokens-1h: 336000000", "x-ratelimit-remaining-tokens-1h: 335999000", "x-ratelimit-reset-tokens-1h: 3490.0",
			},
			[]Sign{
				limit(Requests, time.Minute, 800, 795, 45500*time.Millisecond), limit(Tokens, time.Minute, 8000000, 7999500, 42300*time.Millisecond),
				limit(Requests, time.Hour, 33600, 33590, 3500*time.Second), limit(Tokens, time.Hour, 336000000, 335999000, 3490*time.Second),
			},
		},
		{
			"NVIDIA's newer gateway: NVIDIA/nvcf, api/ratelimit.go", "integrate.api.nvidia.com",
			[]string{"X-Ratelimit-Limit-Tokens: 1000", "X-Ratelimit-Remaining-Tokens: 0", "X-Ratelimit-Reset-Tokens: 6.5s", "Retry-After: 7"},
			[]Sign{limit(Tokens, 0, 1000, 0, 6500*time.Millisecond)},
		},
		{"NVIDIA's hosted gateway", "integrate.api.nvidia.com", []string{"Nvcf-Reqid: 1", "Nvcf-Status: fulfilled"}, nil},
		{
			"Cerebras: inference-docs.cerebras.ai", "api.cerebras.ai",
			[]string{
				"x-ratelimit-limit-requests-day: 14400", "x-ratelimit-remaining-requests-day: 14399", "x-ratelimit-reset-requests-day: 33011.382867",
				"x-ratelimit-limit-tokens-minute: 60000", "x-ratelimit-remaining-tokens-minute: 59000", "x-ratelimit-reset-tokens-minute: 11.38",
			},
			[]Sign{limit(Tokens, time.Minute, 60000, 59000, 11380*time.Millisecond), limit(Requests, day, 14400, 14399, 33011382867*time.Microsecond)},
		},
		{
			"Cerebras, other windows", "api.cerebras.ai",
			[]string{
				"x-ratelimit-limit-requests-minute: 5", "x-ratelimit-limit-requests-hour: 150", "x-ratelimit-limit-tokens-hour: 7",
				"x-ratelimit-limit-tokens-day: 999999999999999",
			},
			[]Sign{
				limit(Requests, time.Minute, 5, -1, -1), limit(Requests, time.Hour, 150, -1, -1), limit(Tokens, time.Hour, 7, -1, -1),
				limit(Tokens, 24*time.Hour, 999999999999999, -1, -1),
			},
		},
		{
			"Baidu Qianfan, of a provider that is not known: the period is not guessed", "qianfan.baidubce.com",
			[]string{"X-Ratelimit-Limit-Requests: 60", "X-Ratelimit-Remaining-Input-Tokens: 5", "X-Ratelimit-Limit-Output-Tokens: 9"},
			[]Sign{limit(Requests, 0, 60, -1, -1), limit(InputTokens, 0, -1, 5, -1), limit(OutputTokens, 0, 9, -1, -1)},
		},
		{"no header", "api.openai.com", nil, nil},
		{"names that are none of these", "x.test", []string{
			"X-Ratelimit: 5", "X-Ratelimit-: 5", "X-Ratelimit-Used: 5", "X-Ratelimit-Limit-Images: 5", "X-Ratelimit-Limit-Requests-: 5",
			"X-Ratelimit-Reset-After: 5", "Anthropic-Ratelimit-Unified-Status: allowed", "X-Ratelimit-Limitrequests: 5",
		}, nil},
	} {
		o := Classify(now, Answer{Status: 200, Header: header(tt.lines...), Dialect: DialectOf(tt.host)})
		if !slices.Equal(o.Signs, tt.want) || o.Class != OK {
			t.Errorf("%s: %s, signs\n%+v; want\n%+v", tt.source, o.Class, o.Signs, tt.want)
		}
	}
}

func TestEveryRowOfHeadersIsFoundAndNoneTwice(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for i, r := range rows {
		for k, kind := range kinds {
			name := r.before + kind + r.after
			if http.CanonicalHeaderKey(name) != name || seen[name] {
				t.Errorf("%s is not canonical, or twice in the table", name)
			}
			seen[name] = true
			if row, got, ok := find(name); row != i || got != k || !ok {
				t.Errorf("find(%s) = %d, %d, %v; want %d, %d", name, row, got, ok, i, k)
			}
		}
	}
}

func TestHostileHeadersAreLeftOut(t *testing.T) {
	t.Parallel()
	const name = "X-Ratelimit-Limit-Requests"
	for _, value := range []string{
		"", " ", "NaN", "Inf", "-1", "+5", "1e6", "5.0", "0x10", "1_000", "5, 5", "9999999999999999", strings.Repeat("9", 1<<16), "٣", "5\x00", "five",
	} {
		if got := DialectOpenAI.rules().signs(now, http.Header{name: {value}}); got != nil {
			t.Errorf("a limit of %.20q gives %+v; want nothing", value, got)
		}
	}
	if got := DialectOpenAI.rules().signs(now, http.Header{name: {"5", "6"}}); got != nil {
		t.Errorf("a limit told twice gives %+v; want nothing", got)
	}
	if got := DialectOpenAI.rules().signs(now, http.Header{name: {}}); got != nil {
		t.Errorf("a header without a value gives %+v; want nothing", got)
	}
	all := http.Header{}
	for _, r := range rows {
		all[r.before+"Limit"+r.after] = []string{"5"}
	}
	for i := range 10_000 {
		all[fmt.Sprintf("X-Ratelimit-Limit-Requests-%d", i)] = []string{"5"}
	}
	first := dialectCount.rules().signs(now, all)
	checkSigns(t, first)
	if len(first) != MaxSigns {
		t.Errorf("%d signs of more limits than that; want %d", len(first), MaxSigns)
	}
	for range 20 { // a map's order is another each time
		if again := dialectCount.rules().signs(now, all); !slices.Equal(again, first) {
			t.Fatalf("the same header says\n%+v, then\n%+v", first, again)
		}
	}
}

func TestResetsAreReadInEveryForm(t *testing.T) {
	t.Parallel()
	const no = -1
	for in, want := range map[string]time.Duration{
		"1s": time.Second, "6m0s": 6 * time.Minute, "17ms": 17 * time.Millisecond, "2m59.56s": 179560 * time.Millisecond,
		"1h2m3s": 3723 * time.Second, "0s": 0, "-3s": 0, "8784h": farthest, "8784h1ns": no, "1d": no, "6m 0s": no,
		"0": 0, "45.5": 45500 * time.Millisecond, "-7": 0, " 30 ": 30 * time.Second, "31622400": farthest, "31622401": no,
		"999999999":     no,               // seconds from now, by the rule: 31 years
		"1000000000":    0,                // 2001
		"1795608060":    60 * time.Second, // 2026-11-25T12:01:00Z
		"1795608060.5":  60500 * time.Millisecond,
		"9999999999":    no, // 2286
		"10000000000":   no, // still seconds
		"1795608060250": 60250 * time.Millisecond,
		"1795607999999": 0,
		"1e3":           1000 * time.Second,
		"1e99":          no, "1e999": no, "NaN": no, "Inf": no, "-Inf": no, "0x10": no, ".": no, "e": no, "--5": no, "": no, "soon": no,
		"2026-11-25T12:00:30Z": 30 * time.Second, "2026-11-25T13:00:30.5+01:00": 30500 * time.Millisecond, "2026-11-25T11:00:00Z": 0,
		"0001-01-01T00:00:00Z": 0, "9999-12-31T23:59:59Z": no, "2026-11-25": no, "2026-13-25T12:00:30Z": no,
		"99999999999999999999999h": no, "9223372036854775807": no,
	} {
		got, ok := reset(now, in).Get()
		if !ok {
			got = no
		}
		if got != want {
			t.Errorf("reset(%q) = %s; want %s", in, got, want)
		}
	}
}

// FuzzReset compares with what a number says by its size alone, computed in whole numbers.
func FuzzReset(f *testing.F) {
	for _, seed := range []string{"1s", "6m0s", "2m59.56s", "45.5", "1795608060", "1795608060250", "2026-11-25T12:00:30Z", "-1e300", "1e", "NaN"} {
		f.Add(seed, uint64(0))
	}
	f.Add("", uint64(1795608060))
	f.Fuzz(func(t *testing.T, s string, n uint64) {
		if got, ok := reset(now, s).Get(); got < 0 || got > farthest || !ok && got != 0 {
			t.Fatalf("reset(%q) = %s, %v; want it within [0, %s]", s, got, ok, farthest)
		}
		n %= 1 << 50
		from := int64(n) * 1000
		switch {
		case n >= 1e15:
			from = 1 << 60
		case n > 1e10:
			from = int64(n) - now.UnixMilli()
		case n >= 1e9:
			from -= now.UnixMilli()
		}
		want := Tell(time.Duration(max(from, 0)) * time.Millisecond)
		if from > farthest.Milliseconds() {
			want = Told[time.Duration]{}
		}
		if got := reset(now, fmt.Sprint(n)); got != want {
			t.Fatalf("reset(%d) = %s; want %s", n, got, want)
		}
	})
}

func FuzzSignsOfHeaders(f *testing.F) {
	f.Add(uint8(1), "10000", "9999", "8.64s", "")
	f.Add(uint8(2), "0", "-1", "1e99", "Limit-Tokens-1h")
	f.Add(uint8(7), "7", "99", "2026-11-25T12:00:30Z", "Remaining-Req-Minute")
	f.Add(uint8(200), "9999999999999999", "NaN", "\xff", "Reset")
	f.Fuzz(func(t *testing.T, dialect uint8, limit, remaining, reset, more string) {
		h := header(
			"X-Ratelimit-Limit-Requests: "+limit, "X-Ratelimit-Remaining-Requests: "+remaining, "X-Ratelimit-Reset-Requests: "+reset,
			"Anthropic-Ratelimit-Tokens-Limit: "+limit, "Anthropic-Ratelimit-Tokens-Remaining: "+remaining, "Anthropic-Ratelimit-Tokens-Reset: "+reset,
			"Ratelimit-Limit: "+limit, "Ratelimit-Remaining: "+remaining, "Ratelimit-Reset: "+reset,
			"Ratelimit-Policy: "+more, "Ratelimit: "+more, "X-Ratelimit-"+more+": "+limit,
		)
		first := Dialect(dialect).rules().signs(now, h)
		checkSigns(t, first)
		if again := Dialect(dialect).rules().signs(now, h); !slices.Equal(again, first) {
			t.Fatalf("the same header says\n%+v, then\n%+v", first, again)
		}
		for _, s := range first {
			if n, ok := s.Limit.Get(); ok && !strings.Contains(limit+" "+more, strings.TrimLeft(fmt.Sprint(n), "0")) {
				t.Fatalf("a limit of %d is in neither %q nor %q", n, limit, more)
			}
		}
	})
}
