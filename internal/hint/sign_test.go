package hint

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// header makes a header of lines.
func header(lines ...string) http.Header {
	h := http.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	return h
}

// limit is a sign with all three numbers; a negative one is not said.
func limit(u Unit, period time.Duration, limit, remaining int, reset time.Duration) Sign {
	s := Sign{Unit: u, Period: period}
	if limit >= 0 {
		s.Limit = Tell(limit)
	}
	if remaining >= 0 {
		s.Remaining = Tell(remaining)
	}
	if reset >= 0 {
		s.Reset = Tell(reset)
	}
	return s
}

// blamed is s, named by the answer.
func blamed(s Sign) Sign {
	s.Blamed = true
	return s
}

// reaching is s with a reach.
func reaching(r Reach, s Sign) Sign {
	s.Reach = r
	return s
}

// checkSigns fails if signs break a promise of their type.
func checkSigns(t *testing.T, signs []Sign) {
	t.Helper()
	if len(signs) > MaxSigns || signs != nil && len(signs) == 0 {
		t.Fatalf("%d signs; want at most %d, nil for none", len(signs), MaxSigns)
	}
	for _, s := range signs {
		limit, limited := s.Limit.Get()
		remaining, _ := s.Remaining.Get()
		reset, _ := s.Reset.Get()
		switch {
		case s == Sign{Unit: s.Unit, Reach: s.Reach, Period: s.Period}:
			t.Fatalf("%+v says nothing", s)
		case limit < 0 || remaining < 0 || limited && remaining > limit:
			t.Fatalf("%+v: want 0 <= remaining <= limit", s)
		case limited && limit == 0 && s.Remaining != Tell(0):
			t.Fatalf("%+v: want nothing left of nothing", s)
		case reset < 0 || reset > farthest || s.Period < 0 || s.Period > farthest:
			t.Fatalf("%+v: want period and reset within [0, %s]", s, farthest)
		case s.Unit >= unitCount || s.Reach > ReachAccount:
			t.Fatalf("%+v: no such unit or reach", s)
		}
	}
}

func TestWhatIsLeftOutIsNotZero(t *testing.T) {
	t.Parallel()
	var unsaid Told[int]
	zero := Tell(0)
	if unsaid == zero {
		t.Error("a number that was left out equals zero")
	}
	if n, ok := unsaid.Get(); n != 0 || ok {
		t.Errorf("Get() of a number left out = %d, %v; want 0, false", n, ok)
	}
	if n, ok := zero.Get(); n != 0 || !ok {
		t.Errorf("Get() of zero = %d, %v; want 0, true", n, ok)
	}
	if got := fmt.Sprint(unsaid, zero, Tell(90*time.Second), Told[time.Duration]{}); got != "- 0 1m30s -" {
		t.Errorf("as text: %s; want - 0 1m30s -", got)
	}
}

func TestUnitsHaveWordsAndKnowTokens(t *testing.T) {
	t.Parallel()
	for want, u := range map[string]Unit{
		"requests": Requests, "tokens": Tokens, "input_tokens": InputTokens, "output_tokens": OutputTokens, "concurrent": Concurrent,
		"unknown": unitCount,
	} {
		if got := u.String(); got != want {
			t.Errorf("Unit(%d).String() = %q; want %q", u, got, want)
		}
		if got := u.OfTokens(); got != strings.Contains(want, "tokens") {
			t.Errorf("%s.OfTokens() = %v", u, got)
		}
	}
}

func TestSignsKeepTheirPromises(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		in   Sign
		want []Sign
	}{
		{"nothing said", Sign{Period: time.Minute, Reach: ReachModel}, nil},
		{"a limit alone", limit(Tokens, 0, 5, -1, -1), []Sign{limit(Tokens, 0, 5, -1, -1)}},
		{"a reset alone", limit(Requests, 0, -1, -1, 0), []Sign{limit(Requests, 0, -1, -1, 0)}},
		{"a name alone", blamed(Sign{}), []Sign{blamed(Sign{})}},
		{"more left than there is", limit(Requests, 0, 5, 6, 7), []Sign{limit(Requests, 0, 5, -1, 7)}},
		{"nothing allowed", limit(Requests, 0, 0, -1, -1), []Sign{limit(Requests, 0, 0, 0, -1)}},
		{"something left of nothing", limit(Requests, 0, 0, 9, -1), []Sign{limit(Requests, 0, 0, 0, -1)}},
	} {
		if got := appended(nil, tt.in); !slices.Equal(got, tt.want) {
			t.Errorf("%s: appended(%+v) = %+v; want %+v", tt.name, tt.in, got, tt.want)
		}
	}
}

