package limit_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"nimsidecar/internal/limit"
)

func TestParseReadsNVIDIAsSyntax(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in, want string // want as String writes it
	}{
		{"40-M", "40-M"},
		{"5-S,40-M,1000-H,9000-D", "5-S,40-M,1000-H,9000-D"},
		{"1000-H,40-M", "40-M,1000-H"}, // shortest first
		{"40-m", "40-M"},
		{" 40-M ,\t1000-H ", "40-M,1000-H"},
		{"40-M,30-M", "30-M"}, // both must hold
		{"30-M,40-M", "30-M"},
		{"040-M", "40-M"},
		{"1000000-D", "1000000-D"},
	} {
		got, err := limit.Parse(tt.in)
		if err != nil || got.String() != tt.want {
			t.Errorf("Parse(%q) = %s, %v; want %s", tt.in, got, err, tt.want)
		}
	}
}

func TestParseSaysWhereAndWhy(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in     string
		offset int
		entry  string
		why    string // a part of it
	}{
		{"", 0, "", "empty"},
		{"40-M,", 5, "", "empty"},
		{"40-M,,1-S", 5, "", "empty"},
		{"40", 0, "40", "no unit"},
		{"40M", 0, "40M", "no unit"},
		{"40-M, 9-W", 6, "9-W", `"W" is not a unit`},
		{"40-", 0, "40-", "not a unit"},
		{"40-Min", 0, "40-Min", "not a unit"},
		{"-40-M", 0, "-40-M", "not a whole number"},
		{"+40-M", 0, "+40-M", "not a whole number"},
		{"4.5-M", 0, "4.5-M", "not a whole number"},
		{"4e1-M", 0, "4e1-M", "not a whole number"},
		{"0-M", 0, "0-M", "not between"},
		{"1000001-M", 0, "1000001-M", "not between"},
		{"99999999999999999999-M", 0, "99999999999999999999-M", "not a whole number"},
		{"40 -M", 0, "40 -M", "not a whole number"},
		{"40-\x13", 0, "40-\x13", "not a unit"}, // the byte that the letter M becomes without its case bits
	} {
		_, err := limit.Parse(tt.in)
		syntax, ok := errors.AsType[*limit.SyntaxError](err)
		if !ok {
			t.Errorf("Parse(%q) error = %v; want a *SyntaxError", tt.in, err)
			continue
		}
		if syntax.Input != tt.in || syntax.Offset != tt.offset || syntax.Entry != tt.entry || !strings.Contains(syntax.Why, tt.why) {
			t.Errorf("Parse(%q) error = %+v; want offset %d, entry %q, why ...%s...", tt.in, *syntax, tt.offset, tt.entry, tt.why)
		}
		if !strings.Contains(err.Error(), limit.Allowed) {
			t.Errorf("Parse(%q) error = %v; want what is allowed in it", tt.in, err)
		}
	}
}

func TestRateStringFallsBackToADuration(t *testing.T) {
	t.Parallel()
	for want, rate := range map[string]limit.Rate{
		"40-M":    {N: 40, Period: time.Minute},
		"1-D":     {N: 1, Period: 24 * time.Hour},
		"5/1m30s": {N: 5, Period: 90 * time.Second},
		"0/0s":    {},
	} {
		if got := rate.String(); got != want {
			t.Errorf("String() = %s; want %s", got, want)
		}
	}
}

func TestPerMinuteIsTheSlowestRate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		rates limit.Rates
		want  float64
	}{
		{nil, 0},
		{limit.Rates{{40, time.Minute}}, 40},
		{limit.Rates{{2, time.Second}}, 120},
		{limit.Rates{{1440, 24 * time.Hour}}, 1},
		{limit.Rates{{5, time.Second}, {40, time.Minute}, {1200, time.Hour}}, 20},
		{limit.Rates{{40, time.Minute}, {3000, time.Hour}}, 40},
		{limit.Rates{{}}, 0}, // the zero rate allows nothing
	} {
		if got := tt.rates.PerMinute(); got != tt.want {
			t.Errorf("%v.PerMinute() = %v; want %v", tt.rates, got, tt.want)
		}
	}
}

