package wire

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// scanner walks over JSON text without copying it. It knows where values begin and end and no more: on valid JSON it is exact, on
// other bytes it stops or finds something odd. It is used instead of a decoder because a body of megabytes is searched for three
// small members while its client waits, and because it neither recurses nor allocates, so that no nesting can hurt.
type scanner struct {
	text []byte
	at   int // the next byte
}

// members calls visit with the members of the object that text is, in order, and reports whether text is one object and nothing
// else. name is unquoted, value is raw. visit may have been called although the report is false.
func members(text []byte, visit func(name, value []byte)) bool {
	s := scanner{text: text}
	return s.object(visit) && s.end()
}

// object consumes an object, as members does.
func (s *scanner) object(visit func(name, value []byte)) bool {
	if !s.take('{') {
		return false
	}
	if s.take('}') {
		return true
	}
	for {
		name := s.name()
		if name == nil || !s.take(':') {
			return false
		}
		value := s.value()
		if value == nil {
			return false
		}
		visit(name, value)
		if s.take('}') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}

// space skips white space.
func (s *scanner) space() {
	for s.at < len(s.text) && isSpace(s.text[s.at]) {
		s.at++
	}
}

// isSpace reports whether c is white space in JSON.
func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// isPunctuation reports whether c cannot be part of a number or of true, false and null.
func isPunctuation(c byte) bool {
	switch c {
	case ',', ':', '{', '}', '[', ']', '"':
		return true
	}
	return false
}

// end reports whether only white space is left.
func (s *scanner) end() bool {
	s.space()
	return s.at == len(s.text)
}

// take consumes c, and white space before it, if that is what comes next.
func (s *scanner) take(c byte) bool {
	s.space()
	if s.at == len(s.text) || s.text[s.at] != c {
		return false
	}
	s.at++
	return true
}

// name consumes the name of a member and returns it unquoted; nil if there is none.
func (s *scanner) name() []byte {
	s.space()
	raw := s.str()
	if raw == nil {
		return nil
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	name, ok := text(raw)
	if !ok {
		return nil
	}
	return []byte(name)
}

// str consumes a string and returns it with its quotes; nil if there is none.
func (s *scanner) str() []byte {
	if s.at == len(s.text) || s.text[s.at] != '"' {
		return nil
	}
	return s.to(stringEnd(s.text, s.at))
}

// to consumes up to end and returns what it consumed; nil if end is -1.
func (s *scanner) to(end int) []byte {
	if end < 0 {
		return nil
	}
	start := s.at
	s.at = end
	return s.text[start:end]
}

// stringEnd returns where the string ends whose opening quote is at start; -1 if it does not end.
func stringEnd(text []byte, start int) int {
	for i := start + 1; ; i++ {
		length := bytes.IndexByte(text[i:], '"')
		if length < 0 {
			return -1
		}
		i += length
		backslashes := 0
		for text[i-1-backslashes] == '\\' { // ends at the opening quote at the latest
			backslashes++
		}
		if backslashes%2 == 0 {
			return i + 1
		}
	}
}

// value consumes any value and returns it raw; nil if there is none.
func (s *scanner) value() []byte {
	s.space()
	if s.at == len(s.text) {
		return nil
	}
	switch s.text[s.at] {
	case '"':
		return s.str()
	case '{', '[':
		return s.to(nestedEnd(s.text, s.at))
	}
	start := s.at
	for s.at < len(s.text) && !isSpace(s.text[s.at]) && !isPunctuation(s.text[s.at]) {
		s.at++
	}
	if start == s.at {
		return nil
	}
	return s.text[start:s.at]
}

// nestedEnd returns where the object or array ends whose bracket is at start; -1 if it does not end. It counts brackets outside of
// strings.
func nestedEnd(text []byte, start int) int {
	depth := 0
	for i := start; i < len(text); i++ {
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

// text returns what a raw value says if it is a string, as encoding/json reads it.
func text(raw []byte) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	for _, c := range raw[1 : len(raw)-1] {
		if c < ' ' || c == '\\' || c >= 0x80 { // escapes, control characters, perhaps broken UTF-8: not for us to interpret
			var decoded string
			err := json.Unmarshal(raw, &decoded)
			return decoded, err == nil
		}
	}
	return string(raw[1 : len(raw)-1]), true
}

// count returns what a raw value says if it is a whole number that counts something; else 0.
func count(raw []byte) int64 {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
