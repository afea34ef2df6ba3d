package sse_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"nimsidecar/internal/sse"
)

// ends returns the lengths at which text may be cut between two events: after each blank line. It reads byte by byte, as the
// standard describes the format; it is the oracle.
func ends(text []byte) (found []int) {
	empty := true // the line so far is empty
	for i := 0; i < len(text); i++ {
		if text[i] != '\n' && text[i] != '\r' {
			empty = false
			continue
		}
		if text[i] == '\r' && i+1 < len(text) && text[i+1] == '\n' {
			i++
		}
		if empty {
			found = append(found, i+1)
		}
		empty = true
	}
	return found
}

func TestTheOracleKnowsBlankLines(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]int{
		"": nil, "data: x\n": nil, "data: x\n\n": {9}, "a\r\n\r\nb\r\r": {5, 8}, "\n": {1}, "a\n\r\n": {4}, "a\r\n\nb": {4},
	} {
		if got := ends([]byte(text)); !slices.Equal(got, want) {
			t.Errorf("ends(%q) = %v; want %v", text, got, want)
		}
	}
}

// feed gives text to s in chunks that end at the given cuts, and checks each result. It returns all that was returned.
func feed(t *testing.T, s *sse.Splitter, text []byte, cuts []int) []byte {
	t.Helper()
	at := ends(text)
	var out []byte
	from := 0
	for _, to := range append(cuts, len(text)) {
		chunk := bytes.Clone(text[from:to])
		from = to
		out = append(out, s.Feed(chunk)...)
		for i := range chunk {
			chunk[i] = '#' // the chunk is the caller's again
		}
		if whole := append(bytes.Clone(out), s.Tail()...); !bytes.Equal(whole, text[:to]) {
			t.Fatalf("after %d bytes of %q: returned and held %q; want exactly what was fed", to, text, whole)
		}
		isEnd := len(out) == 0 || slices.Contains(at, len(out))
		if s.AtBoundary() != isEnd {
			t.Fatalf("after %d bytes of %q: AtBoundary() = %v with %d bytes returned; boundaries are %v", to, text, s.AtBoundary(), len(out), at)
		}
		held := ends(s.Tail())
		if s.Limit == 0 && len(held) > 0 && (held[0] < len(s.Tail()) || s.Tail()[held[0]-1] != '\r') {
			t.Fatalf("after %d bytes of %q: a whole event is held: %q", to, text, s.Tail())
		}
	}
	return out
}

// streams are event streams with every kind of line end.
var streams = []string{
	"data: one\n\ndata: two\n\n",
	"data: one\r\n\r\ndata: two\r\n\r\n",
	"data: one\r\rdata: two\r\rdata: three",
	"data: one\n\r\ndata: two\r\n\n",
	": comment\ndata: {\"a\":1}\nevent: x\n\n\n\ndata: [DONE]\n\n",
	"data: grün\u2028 and \xf0\x9f\x98\x80\n\ndata: cut",
	"\n\r\n\r",
	"",
	"no line end",
}

func TestEveryCutGivesTheSameEvents(t *testing.T) {
	t.Parallel()
	for _, stream := range streams {
		text := []byte(stream)
		for first := range len(text) + 1 {
			for second := first; second <= len(text); second++ {
				var s sse.Splitter
				out := append(feed(t, &s, text, []int{first, second}), s.Tail()...)
				if got, want := events(out), events(text); got != want {
					t.Fatalf("%q cut at %d, %d: events %s; want %s", stream, first, second, got, want)
				}
			}
		}
		var s sse.Splitter
		every := make([]int, len(text))
		for i := range every {
			every[i] = i
		}
		feed(t, &s, text, every)
	}
}

// events writes the events of frames in one line.
func events(frames []byte) string {
	var b strings.Builder
	for e := range sse.Events(frames) {
		fmt.Fprintf(&b, "%q %q %q; ", e.Name, e.Data, e.Comment)
	}
	return b.String()
}

func TestAnEventIsPassedOnInTheChunkThatCompletesIt(t *testing.T) {
	t.Parallel()
	var s sse.Splitter
	for _, step := range []struct{ feed, want, held string }{
		{"data: a", "", "data: a"},
		{"\n", "", "data: a\n"},
		{"\ndata: b\n\nda", "data: a\n\ndata: b\n\n", "da"},
		{"ta: c\r\n\r", "", "data: c\r\n\r"}, // half a line end
		{"\n", "data: c\r\n\r\n", ""},
		{": heartbeat\n\n", ": heartbeat\n\n", ""},
		{"", "", ""},
		{"data: d", "", "data: d"},
	} {
		if got := s.Feed([]byte(step.feed)); string(got) != step.want || string(s.Tail()) != step.held {
			t.Fatalf("Feed(%q) = %q, holding %q; want %q, holding %q", step.feed, got, s.Tail(), step.want, step.held)
		}
	}
}