func TestTextEncodingRoundTripsAndEmptyIsNoLimit(t *testing.T) {
	t.Parallel()
	for _, want := range []string{`""`, `"40-M,1000-H"`} {
		var rates limit.Rates
		if err := json.Unmarshal([]byte(want), &rates); err != nil {
			t.Fatalf("Unmarshal(%s): %v", want, err)
		}
		if got, err := json.Marshal(struct{ L limit.Rates }{rates}); err != nil || string(got) != `{"L":`+want+`}` {
			t.Errorf("Marshal(Unmarshal(%s)) = %s, %v; want it back", want, got, err)
		}
	}
	if got := limit.Rates(nil).String(); got != "none" {
		t.Errorf("no limit is written %q; want none", got)
	}
	kept := limit.Rates{{40, time.Minute}}
	if err := kept.UnmarshalText([]byte("40")); err == nil || kept.String() != "40-M" {
		t.Errorf("UnmarshalText(40) = %v, %v; want an error and the value unchanged", kept, err)
	}
	if err := kept.UnmarshalText(nil); err != nil || kept != nil {
		t.Errorf("UnmarshalText() = %v, %v; want no limit", kept, err)
	}
}

func TestScopeNamesAModelOrTheWholeAccount(t *testing.T) {
	t.Parallel()
	lane := limit.Scope{Provider: "nvidia", Account: "main", Model: "meta/llama"}
	account := lane.AccountScope()
	if lane.WholeAccount() || !account.WholeAccount() {
		t.Errorf("WholeAccount() of lane, account = %v, %v; want false, true", lane.WholeAccount(), account.WholeAccount())
	}
	if got, want := lane.String(), "nvidia/main/meta/llama"; got != want {
		t.Errorf("String() = %s; want %s", got, want)
	}
	if got, want := account.String(), "nvidia/main"; got != want {
		t.Errorf("AccountScope().String() = %s; want %s", got, want)
	}
	if nameless := (limit.Scope{Provider: "nvidia", Account: "main", Model: limit.NoModel}); nameless.WholeAccount() {
		t.Error("the scope of a request without a model is the whole account's; want one of its own")
	}
}

func FuzzParseRoundTrips(f *testing.F) {
	for _, seed := range []string{"40-M,1000-H", "5-s", " 1-D ,2-D", "0-M", "", "--M", "9-M,9"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		rates, err := limit.Parse(s)
		if err != nil {
			syntax, ok := errors.AsType[*limit.SyntaxError](err)
			if !ok || rates != nil || syntax.Offset < 0 || !strings.HasPrefix(s[min(syntax.Offset, len(s)):], syntax.Entry) {
				t.Fatalf("Parse(%q) = %v, %#v; want no rates and a *SyntaxError whose entry is at its offset", s, rates, err)
			}
			return
		}
		if len(rates) == 0 || !slices.IsSortedFunc(rates, func(a, b limit.Rate) int { return int(a.Period - b.Period) }) {
			t.Fatalf("Parse(%q) = %v; want rates, shortest period first", s, rates)
		}
		for i, r := range rates {
			if r.N < 1 || r.N > limit.MaxN || i > 0 && r.Period == rates[i-1].Period {
				t.Fatalf("Parse(%q) = %v; want numbers in range and each period once", s, rates)
			}
		}
		again, err := limit.Parse(rates.String())
		if err != nil || !slices.Equal(again, rates) {
			t.Fatalf("Parse(%q) = %v, %v; want what it was made from: %v", rates.String(), again, err, rates)
		}
	})
}

func ExampleParse() {
	rates, _ := limit.Parse("1000-H, 40-m")
	fmt.Println(rates, rates.PerMinute())
	_, err := limit.Parse("40-M,9-W")
	fmt.Println(err)
	// Output:
	// 40-M,1000-H 16.666666666666668
	// limit "9-W": "W" is not a unit: use N-S, N-M, N-H or N-D (requests a second, minute, hour, day), several joined by commas, such as 40-M,1000-H
}
