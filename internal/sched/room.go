package sched

import (
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/priority"
)

// Room holds items and says who is next. The zero value is an empty room. It is not safe for concurrent use: its owner holds
// a lock around it.
type Room[T any] struct {
	lines    map[key]*line[T]            // those with items
	flows    map[flowKey[T]]*flow[T]     // those with items
	accounts map[limit.Scope]*account[T] // those that a line may use

	shares shares
	agents [priority.Count]agents[T]

	awake    [priority.Count]heap[line[T], byFirst[T]] // lines of which an item may be proposed
	asleep   heap[line[T], byUntil[T]]                 // lines that are blocked until a time
	expiring heap[line[T], byEarliest[T]]              // lines with a deadline
	parked   heap[Item[T], byNotBefore[T]]             // items that may not be proposed yet
}

// flowKey tells flows apart.
type flowKey[T any] struct {
	line  *line[T]
	agent *agent[T]
}

// Add takes the item in: parked if it has a NotBefore, until Wake finds that time reached, else at its place in the order. Its
// line wakes, so that the owner asks about it and can tell the newcomer at once that it waits in vain. The item must have a lane
// and must not be in a room.
func (r *Room[T]) Add(it *Item[T]) {
	if it.flow != nil {
		panic("sched: Add of an item that is in a room")
	}
	l := r.lineOf(it)
	f := r.flowOf(l, r.agents[it.Class].enter(it.Agent))
	it.flow = f
	f.items++
	l.items++
	r.agents[it.Class].take(f.agent, it, true)
	l.deadlinesOf(it).keep(it, !it.Deadline.IsZero())
	parked := !it.NotBefore.IsZero()
	r.parked.keep(it, parked)
	f.fifo.keep(it, !parked)
	l.blocked, l.until = false, time.Time{}
	f.place()
	r.place(l)
}

// lineOf returns the item's line, made if it is the first of it.
func (r *Room[T]) lineOf(it *Item[T]) *line[T] {
	k := keyOf(it.Class, it.Lanes)
	l := r.lines[k]
	if l != nil {
		return l
	}
	l = &line[T]{key: k, accounts: make([]*account[T], len(it.Lanes))}
	if r.lines == nil {
		r.lines = map[key]*line[T]{}
		r.flows = map[flowKey[T]]*flow[T]{}
		r.accounts = map[limit.Scope]*account[T]{}
	}
	r.lines[k] = l
	for i, lane := range it.Lanes {
		scope := lane.AccountScope()
		a := r.accounts[scope]
		if a == nil {
			a = &account[T]{scope: scope, lines: map[*line[T]]struct{}{}, since: capWindow}
			r.accounts[scope] = a
		}
		a.lines[l] = struct{}{}
		l.accounts[i] = a
	}
	return l
}

// flowOf returns the agent's flow in the line, made if need be.
func (r *Room[T]) flowOf(l *line[T], a *agent[T]) *flow[T] {
	k := flowKey[T]{l, a}
	f := r.flows[k]
	if f == nil {
		f = &flow[T]{line: l, agent: a}
		r.flows[k] = f
	}
	return f
}

// Serve takes the item out because it was granted, and charges its class and its agent. The item must be in the room, and should be
// what First returned: the bounds on shares and gaps are those of First's order.
func (r *Room[T]) Serve(it *Item[T]) {
	r.shares.serve(it.Class, r.counts(it))
	r.agents[it.Class].charge(it.flow.agent, it.cost())
	r.Remove(it)
}

// Remove takes the item out for any other reason, wherever it stands. Removing one that is in no room does nothing.
func (r *Room[T]) Remove(it *Item[T]) {
	f := it.flow
	if f == nil {
		return
	}
	l := f.line
	it.flow = nil
	r.agents[it.Class].take(f.agent, it, false)
	l.deadlinesOf(it).keep(it, false)
	r.parked.keep(it, false)
	f.fifo.keep(it, false)
	f.place()
	f.items--
	l.items--
	r.place(l)
	r.agents[it.Class].leave(f.agent)
	if f.items == 0 {
		delete(r.flows, flowKey[T]{l, f.agent})
	}
	if l.items == 0 {
		r.drop(l)
	}
}

