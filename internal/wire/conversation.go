package wire

// maxHashed is how much of each of the texts that a conversation begins with is looked at: enough to tell conversations apart, little
// enough to cost nothing beside the rest.
const maxHashed = 2 << 10

// Conversation returns a number that the requests of one conversation have in common, however long it has grown: a hash of the model,
// the system text and the first user message of a body as chat completions, messages and responses have it. It is 0 where a body
// names no messages. It reads no further than that first message, so of the other members only those count that stand before it;
// a client writes them in the same order each time.
//
// It is stable over processes and versions of the sidecar, and it is no secret: it must not be shown where prompts must not.
func Conversation(body []byte) uint64 {
	s := scanner{text: body}
	if !s.take('{') {
		return 0
	}
	h := offset64
	for {
		name := s.name()
		if name == nil || !s.take(':') {
			return 0
		}
		switch string(name) {
		case "messages", "input":
			return s.opening(h)
		}
		value := s.value()
		switch string(name) {
		case "model", "system", "instructions":
			h = hash(h, value)
		}
		if value == nil || !s.take(',') {
			return 0
		}
	}
}

// opening goes on with the messages up to the first that is the user's; a single text is that.
func (s *scanner) opening(h uint64) uint64 {
	if !s.take('[') {
		if value := s.value(); len(value) > 0 && value[0] == '"' {
			return hash(h, value)
		}
		return 0
	}
	for {
		message := s.value()
		if message == nil {
			return 0
		}
		h = hash(h, message)
		if isUsers(message) || !s.take(',') {
			return h
		}
	}
}

// isUsers reports whether a message is the user's.
func isUsers(message []byte) bool {
	users := false
	members(message, func(name, value []byte) {
		users = users || string(name) == "role" && string(value) == `"user"`
	})
	return users
}

// The constants of FNV-1a with 64 bits (draft-eastlake-fnv, section 5).
const (
	offset64 uint64 = 14695981039346656037
	prime64  uint64 = 1099511628211
)

// hash goes on with the head of a value, and its end.
func hash(h uint64, value []byte) uint64 {
	for _, c := range value[:min(len(value), maxHashed)] {
		h = (h ^ uint64(c)) * prime64
	}
	return (h ^ 0xff) * prime64 // a byte that no UTF-8 has: "ab", "c" is not "a", "bc"
}
