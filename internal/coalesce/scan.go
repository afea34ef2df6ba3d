package coalesce

import (
	"bytes"
	"slices"
)

// maxMembers bounds how many members a body may have at its top level: the formats know some forty.
const maxMembers = 256

// member is a member of a JSON object: its name without quotes, its value raw.
type member struct{ name, value []byte }

// form is the members of an object, in the order of their names, each of which is there once.
type form []member

// readForm reads the object that text is, which the form then shares memory with. It reports false where there is a doubt about what
// the object says: it is something else than one object, or has a name twice, a name with escapes, or far too many of them. Values are
// not looked into. It takes one pass and little memory, whatever the text.
func readForm(text []byte) (form, bool) {
	f := make(form, 0, 16)
	plain := true
	whole := between(text, '{', '}', func(c *cursor) bool {
		name := c.value()
		if len(name) < 2 || name[0] != '"' || !c.take(':') {
			return false
		}
		value := c.value()
		plain = plain && bytes.IndexByte(name, '\\') < 0
		f = append(f, member{name[1 : len(name)-1], value})
		return value != nil && len(f) <= maxMembers
	})
	if !whole || !plain {
		return nil, false
	}
	slices.SortFunc(f, func(a, b member) int { return bytes.Compare(a.name, b.name) })
	for i := 1; i < len(f); i++ {
		if bytes.Equal(f[i-1].name, f[i].name) {
			return nil, false
		}
	}
	return f, true
}

// get returns the value of a member; nil if there is none.
func (f form) get(name string) []byte {
	at, found := slices.BinarySearchFunc(f, name, func(m member, name string) int { return bytes.Compare(m.name, []byte(name)) })
	if !found {
		return nil
	}
	return f[at].value
}

// elements calls visit with the raw elements of the array that text is, and reports whether text is one array and nothing else. visit
// may have been called although the report is false.
func elements(text []byte, visit func(element []byte)) bool {
	return between(text, '[', ']', func(c *cursor) bool {
		element := c.value()
		if element != nil {
			visit(element)
		}
		return element != nil
	})
}

// between consumes a whole text that is entries between two brackets, with commas between them, each consumed by entry.
func between(text []byte, open, end byte, entry func(c *cursor) bool) bool {
	c := cursor{text}
	if !c.take(open) {
		return false
	}
	for first := true; !c.take(end); first = false {
		if !first && !c.take(',') || !entry(&c) {
			return false
		}
	}
	c.blank()
	return len(c.rest) == 0
}

// cursor is JSON text that has not been read yet. It knows where values begin and end and no more: on valid JSON it is exact, on other
// bytes it stops or finds something odd. It neither recurses nor allocates, so that no nesting can hurt.
type cursor struct{ rest []byte }

// blank consumes white space.
func (c *cursor) blank() {
	for len(c.rest) > 0 && isSpace(c.rest[0]) {
		c.rest = c.rest[1:]
	}
}

// take consumes b, and white space before it, if that is what comes next.
func (c *cursor) take(b byte) bool {
	c.blank()
	if len(c.rest) == 0 || c.rest[0] != b {
		return false
	}
	c.rest = c.rest[1:]
	return true
}

// value consumes a value and returns it raw; nil if there is none.
func (c *cursor) value() []byte {
	c.blank()
	n := valueEnd(c.rest)
	if n <= 0 {
		return nil
	}
	value := c.rest[:n]
	c.rest = c.rest[n:]
	return value
}

// valueEnd returns where the value ends that text begins with; 0 or -1 if there is none.
func valueEnd(text []byte) int {
	if len(text) == 0 {
		return -1
	}
	switch text[0] {
	case '"':
		return stringEnd(text, 0)
	case '{', '[':
		return nestedEnd(text)
	}
	end := slices.IndexFunc(text, func(b byte) bool { return isSpace(b) || isPunctuation(b) })
	if end < 0 {
		return len(text)
	}
	return end
}

// stringEnd returns where the string ends whose opening quote is at start; -1 if it does not end.
func stringEnd(text []byte, start int) int {
	for i := start + 1; ; i++ {
		length := bytes.IndexByte(text[i:], '"')
		if length < 0 {
			return -1
		}
		i += length
		escapes := 0
		for text[i-1-escapes] == '\\' { // ends at the opening quote at the latest
			escapes++
		}
		if escapes%2 == 0 {
			return i + 1
		}
	}
}

// nestedEnd returns where the object or array ends that text begins with; -1 if it does not end. Brackets in strings do not count.
func nestedEnd(text []byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			end := stringEnd(text, i)
			if end < 0 {
				return -1
			}
			i = end - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

// isSpace reports whether b is white space in JSON.
func isSpace(b byte) bool { return b == ' ' || b == '\n' || b == '\r' || b == '\t' }

// isPunctuation reports whether b is a token of its own, or the end of a string.
func isPunctuation(b byte) bool {
	switch b {
	case ',', ':', '{', '}', '[', ']', '"':
		return true
	}
	return false
}
