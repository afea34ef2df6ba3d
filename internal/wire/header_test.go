package wire

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestRemoveHopByHopLeavesWhatIsForTheOtherEnd(t *testing.T) {
	t.Parallel()
	h := http.Header{
		"Connection":         {"keep-alive, X-Secret-Hop", "close,x-other , ,Authorization"},
		"Keep-Alive":         {"timeout=5"},
		"Proxy-Connection":   {"keep-alive"},
		"Proxy-Authenticate": {"Basic"},
		"Proxy-Authorization": {
			"Basic x",
		},
		"Proxy-Status":      {"x"},
		"Te":                {"trailers"},
		"Trailer":           {"X-Sum"},
		"Transfer-Encoding": {"chunked"},
		"Upgrade":           {"h2c"},
		"X-Secret-Hop":      {"1"},
		"X-Other":           {"2"},
		"Authorization":     {"Bearer x"},
		"Accept":            {"*/*"},
		"Content-Type":      {"application/json"},
		"Teapot":            {"short"},
	}
	RemoveHopByHop(h)
	if got, want := slices.Sorted(maps.Keys(h)), []string{"Accept", "Content-Type", "Teapot"}; !slices.Equal(got, want) {
		t.Errorf("left %v; want %v", got, want)
	}
	RemoveHopByHop(nil) // a message without headers
}

func TestFormatResetIsOpenAIsSyntax(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		d    time.Duration
		want string
	}{
		{0, "0s"},
		{-time.Second, "0s"},
		{1, "1ms"},
		{17 * time.Millisecond, "17ms"},
		{17*time.Millisecond + 1, "18ms"},
		{time.Second, "1s"},
		{999*time.Millisecond + 1, "1s"},
		{1500 * time.Millisecond, "1.5s"},
		{6 * time.Minute, "6m0s"},
		{179*time.Second + 560*time.Millisecond, "2m59.56s"},
		{26 * time.Hour, "26h0m0s"},
		{1<<63 - 1, "8760h0m0s"},
	} {
		got := FormatReset(tt.d)
		if got != tt.want {
			t.Errorf("FormatReset(%d) = %s; want %s", tt.d, got, tt.want)
		}
		if back, err := time.ParseDuration(got); err != nil || back < min(tt.d, maxReset) {
			t.Errorf("FormatReset(%d) = %s, read back as %s, %v; want no less than it was", tt.d, got, back, err)
		}
	}
}

func FuzzRemoveHopByHop(f *testing.F) {
	f.Add("close, X-A", "X-A")
	f.Add(",,\x00, \xff", "Proxy-Foo")
	f.Fuzz(func(t *testing.T, connection, name string) {
		h := http.Header{"Connection": {connection}, "Content-Length": {"1"}}
		h.Set(name, "x")
		RemoveHopByHop(h)
		for left := range h {
			if slices.Contains(hopByHop[:], left) || strings.HasPrefix(left, "Proxy-") {
				t.Fatalf("Connection %q: %s is left", connection, left)
			}
		}
	})
}

// BenchmarkRemoveHopByHop cleans the head of a request of an SDK. Budget: 500 ns, one allocation.
func BenchmarkRemoveHopByHop(b *testing.B) {
	h := http.Header{"Connection": {"keep-alive"}, "Accept": {"*/*"}, "Authorization": {"Bearer x"}, "User-Agent": {"y"}}
	for i := range 12 {
		h.Set(fmt.Sprintf("X-Stainless-%d", i), "z")
	}
	b.ReportAllocs()
	for b.Loop() {
		RemoveHopByHop(h)
		h["Connection"] = keepAlive[:]
	}
}

var keepAlive = [...]string{"keep-alive"}

func ExampleFormatReset() {
	fmt.Println(FormatReset(17*time.Millisecond), FormatReset(time.Second), FormatReset(6*time.Minute))
	// Output: 17ms 1s 6m0s
}
