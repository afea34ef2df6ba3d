package sse

import (
	"bytes"
	"iter"
)

// Event is one event of a stream, or one comment line. Its slices may share memory with what was read.
type Event struct {
	Name    string // of the event; empty is "message"
	Data    []byte // its data lines, joined by line feeds
	Comment []byte // the text of a comment line; nil for an event. A comment has neither name nor data.
}

// Events reads the whole events and comment lines of frames, which must begin where an event begins, as what a Splitter returns at a
// boundary does. As the standard demands, a block without data is no event, and an event whose blank line is missing is left out.
// The fields id and retry are skipped: nothing here reconnects.
func Events(frames []byte) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		var e Event
		hasData := false
		for line, rest, ok := cutLine(frames); ok; line, rest, ok = cutLine(rest) {
			if len(line) == 0 {
				if hasData && !yield(e) {
					return
				}
				e, hasData = Event{}, false
				continue
			}
			field, value, _ := bytes.Cut(line, []byte(":"))
			value = bytes.TrimPrefix(value, []byte(" "))
			switch string(field) {
			case "":
				if !yield(Event{Comment: value}) {
					return
				}
			case "event":
				e.Name = string(value)
			case "data":
				if hasData {
					e.Data = append(append(e.Data[:len(e.Data):len(e.Data)], '\n'), value...)
				} else {
					e.Data, hasData = value, true
				}
			}
		}
	}
}

// cutLine returns the first line of b without its end, and what follows; ok is false when b holds no whole line.
func cutLine(b []byte) (line, rest []byte, ok bool) {
	i := bytes.IndexAny(b, "\r\n")
	if i < 0 {
		return nil, nil, false
	}
	after := i + 1
	if b[i] == '\r' && after < len(b) && b[after] == '\n' {
		after++
	}
	return b[:i], b[after:], true
}

// AppendEvent appends an event with the given name, none if empty, and data, which may have several lines.
func AppendEvent(dst []byte, name string, data []byte) []byte {
	if name != "" {
		dst = append(appendLine(append(dst, "event: "...), name), '\n')
	}
	for more := true; more; {
		var line []byte
		line, data, more = bytes.Cut(data, []byte("\n"))
		dst = append(appendLine(append(dst, "data: "...), line), '\n')
	}
	return append(dst, '\n')
}

// AppendComment appends a comment line, the form of heartbeat that the most clients survive: it ends in one line feed, since a blank
// line after it makes some of them see an event without data. Line ends in text become blanks.
func AppendComment(dst []byte, text string) []byte {
	return append(appendLine(append(dst, ": "...), text), '\n')
}

// appendLine appends text with blanks in the place of line ends.
func appendLine[T string | []byte](dst []byte, text T) []byte {
	start := len(dst)
	dst = append(dst, text...)
	for i := start; i < len(dst); i++ {
		if isBreak(dst[i]) {
			dst[i] = ' '
		}
	}
	return dst
}
