package hint

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

func TestRetryAfterReadsEveryFormThatIsSeen(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		value string
		want  time.Duration
		ok    bool
	}{
		{"0", 0, true},
		{"1", time.Second, true},
		{"10800", 3 * time.Hour, true},
		{" 7 ", 7 * time.Second, true},
		{"1.5", 1500 * time.Millisecond, true},
		{".5", 500 * time.Millisecond, true},
		{"-3", 0, true},
		{"86400", 24 * time.Hour, true},
		{"86401", 24 * time.Hour, true},
		{"1e99", 24 * time.Hour, true},
		{"99999999999999999999", 24 * time.Hour, true},
		{"Wed, 25 Nov 2026 12:00:30 GMT", 30 * time.Second, true},
		{"Wednesday, 25-Nov-26 12:00:30 GMT", 30 * time.Second, true},
		{"Wed Nov 25 12:00:30 2026", 30 * time.Second, true},
		{"Wed, 25 Nov 2026 11:00:00 GMT", 0, true},
		{"Fri, 01 Jan 9999 00:00:00 GMT", 24 * time.Hour, true},
		{"Mon, 01 Jan 0001 00:00:00 GMT", 0, true},
		{"", 0, false},
		{"   ", 0, false},
		{"soon", 0, false},
		{"NaN", 0, false},
		{"Inf", 0, false},
		{"-infinity", 0, false},
		{"1e999", 0, false},
		{"1m30s", 0, false},
		{"5, 6", 0, false},
		{"Wed, 25 Nov 2026 12:00:30 PST", 0, false},
	} {
		got, ok := RetryAfter(now, http.Header{"Retry-After": {tt.value}})
		if got != tt.want || ok != tt.ok {
			t.Errorf("RetryAfter(%q) = %s, %v; want %s, %v", tt.value, got, ok, tt.want, tt.ok)
		}
	}
}

func TestMillisecondsBeatSeconds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		ms, seconds string
		want        time.Duration
		ok          bool
	}{
		{"150", "3", 150 * time.Millisecond, true},
		{"0", "3", 0, true},
		{"-1", "3", 0, true},
		{"0.25", "", 250 * time.Microsecond, true},
		{"86400001", "", 24 * time.Hour, true},
		{"soon", "3", 3 * time.Second, true},
		{"", "3", 3 * time.Second, true},
		{"soon", "later", 0, false},
	} {
		h := http.Header{}
		h.Set("retry-after-ms", tt.ms)
		h.Set("retry-after", tt.seconds)
		if got, ok := RetryAfter(now, h); got != tt.want || ok != tt.ok {
			t.Errorf("RetryAfter(ms %q, s %q) = %s, %v; want %s, %v", tt.ms, tt.seconds, got, ok, tt.want, tt.ok)
		}
	}
	if got, ok := RetryAfter(now, nil); got != 0 || ok {
		t.Errorf("RetryAfter(no headers) = %s, %v; want 0, false", got, ok)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"", "12", "-1", "1e99", "0x1p4", "1_000", "NaN", "Wed, 25 Nov 2026 12:00:30 GMT", "Wed Nov  5 12:00:30 2026"} {
		f.Add(seed, "")
		f.Add("", seed)
	}
	f.Fuzz(func(t *testing.T, ms, seconds string) {
		got, ok := RetryAfter(now, http.Header{"Retry-After-Ms": {ms}, "Retry-After": {seconds}})
		if got < 0 || got > MaxRetryAfter || !ok && got != 0 {
			t.Fatalf("RetryAfter(%q, %q) = %s, %v; want it within [0, %s], and 0 where nothing was understood", ms, seconds, got, ok, MaxRetryAfter)
		}
		var n uint16
		if _, err := fmt.Sscanf(ms, "%d", &n); err == nil && fmt.Sprint(n) == ms && got != time.Duration(n)*time.Millisecond {
			t.Fatalf("RetryAfter(%q ms) = %s; want %d ms", ms, got, n)
		}
	})
}

func ExampleRetryAfter() {
	wait, ok := RetryAfter(time.Now(), http.Header{"Retry-After": {"10800"}})
	fmt.Println(wait, ok)
	// Output: 3h0m0s true
}
