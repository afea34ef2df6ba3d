package anthropic

import (
	"strconv"
)

// kind is what a block of a stream holds.
type kind uint8

const (
	textKind kind = iota
	thinkingKind
	toolKind
)

// deltas holds how the pieces of each kind of block are told: what stands before the text, which is the inside of a JSON string.
var deltas = [...]string{
	textKind:     `{"type":"text_delta","text":"`,
	thinkingKind: `{"type":"thinking_delta","thinking":"`,
	toolKind:     `{"type":"input_json_delta","partial_json":"`,
}

// openBlock is a block of a stream that has not ended.
type openBlock struct {
	kind    kind
	index   int    // tool: of the call, as the provider counts; -1 if it does not
	id      string // tool: empty while unknown
	name    string // tool: empty while unknown
	input   extent // tool: how far its arguments go
	started bool   // the client knows of it
	unsent  []byte // what the client has not been told of its text, as the inside of a JSON string
}

// sequence is the order of a stream's blocks. At Anthropic one block ends before the next begins; chat completions may mix the
// pieces of several tool calls. The first block of the queue is told to the client as it grows; those behind it wait until it has
// ended. A text ends when something else comes; a tool's arguments end where their object ends, so that in practice nothing waits.
type sequence struct {
	queue []openBlock
	ended int // how many blocks have ended: the index of the first in the queue
	tools int // how many tool calls there have been
	next  int // the lowest index, as the provider counts, that no call has had
}

// words adds a piece of a text or of thinking, given as the inside of a JSON string.
func (q *sequence) words(k kind, inside []byte) {
	if len(inside) == 0 {
		return
	}
	if n := len(q.queue); n == 0 || q.queue[n-1].kind != k {
		q.push(openBlock{kind: k})
	}
	last := &q.queue[len(q.queue)-1]
	last.unsent = append(last.unsent, inside...)
}

// call adds a piece of a tool call. What comes after the end of a call's arguments, such as a second copy of them, is not told.
func (q *sequence) call(c *call) {
	b := q.find(c)
	if b == nil {
		if c.Function.Name == "" && q.tools > 0 && (c.Index == nil || *c.Index < q.next) {
			return // the rest of a call that has ended
		}
		b = q.push(openBlock{kind: toolKind, index: -1})
		q.tools++
		if c.Index != nil {
			b.index = *c.Index
			q.next = max(q.next, b.index+1)
		}
	}
	if b.id == "" {
		b.id = c.ID
	}
	if b.name == "" {
		b.name = c.Function.Name
	}
	arguments := c.arguments()
	if arguments == "null" && b.input == (extent{}) {
		return // some write it for none
	}
	n := b.input.take(arguments)
	if raw := c.Function.Arguments; n > 0 && n == len(arguments) && raw[0] == '"' {
		b.unsent = append(b.unsent, literal(raw)...)
	} else {
		b.unsent = append(b.unsent, escaped(arguments[:n])...)
	}
}

// find returns the block that a piece of a call belongs to; nil if it begins a new one. The index decides. Where it is missing or the
// same for all calls, a name begins a new call if it comes with another id, or with neither id nor index; another id alone does not,
// since some providers give each piece its own (litellm#40040).
func (q *sequence) find(c *call) *openBlock {
	for i := len(q.queue) - 1; i >= 0; i-- {
		b := &q.queue[i]
		switch {
		case b.kind != toolKind || c.Index != nil && b.index != *c.Index:
			continue
		case c.Function.Name != "" && c.differs(b):
			return nil
		}
		return b
	}
	return nil
}

// differs reports whether a piece of a call cannot be of the call in b.
func (c *call) differs(b *openBlock) bool {
	if c.ID == "" {
		return c.Index == nil
	}
	return b.id != "" && b.id != c.ID
}

// push adds a block at the end.
func (q *sequence) push(b openBlock) *openBlock {
	q.queue = append(q.queue, b)
	return &q.queue[len(q.queue)-1]
}

// advance appends the events that tell the client what can be told. At the end of the stream that is all there is.
func (q *sequence) advance(dst []byte, message string, end bool) []byte {
	for len(q.queue) > 0 {
		b := &q.queue[0]
		if !b.started {
			if b.kind == toolKind && b.name == "" && !end {
				return dst
			}
			dst = q.start(dst, b, message)
		}
		if len(b.unsent) > 0 {
			dst = q.tell(dst, "content_block_delta", `,"delta":`, deltas[b.kind])
			dst = append(append(dst, b.unsent...), "\"}}\n\n"...)
			b.unsent = b.unsent[:0]
		}
		if !end && (len(q.queue) == 1 || b.kind == toolKind && !b.input.whole) {
			return dst
		}
		if b.kind == thinkingKind {
			dst = q.tell(dst, "content_block_delta", `,"delta":{"type":"signature_delta","signature":"`+signature+"\"}}\n\n")
		}
		dst = q.tell(dst, "content_block_stop", "}\n\n")
		q.queue = append(q.queue[:0], q.queue[1:]...)
		q.ended++
	}
	return dst
}

// start appends the event that begins a block.
func (q *sequence) start(dst []byte, b *openBlock, message string) []byte {
	b.started = true
	switch b.kind {
	case textKind:
		return q.tell(dst, "content_block_start", `,"content_block":{"type":"text","text":""}}`, "\n\n")
	case thinkingKind:
		return q.tell(dst, "content_block_start", `,"content_block":{"type":"thinking","thinking":"","signature":""}}`, "\n\n")
	}
	if b.id == "" {
		b.id = callID(message, q.ended)
	}
	dst = q.tell(dst, "content_block_start", `,"content_block":{"type":"tool_use","id":"`)
	dst = append(append(append(dst, escaped(b.id)...), `","name":"`...), escaped(b.name)...)
	return append(dst, "\",\"input\":{}}}\n\n"...)
}

// tell appends the beginning of an event about the first block, and what follows.
func (q *sequence) tell(dst []byte, event string, rest ...string) []byte {
	dst = append(append(append(dst, "event: "...), event...), "\ndata: {\"type\":\""...)
	dst = append(append(dst, event...), `","index":`...)
	dst = strconv.AppendInt(dst, int64(q.ended), 10)
	for _, s := range rest {
		dst = append(dst, s...)
	}
	return dst
}

// extent finds where a JSON object ends that comes in pieces. The zero value is before its beginning.
type extent struct {
	depth  int
	quoted bool // inside a string
	escape bool // after a backslash in it
	whole  bool // the object has ended
}

// take follows a piece and returns how much of it belongs to the object: all but what comes after the end. What is no object has none.
func (e *extent) take(piece string) int {
	for i := range len(piece) {
		if e.whole {
			return i
		}
		c := piece[i]
		switch {
		case e.escape:
			e.escape = false
		case e.quoted:
			e.escape, e.quoted = c == '\\', c != '"'
		case c == '"':
			e.quoted = true
		case c == '{' || c == '[':
			e.depth++
		case c == '}' || c == ']':
			e.depth--
			e.whole = e.depth == 0
		}
	}
	return len(piece)
}
