package config

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestSizes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text string
		want Size
		show string // "" is text itself
	}{
		{"0", 0, ""},
		{"1", 1, ""},
		{"999", 999, ""},
		{"1000", 1000, "1KB"},
		{"1024B", 1024, "1KiB"},
		{"1024000", 1_024_000, "1024KB"},
		{"25MB", 25_000_000, ""},
		{"25 mb", 25_000_000, "25MB"},
		{"32MiB", 32 << 20, ""},
		{"3GiB", 3 << 30, ""},
		{"2GB", 2_000_000_000, ""},
		{"9223372036854775807", math.MaxInt64, ""},
	}
	for _, tt := range tests {
		var got Size
		if err := got.UnmarshalText([]byte(tt.text)); err != nil || got != tt.want {
			t.Errorf("%q is %d, %v; want %d", tt.text, got, err, tt.want)
		}
		if tt.show == "" {
			tt.show = tt.text
		}
		if got.String() != tt.show {
			t.Errorf("Size(%d).String() = %q; want %q", got, got, tt.show)
		}
	}
	for _, text := range []string{"", "MB", "-1", "+1", "1.5MB", "1e3", "1TB", "1_000", "25 M B", "0x1", "9223372036854775808", "9223372037GB", "１"} {
		size := Size(7)
		if err := size.UnmarshalText([]byte(text)); err == nil || size != 7 {
			t.Errorf("%q is %d, %v; want an error and no change", text, size, err)
		}
	}
}

func FuzzSize(f *testing.F) {
	for _, seed := range []string{"25MB", "1024B", "3 gib", "9223372036854775807", "-1KB", "KB"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s, again Size
		if s.UnmarshalText([]byte(text)) != nil {
			return
		}
		if s < 0 {
			t.Fatalf("%q is %d; want no negative size", text, s)
		}
		if err := again.UnmarshalText([]byte(s.String())); err != nil || again != s {
			t.Errorf("%q is %d, which prints as %q, which is %d, %v", text, s, s, again, err)
		}
	})
}

func TestDurationsAreShownWithoutZeros(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0s", time.Millisecond: "1ms", 90 * time.Second: "1m30s", 15 * time.Minute: "15m", 2 * time.Hour: "2h",
		time.Hour + time.Second: "1h0m1s", 10 * time.Minute: "10m", 20 * time.Hour: "20h", 10 * time.Second: "10s",
	} {
		if got := showDuration(d); got != want {
			t.Errorf("showDuration(%v) = %q; want %q", d, got, want)
		}
	}
}

func FuzzDuration(f *testing.F) {
	for _, seed := range []string{"90s", "15m", "1h30m", "-1s", "1.5h", "100h0m0s", "5"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var d, again time.Duration
		if parse(reflect.ValueOf(&d).Elem(), text) != nil {
			return
		}
		if err := parse(reflect.ValueOf(&again).Elem(), showDuration(d)); err != nil || again != d {
			t.Errorf("%q is %v, which prints as %q, which is %v, %v", text, d, showDuration(d), again, err)
		}
	})
}

func TestURLsLoseTheirTrailingSlashes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://x/v1": "https://x/v1", "https://x/v1//": "https://x/v1", "http://[::1]:8000/": "http://[::1]:8000", "https://x/a%2Fb/": "https://x/a%2Fb",
	} {
		c := mustLoad(t, layers{env: []string{"SIDECAR_UPSTREAM_URL=" + text}})
		if got := c.Providers[0].URL.String(); got != want {
			t.Errorf("%q became %q; want %q", text, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"listen", "limits", "limits_hint", "max_wait", "h2c"}
	for word, want := range map[string]string{
		"listen": "listen", "lisetn": "listen", "LISTEN": "listen", "listne": "listen", "limit": "limits", "limithint": "limits_hint",
		"maxwait": "max_wait", "max-wait": "max_wait", "h2": "h2c", "x": "", "": "", "banana": "", "lxxxxn": "",
	} {
		if got := nearest(word, known); got != want {
			t.Errorf("nearest(%q) = %q; want %q", word, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	tests := []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "abc", 0}, {"abc", "abd", 1}, {"abc", "ab", 1}, {"abc", "acb", 1}, {"kitten", "sitting", 3}, {"ab", "ba", 1}, {"abcd", "badc", 2},
	}
	for _, tt := range tests {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("distance(%q, %q) = %d; want %d", tt.a, tt.b, got, tt.want)
		}
		if got := distance(tt.b, tt.a); got != tt.want {
			t.Errorf("distance(%q, %q) = %d; want %d", tt.b, tt.a, got, tt.want)
		}
	}
}

func TestWrapKeepsWordsWhole(t *testing.T) {
	t.Parallel()
	got := strings.Join(wrap("one two  three verylongword\nx", 9), "|")
	if want := "one two|three|verylongword|x"; got != want {
		t.Errorf("wrap = %q; want %q", got, want)
	}
}
