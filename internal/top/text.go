package top

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// Clean returns s with a question mark in the place of each character that does not show: control characters, with which escape
// sequences begin, marks that turn the direction of writing, line ends, and what is no UTF-8.
func Clean(s string) string {
	for _, r := range s {
		if !shows(r) {
			return strings.Map(func(r rune) rune {
				if shows(r) {
					return r
				}
				return '?'
			}, s)
		}
	}
	return s
}

func shows(r rune) bool { return unicode.IsPrint(r) && r != utf8.RuneError }

// columns returns how many columns of a terminal a clean text takes.
func columns(s string) (n int) {
	for _, r := range s {
		n += columnsOf(r)
	}
	return n
}

// columnsOf returns 2 for what East Asian fonts draw wide, 0 for a mark on the character before, else 1.
func columnsOf(r rune) int {
	if r < 0x300 { // below combining marks and wide characters; nearly all text
		return 1
	}
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// cutMark stands at the end of what was cut.
const cutMark = "~"

// fit returns the beginning of a clean text that takes at most so many columns, with a mark at its end if something is missing. It is
// never cut inside of a character, so it may be a column shorter. No more marks are kept on characters than there are columns.
func fit(s string, room int) string {
	if room <= 0 {
		return ""
	}
	taken, marks, end := 0, 0, 0 // end is where s is cut if it does not fit: the mark takes a column
	for i, r := range s {
		n := columnsOf(r)
		if n == 0 {
			marks++
		}
		if taken+n > room || marks > room {
			return s[:end] + cutMark
		}
		taken += n
		if taken < room {
			end = i + utf8.RuneLen(r)
		}
	}
	return s
}

// style is how a piece of text looks, where there are colours.
type style uint8

const (
	normal style = iota
	bold
	dim
	good
	careful
	bad
	fillUrgent // the fills of the bars
	fillHigh
	fillNormal
	fillLow
)

// code returns the parameters of the control sequence that begins the style.
func (s style) code() string {
	return [...]string{
		normal: "", bold: "1", dim: "2", good: "32", careful: "33", bad: "1;31",
		fillUrgent: "41", fillHigh: "43", fillNormal: "44", fillLow: "42",
	}[s]
}

// span is a piece of a line.
type span struct {
	text  string
	style style
}

// line is a line of the view, as long as it likes.
type line []span

// say returns a span without a style.
func say(text string) span { return span{text: text} }

// width returns how many columns a line takes.
func (l line) width() (n int) {
	for _, s := range l {
		n += columns(Clean(s.text))
	}
	return n
}

// encode returns the line for a terminal that is so wide; 0 is any length. A fill shows as a colour, or as its text where there are none.
func (l line) encode(room int, colour bool) string {
	var b strings.Builder
	for _, s := range l {
		text := Clean(s.text)
		if room < 0 {
			break
		}
		if room > 0 {
			whole := text
			text = fit(whole, room)
			if room -= columns(text); room == 0 || text != whole {
				room = -1 // full
			}
		}
		code := s.style.code()
		switch {
		case text == "" || !colour || code == "":
			b.WriteString(text)
		case s.style >= fillUrgent:
			b.WriteString("\x1b[" + code + "m" + strings.Repeat(" ", len(text)) + "\x1b[0m")
		default:
			b.WriteString("\x1b[" + code + "m" + text + "\x1b[0m")
		}
	}
	return strings.TrimRight(b.String(), " ")
}
