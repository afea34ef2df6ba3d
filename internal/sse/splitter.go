package sse

// DefaultLimit is how much of an unfinished event a Splitter holds unless it is told otherwise: a whole answer with its tools fits.
const DefaultLimit = 1 << 20

// keptBuffer is the largest buffer that stays allocated once what it held has been passed on.
const keptBuffer = 64 << 10

// Splitter cuts an event stream at the ends of its events. The bytes it has returned and those of Tail are, one after the other,
// exactly the bytes that were fed, whatever the chunks they came in. The zero value is ready. It is owned by one goroutine.
type Splitter struct {
	// Limit is how many bytes of an unfinished event are held. Beyond it they are passed on unfinished, and AtBoundary says so. Zero
	// is DefaultLimit.
	Limit int

	buffer []byte // buffer[out:] is held; buffer[:out] was returned by the last Feed
	out    int
	inside bool // what was returned last ends inside an event
}

// Feed takes the next chunk of the stream and returns what may be passed on: everything up to the end of the last whole event. The
// result may share memory with chunk and is valid until the next call; chunk is not kept. A chunk that completes an event, the usual
// case, is returned as it is.
//
// A CR at the end of all may be half a CRLF, so it waits for the next byte.
func (s *Splitter) Feed(chunk []byte) []byte {
	if s.out > 0 {
		s.buffer = s.buffer[:copy(s.buffer, s.buffer[s.out:])]
		s.out = 0
		if len(s.buffer) == 0 && cap(s.buffer) > keptBuffer {
			s.buffer = nil
		}
	}
	if len(s.buffer) == 0 {
		if n := len(chunk); n >= 2 && chunk[n-1] == '\n' && chunk[n-2] == '\n' {
			s.inside = false
			return chunk
		}
		end := s.cut(chunk, 0)
		s.buffer = append(s.buffer, chunk[end:]...)
		return chunk[:end]
	}
	searched := len(s.buffer) - 1 // but for a CR at its end, what is held has no end of an event
	s.buffer = append(s.buffer, chunk...)
	s.out = s.cut(s.buffer, searched)
	return s.buffer[:s.out]
}

// cut returns how many bytes of b, which begins where the returned bytes ended, may be passed on. The first from bytes hold no end of
// an event.
func (s *Splitter) cut(b []byte, from int) int {
	if end := lastEnd(b, from, !s.inside); end > 0 {
		if len(b)-end <= s.limit() {
			s.inside = false
			return end
		}
	} else if !s.inside && len(b) <= s.limit() {
		return 0
	}
	s.inside = true
	end := len(b)
	for end > 0 && isBreak(b[end-1]) { // line ends stay, so that the blank line they may begin is found
		end--
	}
	return end
}

func (s *Splitter) limit() int {
	if s.Limit > 0 {
		return s.Limit
	}
	return DefaultLimit
}

// Tail returns what is held: the beginning of an event that is not finished. It is valid until the next Feed.
func (s *Splitter) Tail() []byte { return s.buffer[s.out:] }

// AtBoundary reports whether the bytes returned so far end where an event ends, so that something of our own may follow them. It is
// true before the first byte, and false after an event beyond the limit has been passed on in part.
func (s *Splitter) AtBoundary() bool { return !s.inside }

// lastEnd returns the length of b up to and including its last blank line that ends after from; 0 if there is none. whole says
// that b begins where a line begins, so that a line end there is a blank line.
func lastEnd(b []byte, from int, whole bool) int {
	for i := len(b) - 1; i >= from; i-- {
		if !isBreak(b[i]) || b[i] == '\r' && i == len(b)-1 {
			continue
		}
		end := i + 1
		if b[i] == '\n' && i > 0 && b[i-1] == '\r' {
			i--
		}
		if i == 0 && whole || i > 0 && isBreak(b[i-1]) {
			return end
		}
	}
	return 0
}

// isBreak reports whether c ends a line, alone or as half of CRLF.
func isBreak(c byte) bool { return c == '\n' || c == '\r' }
