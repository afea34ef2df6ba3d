package sse_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"nimsidecar/internal/sse"
)

func TestEventsReadsTheStandardsFormat(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, in, want string }{
		{"data", "data: x\n\n", `"" "x" ""; `},
		{"no blank after the colon", "data:x\n\n", `"" "x" ""; `},
		{"one blank is taken off, not two", "data:  x\n\n", `"" " x" ""; `},
		{"a named event", "event: ping\ndata: {}\n\n", `"ping" "{}" ""; `},
		{"the name after the data", "data: {}\nevent: ping\n\n", `"ping" "{}" ""; `},
		{"a name does not last", "event: a\ndata: 1\n\ndata: 2\n\n", `"a" "1" ""; "" "2" ""; `},
		{"data of several lines", "data: a\ndata: b\ndata\ndata: c\n\n", `"" "a\nb\n\nc" ""; `},
		{"empty data", "data\n\n", `"" "" ""; `},
		{"a name alone is no event", "event: x\n\n", ``},
		{"comment", ": hello\n", `"" "" "hello"; `},
		{"comment inside an event", "data: a\n:b\ndata: c\n\n", `"" "" "b"; "" "a\nc" ""; `},
		{"id and retry are skipped", "id: 7\nretry: 10\ndata: x\n\n", `"" "x" ""; `},
		{"unknown fields are skipped", "foo: bar\ndatum: y\n\n", ``},
		{"without the blank line it is not finished", "data: a\n\ndata: b\n", `"" "a" ""; `},
		{"CRLF", "data: a\r\n\r\ndata: b\r\n\r\n", `"" "a" ""; "" "b" ""; `},
		{"CR", "data: a\r\rdata: b\r\r", `"" "a" ""; "" "b" ""; `},
		{"only blank lines", "\n\n\r\n", ``},
		{"nothing", "", ``},
	} {
		if got := events([]byte(tt.in)); got != tt.want {
			t.Errorf("%s: Events(%q) = %s; want %s", tt.name, tt.in, got, tt.want)
		}
	}
}

func TestEventsToldApartFromComments(t *testing.T) {
	t.Parallel()
	for e := range sse.Events([]byte(":\n")) {
		if e.Comment == nil {
			t.Error("the empty comment has a nil Comment; want it empty, since nil is an event")
		}
	}
	for e := range sse.Events([]byte("data: x\n\n")) {
		if e.Comment != nil {
			t.Errorf("an event has Comment %q; want nil", e.Comment)
		}
	}
}

func TestEventsStopsWhenToldAndKeepsItsInput(t *testing.T) {
	t.Parallel()
	in := []byte("data: a\ndata: b\nevent: c\n\n: d\ndata: e\n\n")
	kept := bytes.Clone(in)
	for range 2 {
		for e := range sse.Events(in) {
			if string(e.Data) != "a\nb" {
				t.Errorf("first event has data %q; want a, b", e.Data)
			}
			break
		}
	}
	for e := range sse.Events([]byte(": x\ndata: y\n\n")) {
		if string(e.Comment) != "x" {
			t.Errorf("went on to %+v after the loop ended", e)
		}
		break
	}
	if !bytes.Equal(in, kept) {
		t.Errorf("Events changed its input to %q", in)
	}
}

func TestAppendEventIsReadBack(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, data, want string }{
		{"", "{}", "data: {}\n\n"},
		{"error", `{"a":1}`, "event: error\ndata: {\"a\":1}\n\n"},
		{"", "a\nb\n", "data: a\ndata: b\ndata: \n\n"},
		{"", "", "data: \n\n"},
		{"x\ny", "a\r\nb", "event: x y\ndata: a \ndata: b\n\n"}, // nothing can break out of its line
	} {
		got := sse.AppendEvent([]byte("#"), tt.name, []byte(tt.data))
		if string(got) != "#"+tt.want {
			t.Errorf("AppendEvent(%q, %q) = %q; want %q", tt.name, tt.data, got, "#"+tt.want)
		}
	}
}

func TestAppendCommentIsOneLineWithOneLineFeed(t *testing.T) {
	t.Parallel()
	got := sse.AppendComment(nil, "queued pos=3\n\ndata: eta=12s\r")
	if want := ": queued pos=3  data: eta=12s \n"; string(got) != want {
		t.Errorf("AppendComment() = %q; want %q", got, want)
	}
}

func FuzzAppendedEventsAreReadBack(f *testing.F) {
	f.Add("error", "{}", "ping")
	f.Add("", "a\nb", "x\r\ny")
	f.Fuzz(func(t *testing.T, name, data, comment string) {
		frames := sse.AppendEvent(sse.AppendComment(nil, comment), name, []byte(data))
		flat := strings.NewReplacer("\r", " ", "\n", " ").Replace
		want := fmt.Sprintf("%q %q %q; %q %q %q; ", "", "", flat(comment), flat(name), strings.ReplaceAll(data, "\r", " "), "")
		if got := events(frames); got != want {
			t.Fatalf("read back %s; want %s", got, want)
		}
	})
}

// BenchmarkEvents reads one chunk of a chat stream. Budget: 150 ns, no allocation.
func BenchmarkEvents(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		for e := range sse.Events(typical) {
			if len(e.Data) == 0 {
				b.Fatal("no data")
			}
		}
	}
}

func ExampleEvents() {
	for e := range sse.Events([]byte(": queued pos=3\nevent: ping\ndata: {}\n\n")) {
		fmt.Printf("%s|%s|%s\n", e.Name, e.Data, e.Comment)
	}
	// Output:
	// ||queued pos=3
	// ping|{}|
}

func ExampleAppendComment() {
	fmt.Printf("%q\n", sse.AppendComment(nil, "queued pos=3 eta=12s"))
	// Output: ": queued pos=3 eta=12s\n"
}
