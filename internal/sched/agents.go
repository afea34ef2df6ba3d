package sched

// agent is somebody who asks, in one class, over all lines.
type agent[T any] struct {
	name  string
	due   float64 // the virtual time of its next grant; it never falls
	items int     // in the room, parked ones included

	newest heap[Item[T], byNewest[T]] // its items

	inIdle, inCrowded int32
}

// agents are those of one class: who waits, and who does not but has already had more than the others, so that nobody gains by
// leaving and coming back.
type agents[T any] struct {
	byName  map[string]*agent[T]
	idle    heap[agent[T], byDue[T]]   // those without items
	crowded heap[agent[T], byItems[T]] // those with items, the one with the most first
	items   int                        // of all

	par   float64 // where somebody who had always been here would be, were all served at once and evenly
	floor float64 // when the last grant was due; of those who could have been proposed instead nobody is due earlier
}

// enter notes one more item of the agent of that name, and returns the agent. One that comes is due at par: it has no credit for
// the time when it did not ask.
func (s *agents[T]) enter(name string) *agent[T] {
	a := s.byName[name]
	if a == nil {
		if s.byName == nil {
			s.byName = map[string]*agent[T]{}
		}
		a = &agent[T]{name: name}
		s.byName[name] = a
	}
	if a.items == 0 {
		s.idle.keep(a, false)
		a.due = max(a.due, s.par)
	}
	a.items++
	return a
}

// charge makes the agent pay for a grant, before the item leaves. Who was blocked, and so is due earlier than those who were served
// meanwhile, is lifted to them first. An agent that is alone pays nothing: there is nobody to be fair to, and its places on other
// lines stay right.
func (s *agents[T]) charge(a *agent[T], cost float64) {
	n := len(s.byName)
	if n == 1 {
		return
	}
	s.floor = max(s.floor, a.due)
	a.due = s.floor + cost
	s.par = max(s.par+cost/float64(n), s.floor)
}

// leave notes one item less. It forgets the idle agents that would be due at par anyway, and all of them once nobody waits.
func (s *agents[T]) leave(a *agent[T]) {
	a.items--
	s.idle.keep(a, a.items == 0)
	empty := len(s.byName) == s.idle.len()
	for old := s.idle.first(); old != nil && (empty || old.due <= s.par); old = s.idle.first() {
		s.idle.keep(old, false)
		delete(s.byName, old.name)
	}
	if empty {
		s.par, s.floor = 0, 0
	}
}

// take notes that the item is the agent's, or no longer is.
func (s *agents[T]) take(a *agent[T], it *Item[T], in bool) {
	before := a.newest.len()
	a.newest.keep(it, in)
	s.items += a.newest.len() - before
	s.crowded.keep(a, a.newest.len() > 0)
}

// all passes each item to yield, until that returns false, and reports whether it never did.
func (s *agents[T]) all(yield func(*Item[T]) bool) bool {
	for _, a := range s.crowded.elements {
		for _, it := range a.newest.elements {
			if !yield(it) {
				return false
			}
		}
	}
	return true
}

type byDue[T any] struct{}

func (byDue[T]) before(a, b *agent[T]) bool { return a.due < b.due } // ties are forgotten together
func (byDue[T]) place(a *agent[T]) *int32   { return &a.inIdle }

type byItems[T any] struct{}

// Of those with equally many the one with the newest item is first.
func (byItems[T]) before(a, b *agent[T]) bool {
	x, y := a.newest.len(), b.newest.len()
	return x > y || x == y && a.newest.first().Arrival > b.newest.first().Arrival
}
func (byItems[T]) place(a *agent[T]) *int32 { return &a.inCrowded }