func TestWhatTheBodySaysCompletesWhatTheHeadersSay(t *testing.T) {
	t.Parallel()
	minute, hour := limit(Requests, time.Minute, 40, 0, time.Second), limit(Requests, time.Hour, 900, 12, -1)
	for _, tt := range []struct {
		name string
		have []Sign
		add  Sign
		want []Sign
	}{
		{"no header", nil, blamed(minute), []Sign{blamed(minute)}},
		{"the same limit", []Sign{hour, minute}, blamed(limit(Requests, time.Minute, 40, 3, -1)), []Sign{hour, blamed(minute)}},
		{
			"a period that no header says",
			[]Sign{limit(Requests, 0, 8, 0, 9)},
			reaching(ReachModel, blamed(Sign{Period: time.Minute})),
			[]Sign{reaching(ReachModel, blamed(limit(Requests, time.Minute, 8, 0, 9)))},
		},
		{
			"the period's own sign before one without",
			[]Sign{limit(Requests, 0, 8, 0, 9), hour},
			blamed(Sign{Period: time.Hour}),
			[]Sign{limit(Requests, 0, 8, 0, 9), blamed(hour)},
		},
		{
			"without a period, the first of its unit",
			[]Sign{limit(Tokens, 0, 8, 0, 9), minute, hour},
			blamed(Sign{}),
			[]Sign{limit(Tokens, 0, 8, 0, 9), blamed(minute), hour},
		},
		{
			"another limit",
			[]Sign{minute},
			blamed(limit(Requests, time.Minute, 41, 0, -1)),
			[]Sign{minute, blamed(limit(Requests, time.Minute, 41, 0, -1))},
		},
		{
			"another unit",
			[]Sign{minute},
			blamed(limit(Tokens, time.Minute, 40, 0, -1)),
			[]Sign{minute, blamed(limit(Tokens, time.Minute, 40, 0, -1))},
		},
		{
			"another period",
			[]Sign{minute},
			blamed(limit(Requests, day, 40, 0, -1)),
			[]Sign{minute, blamed(limit(Requests, day, 40, 0, -1))},
		},
		{
			"a limit that makes the rest nonsense",
			[]Sign{limit(Requests, 0, -1, 9, -1)},
			limit(Requests, 0, 3, -1, -1),
			[]Sign{limit(Requests, 0, 3, -1, -1)},
		},
		{"no room", slices.Repeat([]Sign{minute}, MaxSigns), blamed(hour), append(slices.Repeat([]Sign{minute}, MaxSigns-1), blamed(hour))},
	} {
		if got := merged(slices.Clone(tt.have), tt.add); !slices.Equal(got, tt.want) {
			t.Errorf("%s: merged(%+v, %+v) = %+v; want %+v", tt.name, tt.have, tt.add, got, tt.want)
		}
	}
}

func TestExhaustedIsTheLimitThatRefused(t *testing.T) {
	t.Parallel()
	minute, hour := limit(Requests, time.Minute, 40, 0, time.Second), limit(Requests, time.Hour, 900, 0, 20*time.Minute)
	tokens := limit(Tokens, time.Minute, 6000, 150, -1)
	for _, tt := range []struct {
		name  string
		class Class
		signs []Sign
		want  Sign
		ok    bool
	}{
		{"nothing said", Quota, nil, Sign{}, false},
		{"something left of all", Quota, []Sign{tokens, limit(Requests, time.Minute, 40, 1, -1)}, Sign{}, false},
		{"nothing left of one", Quota, []Sign{tokens, minute}, minute, true},
		{"nothing left of two", Quota, []Sign{minute, hour}, hour, true},
		{"of two that last as long, the first", Quota, []Sign{minute, limit(Tokens, time.Minute, 9, 0, time.Second)}, minute, true},
		{"in any order", Quota, []Sign{hour, minute}, hour, true},
		{"a day without a reset", Quota, []Sign{hour, limit(Requests, day, 50, 0, -1), minute}, limit(Requests, day, 50, 0, -1), true},
		{"the named one, whatever is left", Quota, []Sign{hour, blamed(tokens), minute}, blamed(tokens), true},
		{"the longest named one", Quota, []Sign{blamed(tokens), blamed(hour), limit(Requests, day, 50, 0, -1)}, blamed(hour), true},
		{"no refusal", OK, []Sign{minute}, Sign{}, false},
		{"a full queue is none", QueueFull, []Sign{minute}, Sign{}, false},
	} {
		got, ok := Outcome{Class: tt.class, Signs: tt.signs}.Exhausted()
		if got != tt.want || ok != tt.ok {
			t.Errorf("%s: Exhausted() = %+v, %v; want %+v, %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}

func ExampleOutcome_Exhausted() {
	h := http.Header{}
	h.Set("X-RateLimit-Limit-Requests", "14400")
	h.Set("X-RateLimit-Remaining-Requests", "14370")
	h.Set("X-RateLimit-Limit-Tokens", "12000")
	h.Set("X-RateLimit-Remaining-Tokens", "265")
	body := `{"error":{"message":"Rate limit reached for model llama in organization org on tokens per minute (TPM): ` +
		`Limit 12000, Used 11735, Requested 3283. Please try again in 15.09s.","type":"tokens","code":"rate_limit_exceeded"}}`
	outcome := Classify(time.Now(), Answer{Status: 429, Header: h, Body: body, Dialect: DialectOf("api.groq.com")})
	sign, ok := outcome.Exhausted()
	fmt.Println(ok, sign.Unit, sign.Limit, sign.Period, "left:", sign.Remaining)
	fmt.Println(outcome.RetryAfter, len(outcome.Signs))
	// Output:
	// true tokens 12000 1m0s left: 265
	// 15.09s 2
}
