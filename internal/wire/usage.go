package wire

import "bytes"

// Usage is how many LLM tokens a request cost, as its upstream says. Zero is unknown.
type Usage struct {
	InputTokens  int64 // of the prompt; what Anthropic read from or wrote to its cache is not in it
	OutputTokens int64 // of the answer
}

// Merge returns u, updated by what a later part of the same answer says: Anthropic tells the input at the start of a stream and the
// output at its end, others tell a running total.
func (u Usage) Merge(later Usage) Usage {
	if later.InputTokens > 0 {
		u.InputTokens = later.InputTokens
	}
	if later.OutputTokens > 0 {
		u.OutputTokens = later.OutputTokens
	}
	return u
}

// BodyUsage finds the usage object in a JSON answer of any dialect. It may be given a piece of the body, cut anywhere: it finds what
// lies whole in it. ok is false when there is none. Text that a model wrote cannot be taken for it: in a JSON string the quotes of
// its names are escaped.
func BodyUsage(piece []byte) (u Usage, ok bool) {
	const member = `usage"` // without its first quote, since a search for a common byte is slow
	for {
		i := bytes.Index(piece, []byte(member))
		if i < 0 {
			return u, ok
		}
		s := scanner{text: piece, at: i + len(member)}
		if i > 0 && piece[i-1] == '"' && s.take(':') {
			if found, is := figures(&s); is {
				u, ok = u.Merge(found), true
			}
		}
		piece = piece[i+len(member):]
	}
}

// StreamUsage finds the usage in a piece of an event stream, as BodyUsage does, and also in the comment lines with the bare figures
// that NVIDIA's models send (`: {"input_tokens":9,"output_tokens":3}`).
func StreamUsage(piece []byte) (u Usage, ok bool) {
	u, ok = BodyUsage(piece)
	const comment = "\n: {"
	for at := 0; ; {
		if at > 0 || !bytes.HasPrefix(piece, []byte(comment[1:])) {
			i := bytes.Index(piece[at:], []byte(comment))
			if i < 0 {
				return u, ok
			}
			at += i + 1
		}
		at += len(": ")
		if found, is := figures(&scanner{text: piece, at: at}); is {
			u, ok = u.Merge(found), true
		}
	}
}

// figures consumes an object and returns the token figures in it. ok is false when it has none or is not whole.
func figures(s *scanner) (u Usage, ok bool) {
	whole := s.object(func(name, value []byte) {
		switch string(name) {
		case "prompt_tokens", "input_tokens":
			u.InputTokens, ok = max(u.InputTokens, count(value)), true
		case "completion_tokens", "output_tokens":
			u.OutputTokens, ok = max(u.OutputTokens, count(value)), true
		}
	})
	if !whole || !ok {
		return Usage{}, false
	}
	return u, true
}
