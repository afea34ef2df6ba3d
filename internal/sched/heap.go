package sched

// order is what a heap sorts by, and where its elements keep their place in it.
type order[E any] interface {
	before(a, b *E) bool
	place(e *E) *int32 // 0 = not in the heap, else 1 + the index
}

// heap is a binary heap whose elements know their place, so that any of them can be moved or taken out in O(log n). The zero
// value is empty. A heap must not be copied. Unlike container/heap it calls no method through an interface and boxes nothing.
type heap[E any, O order[E]] struct {
	order    O // holds nothing
	elements []*E
	own      [1]*E // backs elements at first: most heaps of a line never hold more, so they cost no allocation
}

// first returns the element that is before all others, or nil.
func (h *heap[E, O]) first() *E {
	if len(h.elements) == 0 {
		return nil
	}
	return h.elements[0]
}

func (h *heap[E, O]) len() int { return len(h.elements) }

// keep makes e an element or not, as wanted, and in either case puts it where its present key belongs. It is the only way in and
// out, so whoever changed something about e just says what must hold now.
func (h *heap[E, O]) keep(e *E, wanted bool) {
	place := h.order.place(e)
	switch {
	case wanted && *place == 0:
		if h.elements == nil {
			h.elements = h.own[:0]
		}
		h.elements = append(h.elements, e)
		h.up(len(h.elements)-1, e)
	case wanted:
		h.fix(int(*place)-1, e)
	case *place != 0:
		at := int(*place) - 1
		*place = 0
		last := len(h.elements) - 1
		moved := h.elements[last]
		h.elements[last] = nil // let go of it
		h.elements = h.elements[:last]
		if at < last {
			h.fix(at, moved)
		}
	}
}

// fix puts e, whose key may have changed either way, at index i or where it belongs.
func (h *heap[E, O]) fix(i int, e *E) {
	if i > 0 && h.order.before(e, h.elements[(i-1)/2]) {
		h.up(i, e)
	} else {
		h.down(i, e)
	}
}

func (h *heap[E, O]) up(i int, e *E) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.order.before(e, h.elements[parent]) {
			break
		}
		h.set(i, h.elements[parent])
		i = parent
	}
	h.set(i, e)
}

func (h *heap[E, O]) down(i int, e *E) {
	for {
		child := 2*i + 1
		if child >= len(h.elements) {
			break
		}
		if right := child + 1; right < len(h.elements) && h.order.before(h.elements[right], h.elements[child]) {
			child = right
		}
		if !h.order.before(h.elements[child], e) {
			break
		}
		h.set(i, h.elements[child])
		i = child
	}
	h.set(i, e)
}

func (h *heap[E, O]) set(i int, e *E) {
	h.elements[i] = e
	*h.order.place(e) = int32(i + 1)
}
