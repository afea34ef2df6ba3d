package top

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestCleanLetsNothingThroughThatATerminalObeys(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"meta/llama-3.3-70b-instruct", "meta/llama-3.3-70b-instruct"},
		{"通义千问 über 🦙", "通义千问 über 🦙"},
		{"\x1b]0;owned\x07", "?]0;owned?"},
		{"a\x1b[2Jb", "a?[2Jb"},
		{"a\u009b2Jb", "a?2Jb"}, // the same as one character
		{"a\r\nb\tc\x7f", "a??b?c?"},
		{"\xff\xfe", "??"},
		{"exe\u202egpj", "exe?gpj"}, // writes backwards from there on
		{"a\u2028b\u200bc", "a?b?c"},
	} {
		if got := Clean(tt.in); got != tt.want {
			t.Errorf("Clean(%q) = %q; want %q", tt.in, got, tt.want)
		}
	}
}

func TestFitCutsBetweenCharacters(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   string
		room int
		want string
	}{
		{"agent", 5, "agent"},
		{"agent", 4, "age~"},
		{"agent", 1, "~"},
		{"agent", 0, ""},
		{"agent", -1, ""},
		{"", 3, ""},
		{"模型", 4, "模型"},
		{"模型", 3, "模~"},
		{"模型", 2, "~"}, // half of a wide character is none
		{"a模型", 4, "a模~"},
		{"a模型b", 5, "a模~"},
		{"🦙🦙", 3, "🦙~"},
		{"e\u0301e\u0301e\u0301", 2, "e\u0301~"}, // an accent belongs to its letter
		{"a" + strings.Repeat("\u0301", 9), 3, "a\u0301\u0301\u0301~"},
	} {
		if got := fit(tt.in, tt.room); got != tt.want {
			t.Errorf("fit(%q, %d) = %q; want %q", tt.in, tt.room, got, tt.want)
		}
	}
}

func FuzzNothingHostileAndNothingTooWideLeavesALine(f *testing.F) {
	f.Add("agent", "model", 12, false)
	f.Add("\x1b[31mred", "模型\u202e", 7, true)
	f.Add("\xff\u009b", "🦙", 3, true)
	f.Add("", strings.Repeat("\u0301", 100), 5, false)
	f.Fuzz(func(t *testing.T, a, b string, room int, colour bool) {
		room = 1 + (room%200+200)%200
		encoded := line{{a, bold}, {"###", fillLow}, {b, normal}}.encode(room, colour)
		text := strings.NewReplacer("\x1b[1m", "", "\x1b[42m", "", "\x1b[0m", "").Replace(encoded)
		if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) || !colour && text != encoded {
			t.Fatalf("encode(%q, %q) = %q; want printable text and our own colours", a, b, encoded)
		}
		if n := columns(text); n > room {
			t.Fatalf("encode(%q, %q) = %q with %d columns; want at most %d", a, b, encoded, n, room)
		}
		if n := utf8.RuneCountInString(text); n > 8*room {
			t.Fatalf("encode(%q, %q) has %d characters in %d columns", a, b, n, room)
		}
	})
}

func TestALineShowsFillsAsColoursOrAsText(t *testing.T) {
	t.Parallel()
	l := line{{"URGENT ", bold}, {"###", fillUrgent}, {"..", dim}, say(" 3")}
	for _, tt := range []struct {
		room   int
		colour bool
		want   string
	}{
		{0, false, "URGENT ###.. 3"},
		{0, true, "\x1b[1mURGENT \x1b[0m\x1b[41m   \x1b[0m\x1b[2m..\x1b[0m 3"},
		{9, true, "\x1b[1mURGENT \x1b[0m\x1b[41m  \x1b[0m"},
		{11, false, "URGENT ###~"},
		{14, false, "URGENT ###.. 3"},
	} {
		if got := l.encode(tt.room, tt.colour); got != tt.want {
			t.Errorf("encode(%d, %v) = %q; want %q", tt.room, tt.colour, got, tt.want)
		}
	}
}
