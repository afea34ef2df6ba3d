package upstream

import (
	"bytes"
	"slices"
	"strings"
)

// verdict is what the beginning of an event stream says.
type verdict uint8

const (
	undecided verdict = iota // nothing but comments yet, or an error that is not complete
	content                  // an event that is no error
	failure                  // an event that is an error
)

// failures are how a line of an error event begins, as OpenAI-shaped and Anthropic-shaped upstreams send it, also without any
// event framing. Blanks are left out of the comparison.
var failures = [...]string{`event:error`, `data:{"error"`, `data:{"object":"error"`, `data:{"type":"error"`, `{"error"`}

const (
	// longestMark is how much of a line, without blanks, is compared.
	longestMark = len(`data:{"object":"error"`)
	// maxFirstEvent is how much of a stream is looked at.
	maxFirstEvent = 8 << 10
)

// firstEvent judges the first event of a stream by its beginning b. ended tells that no more is to be waited for.
func firstEvent(b []byte, ended bool) verdict {
	ended = ended || len(b) >= maxFirstEvent
	for len(b) > 0 {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		whole = whole || ended
		text := squeeze(line)
		switch {
		case isFailure(text):
			if ended || bytes.Contains(b, []byte("\n\n")) || bytes.Contains(b, []byte("\r\n\r\n")) {
				return failure
			}
			return undecided
		case !whole && (isPreamble(text) || len(text) < longestMark):
			return undecided
		case !isPreamble(text):
			return content
		}
		b = rest
	}
	return undecided
}

// squeeze returns the beginning of a line without blanks.
func squeeze(line []byte) string {
	text := make([]byte, 0, longestMark)
	for _, c := range line {
		if c != ' ' && c != '\t' && c != '\r' && len(text) < longestMark {
			text = append(text, c)
		}
	}
	return string(text)
}

// isFailure reports whether a line is the first one of an error.
func isFailure(text string) bool {
	return slices.ContainsFunc(failures[:], func(mark string) bool { return strings.HasPrefix(text, mark) })
}

// isPreamble reports whether a line may stand before what an event says.
func isPreamble(text string) bool {
	return text == "" || text[0] == ':' || strings.HasPrefix(text, "event:") || strings.HasPrefix(text, "id:") ||
		strings.HasPrefix(text, "retry:")
}
