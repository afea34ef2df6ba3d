package priority_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"nimsidecar/internal/priority"
)

func TestParseReadsNamesAndNumbers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   string
		want priority.Class
		ok   bool
	}{
		{"urgent", priority.Urgent, true},
		{"URGENT", priority.Urgent, true},
		{"High", priority.High, true},
		{" normal\t", priority.Normal, true},
		{"low", priority.Low, true},
		{"0", priority.Urgent, true},
		{"1", priority.High, true},
		{"2", priority.Normal, true},
		{"3", priority.Low, true},
		{"4", priority.Normal, false},
		{"-1", priority.Normal, false},
		{"00", priority.Normal, false},
		{"", priority.Normal, false},
		{" ", priority.Normal, false},
		{"urgentt", priority.Normal, false},
		{"ur gent", priority.Normal, false},
		{"１", priority.Normal, false}, // a full-width digit
		{"low,high", priority.Normal, false},
	} {
		got, err := priority.Parse(tt.in)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("Parse(%q) = %v, %v; want %v, ok %v", tt.in, got, err, tt.want, tt.ok)
		}
		if err != nil && !strings.Contains(err.Error(), priority.Allowed) {
			t.Errorf("Parse(%q) error = %v; want the allowed values in it", tt.in, err)
		}
	}
}

func TestClassesCompareByUrgencyAndHaveTheirContractNumbers(t *testing.T) {
	t.Parallel()
	all := priority.All()
	if len(all) != priority.Count {
		t.Fatalf("All() has %d classes; want Count = %d", len(all), priority.Count)
	}
	for i, want := range []string{"URGENT", "HIGH", "NORMAL", "LOW"} {
		if got := all[i]; got != priority.Class(i) || got.String() != want {
			t.Errorf("All()[%d] = %d %s; want %d %s", i, got, got, i, want)
		}
	}
	if got := priority.Class(9).String(); got != "Class(9)" {
		t.Errorf("Class(9).String() = %q; want no panic and Class(9)", got)
	}
}

func TestTextEncodingRoundTrips(t *testing.T) {
	t.Parallel()
	for _, class := range priority.All() {
		text, err := json.Marshal(class)
		if want := `"` + strings.ToLower(class.String()) + `"`; err != nil || string(text) != want {
			t.Errorf("Marshal(%v) = %s, %v; want %s", class, text, err, want)
		}
		var back priority.Class
		if err := json.Unmarshal(text, &back); err != nil || back != class {
			t.Errorf("Unmarshal(%s) = %v, %v; want %v", text, back, err, class)
		}
	}
	kept := priority.Low
	if err := kept.UnmarshalText([]byte("soon")); err == nil || kept != priority.Low {
		t.Errorf("UnmarshalText(soon) = %v, %v; want an error and the value unchanged", kept, err)
	}
}

func TestFromHeaderIsStrictForOursAndLenientForTheAlias(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		h     http.Header
		want  priority.Class
		asked bool
		ok    bool
	}{
		{"none", http.Header{}, priority.Normal, false, true},
		{"nil", nil, priority.Normal, false, true},
		{"ours", http.Header{"X-Sidecar-Priority": {"low"}}, priority.Low, true, true},
		{"ours says normal", http.Header{"X-Sidecar-Priority": {"normal"}}, priority.Normal, true, true},
		{"ours is unknown", http.Header{"X-Sidecar-Priority": {"asap"}}, priority.Normal, false, false},
		{"ours is empty", http.Header{"X-Sidecar-Priority": {""}}, priority.Normal, false, false},
		{"ours is repeated", http.Header{"X-Sidecar-Priority": {"low", "low"}}, priority.Normal, false, false},
		{"alias", http.Header{"X-Priority": {"1"}}, priority.High, true, true},
		{"alias is unknown", http.Header{"X-Priority": {"u=3"}}, priority.Normal, false, true},
		{"alias is repeated", http.Header{"X-Priority": {"low", "high"}}, priority.Low, true, true},
		{"ours beats the alias", http.Header{"X-Sidecar-Priority": {"urgent"}, "X-Priority": {"low"}}, priority.Urgent, true, true},
		{"an unknown one of ours is not mended by the alias", http.Header{"X-Sidecar-Priority": {"?"}, "X-Priority": {"low"}}, priority.Normal, false, false},
	} {
		got, asked, err := priority.FromHeader(tt.h)
		if got != tt.want || asked != tt.asked || (err == nil) != tt.ok {
			t.Errorf("%s: FromHeader() = %v, %v, %v; want %v, %v, ok %v", tt.name, got, asked, err, tt.want, tt.asked, tt.ok)
		}
	}
}

