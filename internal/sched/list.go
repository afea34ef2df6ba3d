package sched

import (
	"cmp"
	"iter"
	"slices"

	"nimsidecar/internal/priority"
)

// TakeAll takes out and returns everybody, class by class, in no order inside a class.
func (r *Room[T]) TakeAll() (taken []*Item[T]) {
	for it := range r.All() {
		taken = append(taken, it)
	}
	for _, it := range taken {
		r.Remove(it)
	}
	return taken
}

// Victim returns the item that should go if one of the class c is to have a place, or nil if none should: in the least urgent class of all
// those less urgent than c, the newest item of the agent that has the most.
func (r *Room[T]) Victim(c priority.Class) *Item[T] {
	for class := priority.Count - 1; class > int(c); class-- {
		if a := r.agents[class].crowded.first(); a != nil {
			return a.newest.first()
		}
	}
	return nil
}

// Len returns how many items are in the room, parked ones included.
func (r *Room[T]) Len() (n int) {
	for class := range r.agents {
		n += r.agents[class].items
	}
	return n
}

// Depth returns how many items of each class are in the room.
func (r *Room[T]) Depth() (depth [priority.Count]int) {
	for class := range r.agents {
		depth[class] = r.agents[class].items
	}
	return depth
}

// All iterates over the items, class by class, in no order inside a class. The room must not change meanwhile.
func (r *Room[T]) All() iter.Seq[*Item[T]] {
	return func(yield func(*Item[T]) bool) {
		for class := range r.agents {
			if !r.agents[class].all(yield) {
				return
			}
		}
	}
}

// Order returns everybody in the order in which they would be served if all could be proposed and nobody came or left.
func (r *Room[T]) Order() []*Item[T] {
	var queues [priority.Count][]*Item[T]
	for class := range queues {
		queues[class] = r.orderOf(class)
	}
	ordered := make([]*Item[T], 0, r.Len())
	shares := r.shares // a copy
	for {
		var can classes
		for class, queue := range queues {
			can[class] = len(queue) > 0
		}
		class, ok := shares.next(can)
		if !ok {
			return ordered
		}
		shares.serve(class, can.beside(class))
		ordered = append(ordered, queues[class][0])
		queues[class] = queues[class][1:]
	}
}

// orderOf is Order inside a class.
func (r *Room[T]) orderOf(class int) []*Item[T] {
	type turn struct {
		it  *Item[T]
		due float64
	}
	turns := make([]turn, 0, r.agents[class].items)
	r.agents[class].all(func(it *Item[T]) bool {
		turns = append(turns, turn{it: it})
		return true
	})
	slices.SortFunc(turns, func(a, b turn) int { return cmp.Compare(a.it.Arrival, b.it.Arrival) })
	next := map[*agent[T]]float64{} // when those with an item in turns already are due again
	for i := range turns {
		it, a := turns[i].it, turns[i].it.flow.agent
		due, again := next[a]
		if !again {
			due = a.due
		}
		turns[i].due = due
		next[a] = max(due, r.agents[class].floor) + it.cost()
	}
	slices.SortStableFunc(turns, func(a, b turn) int { return cmp.Compare(a.due, b.due) })
	items := make([]*Item[T], len(turns))
	for i := range turns {
		items[i] = turns[i].it
	}
	return items
}
