package limiter_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nimsidecar/internal/mock/limiter"
)

const day = 24 * time.Hour

func TestParseRatesReadsListsOfLimits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		list string
		want []limiter.Rate
	}{
		{"40-M", []limiter.Rate{{N: 40, Period: time.Minute}}},
		{"40-M,1000-H", []limiter.Rate{{N: 40, Period: time.Minute}, {N: 1000, Period: time.Hour}}},
		{" 5-S , 7-d ", []limiter.Rate{{N: 5, Period: time.Second}, {N: 7, Period: day}}},
		{"40-M,1000-H,20-M", []limiter.Rate{{N: 20, Period: time.Minute}, {N: 1000, Period: time.Hour}}},
		{"20-M,40-M", []limiter.Rate{{N: 20, Period: time.Minute}}},
		{"8", []limiter.Rate{{N: 8}}},
		{"1000000000-D", []limiter.Rate{{N: 1_000_000_000, Period: day}}},
	} {
		got, err := limiter.ParseRates(tt.list)
		if err != nil {
			t.Errorf("ParseRates(%q) failed: %v", tt.list, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("ParseRates(%q) (-want +got):\n%s", tt.list, diff)
		}
	}
}

func TestParseRatesNamesTheEntryItCannotRead(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ list, entry, reason string }{
		{"", `""`, "want N-S"},
		{"40-M,", `""`, "want N-S"},
		{"40-M,many-H", `"many-H"`, "want N-S"},
		{"40-W", `"40-W"`, "want N-S"},
		{"40-", `"40-"`, "want N-S"},
		{"-5-M", `"-5-M"`, "want N-S"},
		{"+5-M", `"+5-M"`, "want N-S"},
		{"4.5-M", `"4.5-M"`, "want N-S"},
		{"0-M", `"0-M"`, "from 1 to 1000000000"},
		{"1000000001-M", `"1000000001-M"`, "from 1 to 1000000000"},
		{"99999999999999999999-M", `"99999999999999999999-M"`, "from 1 to 1000000000"},
		{"0", `"0"`, "from 1 to 1000000000"},
	} {
		got, err := limiter.ParseRates(tt.list)
		if err == nil {
			t.Errorf("ParseRates(%q) = %v; want an error", tt.list, got)
			continue
		}
		if text := err.Error(); !strings.Contains(text, tt.entry) || !strings.Contains(text, tt.reason) {
			t.Errorf("ParseRates(%q) failed with %q; want %s and %q in it", tt.list, text, tt.entry, tt.reason)
		}
	}
}

func FuzzParseRates(f *testing.F) {
	for _, seed := range []string{"40-M", "40-M,1000-H", "8", "1-S,2-M,3-H,4-D", "-1-M", "9e9-S", "40-m, 40-M"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		rates, err := limiter.ParseRates(list)
		if err != nil {
			return
		}
		texts := make([]string, len(rates))
		seen := map[time.Duration]bool{}
		for i, r := range rates {
			texts[i] = r.String()
			if r.N < 1 || seen[r.Period] {
				t.Errorf("ParseRates(%q) = %v; want positive limits of different periods", list, rates)
			}
			seen[r.Period] = true
		}
		again, err := limiter.ParseRates(strings.Join(texts, ","))
		if err != nil || !cmp.Equal(again, rates) {
			t.Errorf("ParseRates(%q) = %v, %v; want what it was written from: %v", strings.Join(texts, ","), again, err, rates)
		}
	})
}

func ExampleParseRates() {
	rates, err := limiter.ParseRates("40-M,1000-H")
	fmt.Println(rates, err)
	_, err = limiter.ParseRates("40-W")
	fmt.Println(err)
	// Output:
	// [40-M 1000-H] <nil>
	// limit "40-W": want N-S, N-M, N-H or N-D (such as 40-M), or N alone for a cap on what runs at once
}