func TestFromHeaderErrorNamesHeaderValueAndAllowedValues(t *testing.T) {
	t.Parallel()
	_, _, err := priority.FromHeader(http.Header{"X-Sidecar-Priority": {"asap"}})
	for _, want := range []string{"X-Sidecar-Priority", `"asap"`, priority.Allowed} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v; want %s in it", err, want)
		}
	}
	_, _, err = priority.FromHeader(http.Header{"X-Sidecar-Priority": {strings.Repeat("é", 5000)}})
	if err == nil || len(err.Error()) > 300 || !utf8.ValidString(err.Error()) {
		t.Errorf("error of a huge value = %q; want it short and valid UTF-8", err)
	}
}

func TestFromServiceTierKnowsTwoTiers(t *testing.T) {
	t.Parallel()
	for tier, want := range map[string]struct {
		class priority.Class
		asked bool
	}{
		"priority": {priority.High, true}, "flex": {priority.Low, true},
		"auto": {priority.Normal, false}, "default": {priority.Normal, false}, "": {priority.Normal, false}, "FLEX": {priority.Normal, false},
	} {
		if got, asked := priority.FromServiceTier(tier); got != want.class || asked != want.asked {
			t.Errorf("FromServiceTier(%q) = %v, %v; want %v, %v", tier, got, asked, want.class, want.asked)
		}
	}
}

func FuzzFromHeader(f *testing.F) {
	f.Add("urgent", "low")
	f.Add("", "3")
	f.Add("\x00\xff", "ＵＲＧＥＮＴ")
	f.Fuzz(func(t *testing.T, ours, alias string) {
		class, asked, err := priority.FromHeader(http.Header{priority.Header: {ours}, priority.HeaderAlias: {alias}})
		if class >= priority.Count {
			t.Fatalf("class = %d; want one of the four", class)
		}
		if asked == (err != nil) {
			t.Fatalf("asked = %v, error = %v; want exactly one of them, since the header is there", asked, err)
		}
		if err != nil && (class != priority.Normal || len(err.Error()) > 400) {
			t.Fatalf("class = %v, error of %d bytes; want NORMAL and a short one", class, len(err.Error()))
		}
		if err == nil && !strings.EqualFold(strings.TrimSpace(ours), class.String()) && strings.TrimSpace(ours) != fmt.Sprint(uint8(class)) {
			t.Fatalf("FromHeader(%q) = %v; want its own name or number", ours, class)
		}
	})
}

// BenchmarkFromHeader is the hot path: one header that asks for a class. Budget: 60 ns, no allocation.
func BenchmarkFromHeader(b *testing.B) {
	h := http.Header{"X-Sidecar-Priority": {"normal"}, "Authorization": {"Bearer x"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, asked, _ := priority.FromHeader(h); !asked {
			b.Fatal("not asked")
		}
	}
}

func ExampleFromHeader() {
	class, asked, err := priority.FromHeader(http.Header{"X-Sidecar-Priority": {"high"}})
	fmt.Println(class, asked, err)
	_, _, err = priority.FromHeader(http.Header{"X-Sidecar-Priority": {"asap"}})
	fmt.Println(err)
	// Output:
	// HIGH true <nil>
	// header X-Sidecar-Priority: value "asap" is not allowed: use urgent, high, normal, low or 0, 1, 2, 3
}