func TestAChunkOfWholeEventsIsReturnedItself(t *testing.T) {
	t.Parallel()
	var s sse.Splitter
	chunk := []byte("data: one\n\ndata: two\n\n")
	if got := s.Feed(chunk); &got[0] != &chunk[0] || len(got) != len(chunk) {
		t.Error("Feed copied a chunk of whole events; want the chunk itself")
	}
}

func TestAnEventBeyondTheLimitPassesUnfinishedAndSaysSo(t *testing.T) {
	t.Parallel()
	s := sse.Splitter{Limit: 8}
	for _, step := range []struct {
		feed, want string
		boundary   bool
	}{
		{"data: 12", "", true}, // eight bytes are held
		{"3", "data: 123", false},
		{"4\n", "4", false}, // the line end may be the first of two
		{"\ndata", "\n\n", true},
		{": 1\n\ndata: 123456", "data: 1\n\ndata: 123456", false}, // a whole event and too long a one
		{"\r\n", "", false},
		{"\r", "", false},
		{"\n", "\r\n\r\n", true},
		{"data: 1234\n\n", "data: 1234\n\n", true}, // whole at once: no limit
		{": 5\n\ndata: 12", ": 5\n\n", true},       // as much as may be held
	} {
		got := string(s.Feed([]byte(step.feed)))
		if len(s.Tail()) > s.Limit {
			t.Fatalf("Feed(%q) holds %q; want at most %d bytes", step.feed, s.Tail(), s.Limit)
		}
		if s.AtBoundary() != step.boundary || got != step.want {
			t.Fatalf("Feed(%q) = %q, AtBoundary() = %v; want %q, %v", step.feed, got, s.AtBoundary(), step.want, step.boundary)
		}
	}
}

func TestALargeBufferIsNotKept(t *testing.T) {
	t.Parallel()
	var s sse.Splitter
	large := append(bytes.Repeat([]byte("x"), 512<<10), "\n\n"...)
	s.Feed(large[:1000])
	if got := s.Feed(large[1000:]); len(got) != len(large) {
		t.Fatalf("Feed returned %d bytes; want %d", len(got), len(large))
	}
	s.Feed([]byte("data: next\n\n"))
	if got := cap(s.Tail()); got > 64<<10 {
		t.Errorf("%d bytes stay allocated; want at most 64 KiB", got)
	}
}

func TestDefaultLimitBoundsWhatIsHeld(t *testing.T) {
	t.Parallel()
	var s sse.Splitter
	chunk := bytes.Repeat([]byte("x"), 64<<10)
	for range 40 {
		s.Feed(chunk)
		if len(s.Tail()) > sse.DefaultLimit {
			t.Fatalf("%d bytes are held; want at most %d", len(s.Tail()), sse.DefaultLimit)
		}
	}
	if s.AtBoundary() {
		t.Error("AtBoundary() = true inside an event of megabytes; want false")
	}
}

func FuzzSplitter(f *testing.F) {
	for i, stream := range streams {
		f.Add([]byte(stream), uint64(i), 0)
		f.Add([]byte(stream), uint64(i), 5)
	}
	f.Fuzz(func(t *testing.T, text []byte, seed uint64, limit int) {
		r := rand.New(rand.NewPCG(seed, 0))
		var cuts []int
		for at := 0; at < len(text) && len(cuts) < 64; at += r.IntN(9) {
			cuts = append(cuts, at)
		}
		s := sse.Splitter{Limit: max(limit, 0) % 64}
		out := append(feed(t, &s, text, cuts), s.Tail()...)
		if got, want := events(out), events(text); got != want {
			t.Fatalf("%q cut at %v: events %s; want %s", text, cuts, got, want)
		}
	})
}

// typical is what one chunk of a chat stream looks like.
var typical = []byte(`data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1764072000,"model":"meta/llama-3.3-70b-instruct",` +
	`"choices":[{"index":0,"delta":{"content":" hello"},"finish_reason":null}]}` + "\n\n")

// BenchmarkFeedTypical is the hot path: a chunk of one whole event. Budget: 20 ns, no allocation.
func BenchmarkFeedTypical(b *testing.B) {
	var s sse.Splitter
	b.ReportAllocs()
	for b.Loop() {
		s.Feed(typical)
	}
}

// BenchmarkFeedCut is the same event in two chunks. Budget: 300 ns for both, no allocation once the buffer is there.
func BenchmarkFeedCut(b *testing.B) {
	var s sse.Splitter
	b.ReportAllocs()
	for b.Loop() {
		s.Feed(typical[:100])
		s.Feed(typical[100:])
	}
}

func ExampleSplitter() {
	var s sse.Splitter
	for _, chunk := range []string{"data: o", "ne\n\nda", "ta: two\n\n"} {
		fmt.Printf("%q %v\n", s.Feed([]byte(chunk)), s.AtBoundary())
	}
	// Output:
	// "" true
	// "data: one\n\n" true
	// "data: two\n\n" true
}