// drop forgets a line that has no items any more.
func (r *Room[T]) drop(l *line[T]) {
	delete(r.lines, l.key)
	for _, a := range l.accounts {
		delete(a.lines, l)
		if len(a.lines) == 0 {
			delete(r.accounts, a.scope)
		}
	}
}

// place puts a flow where it belongs in its line. It must be called after every change of the flow, and before the line's.
func (f *flow[T]) place() {
	first := f.fifo.first()
	if first != nil {
		f.rank = rank{f.agent.due, first.Arrival}
	}
	f.line.flows.keep(f, first != nil)
}

// place puts a line where it belongs. It must be called after every change of its flows or deadlines.
func (r *Room[T]) place(l *line[T]) {
	first := l.flows.first()
	if first != nil {
		l.rank = first.rank
	}
	r.expiring.keep(l, l.earliest() != nil)
	r.ready(l)
	if unparked := first != nil; l.unparked != unparked {
		l.unparked = unparked
		for _, a := range l.accounts {
			if unparked {
				a.waiting[l.key.class]++
			} else {
				a.waiting[l.key.class]--
			}
		}
	}
}

// ready puts a line among the awake or the sleeping ones. It must be called after every change of its readiness.
func (r *Room[T]) ready(l *line[T]) {
	unparked := l.flows.len() > 0
	r.awake[l.key.class].keep(l, unparked && !l.blocked)
	r.asleep.keep(l, unparked && l.blocked && !l.until.IsZero())
}

// First returns the item to propose now, or nil when all that wait are parked or blocked. It stays in the room.
func (r *Room[T]) First() *Item[T] {
	class, ok := r.shares.next(r.proposable())
	if !ok {
		return nil
	}
	for {
		l := r.awake[class].first()
		f := l.flows.first()
		if f.rank.due == f.agent.due {
			return f.fifo.first()
		}
		// Its agent was served on another line since. What stands behind it may be as outdated, but only ever too early: the first
		// that is right is before all others.
		f.place()
		r.place(l)
	}
}

// proposable returns the classes of which an item may be proposed.
func (r *Room[T]) proposable() (can classes) {
	for class := range r.awake {
		can[class] = r.awake[class].len() > 0
	}
	return can
}

// counts reports whether the grant of the item counts for the cap of URGENT, and takes note of it.
func (r *Room[T]) counts(it *Item[T]) bool {
	counts := r.contenders(it).beside(it.Class)
	for _, a := range it.flow.line.accounts {
		if it.Class == priority.Urgent {
			a.since = 0
			continue
		}
		counts = counts || a.since < capWindow
		a.since++
	}
	return counts
}

// contenders returns the classes that would have liked to be served instead of the item: of which one may be proposed, or waits for an
// account of the item's, where it is perhaps held back only until the item is gone.
func (r *Room[T]) contenders(it *Item[T]) classes {
	can := r.proposable()
	for _, a := range it.flow.line.accounts {
		for class, lines := range a.waiting {
			can[class] = can[class] || lines > 0
		}
	}
	return can
}

// Capped reports whether URGENT has had its part of late: until others have had theirs it should have no precedence anywhere.
func (r *Room[T]) Capped() bool { return r.shares.capped() }

// Least returns the least urgent class of which an item that is not parked may use the account; ok is false if there is none.
func (r *Room[T]) Least(account limit.Scope) (c priority.Class, ok bool) {
	if a := r.accounts[account]; a != nil {
		for class, lines := range a.waiting {
			if lines > 0 {
				c, ok = priority.Class(class), true
			}
		}
	}
	return c, ok
}
