package sched

import (
	"iter"
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/priority"
)

// Room holds items and says who is next. The zero value is an empty room. It is not safe for concurrent use: its owner holds
// a lock around it.
type Room[T any] struct {
	lines    map[key]*line[T]                           // those with members
	accounts map[limit.Scope]map[*line[T]]struct{}      // the lines that may use an account
	newest   [priority.Count]heap[Item[T], byNewest[T]] // all items

	awake    [priority.Count]heap[line[T], byFirst[T]] // lines whose first item may be proposed
	asleep   heap[line[T], byUntil[T]]                 // lines that are blocked until a time
	expiring heap[line[T], byEarliest[T]]              // lines with a deadline
	parked   heap[Item[T], byNotBefore[T]]             // items that may not be proposed yet
}

// Add takes the item in: parked if it has a NotBefore, until Wake finds that time reached, else at the place that its class
// and arrival number give it. Its line wakes, so that the owner asks about it and can tell the newcomer at once that it
// waits in vain. The item must have a lane and must not be in a room.
func (r *Room[T]) Add(it *Item[T]) {
	if it.line != nil {
		panic("sched: Add of an item that is in a room")
	}
	l := r.lineOf(it)
	it.line = l
	l.members++
	r.newest[it.Class].keep(it, true)
	l.deadlinesOf(it).keep(it, !it.Deadline.IsZero())
	parked := !it.NotBefore.IsZero()
	r.parked.keep(it, parked)
	l.fifo.keep(it, !parked)
	r.unblock(l)
}

// lineOf returns the item's line, made if it is the first of it.
func (r *Room[T]) lineOf(it *Item[T]) *line[T] {
	k := keyOf(it.Class, it.Lanes)
	l := r.lines[k]
	if l != nil {
		return l
	}
	l = &line[T]{key: k, lanes: it.Lanes}
	if r.lines == nil {
		r.lines = map[key]*line[T]{}
		r.accounts = map[limit.Scope]map[*line[T]]struct{}{}
	}
	r.lines[k] = l
	for _, lane := range l.lanes {
		account := lane.AccountScope()
		if r.accounts[account] == nil {
			r.accounts[account] = map[*line[T]]struct{}{}
		}
		r.accounts[account][l] = struct{}{}
	}
	return l
}

// Remove takes the item out, wherever it stands. Removing one that is in no room does nothing.
func (r *Room[T]) Remove(it *Item[T]) {
	l := it.line
	if l == nil {
		return
	}
	it.line = nil
	r.newest[it.Class].keep(it, false)
	l.deadlinesOf(it).keep(it, false)
	r.parked.keep(it, false)
	l.fifo.keep(it, false)
	l.members--
	r.place(l)
	if l.members == 0 {
		r.drop(l)
	}
}

// drop forgets a line that has no members any more.
func (r *Room[T]) drop(l *line[T]) {
	delete(r.lines, l.key)
	for _, lane := range l.lanes {
		account := lane.AccountScope()
		delete(r.accounts[account], l)
		if len(r.accounts[account]) == 0 {
			delete(r.accounts, account)
		}
	}
}

// place puts a line where its present condition belongs. It must be called after every change of the line.
func (r *Room[T]) place(l *line[T]) {
	proposable := l.fifo.len() > 0
	r.awake[l.key.class].keep(l, proposable && !l.blocked)
	r.asleep.keep(l, proposable && l.blocked && !l.until.IsZero())
	r.expiring.keep(l, l.earliest() != nil)
}

// First returns the item to propose now, or nil when all that wait are parked or blocked. It stays in the room.
func (r *Room[T]) First() *Item[T] {
	for class := range r.awake {
		if l := r.awake[class].first(); l != nil {
			return l.fifo.first()
		}
	}
	return nil
}

// Block says that the item, and with it all of its line, cannot be sent before until; the zero time says that no clock will tell,
// only Touch.
func (r *Room[T]) Block(it *Item[T], until time.Time) {
	it.line.blocked, it.line.until = true, until
	r.place(it.line)
}

// Touch wakes every line that may use the account: something about its ledgers has changed.
func (r *Room[T]) Touch(account limit.Scope) {
	for l := range r.accounts[account] {
		r.unblock(l)
	}
}

func (r *Room[T]) unblock(l *line[T]) {
	l.blocked, l.until = false, time.Time{}
	r.place(l)
}

// Wake wakes the lines and unparks the items whose time has come.
func (r *Room[T]) Wake(now time.Time) {
	for it := r.parked.first(); it != nil && !it.NotBefore.After(now); it = r.parked.first() {
		r.parked.keep(it, false)
		it.line.fifo.keep(it, true)
		r.place(it.line)
	}
	for l := r.asleep.first(); l != nil && !l.until.After(now); l = r.asleep.first() {
		r.unblock(l)
	}
}

// Next returns the earliest time at which Wake or TakeOverdue will have something to do, or the zero time when none is known.
func (r *Room[T]) Next() time.Time {
	var next time.Time
	consider := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	if it := r.parked.first(); it != nil {
		consider(it.NotBefore)
	}
	if l := r.asleep.first(); l != nil {
		consider(l.until)
	}
	if l := r.expiring.first(); l != nil {
		consider(l.earliest().Deadline)
	}
	return next
}

// TakeOverdue takes out and returns the items whose deadline is not after now, the earliest deadline first.
func (r *Room[T]) TakeOverdue(now time.Time) (taken []*Item[T]) {
	for l := r.expiring.first(); l != nil; l = r.expiring.first() {
		it := l.earliest()
		if it.Deadline.After(now) {
			break
		}
		r.Remove(it)
		taken = append(taken, it)
	}
	return taken
}

// TakeLate takes out and returns the items of the given item's line, itself included, whose deadline is before at: if the line
// cannot be sent before at, they wait in vain. announcedOnly leaves those whose deadline is not announced.
func (r *Room[T]) TakeLate(member *Item[T], at time.Time, announcedOnly bool) (taken []*Item[T]) {
	l := member.line
	kinds := l.deadlines[:]
	if announcedOnly {
		kinds = l.deadlines[1:]
	}
	for i := range kinds {
		for it := kinds[i].first(); it != nil && it.Deadline.Before(at); it = kinds[i].first() {
			r.Remove(it)
			taken = append(taken, it)
		}
	}
	return taken
}

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

// Newest returns the item with the greatest arrival number in the least urgent class of all those less urgent than c, or nil.
func (r *Room[T]) Newest(c priority.Class) *Item[T] {
	for class := priority.Count - 1; class > int(c); class-- {
		if it := r.newest[class].first(); it != nil {
			return it
		}
	}
	return nil
}

// Len returns how many items are in the room, parked ones included.
func (r *Room[T]) Len() (n int) {
	for class := range r.newest {
		n += r.newest[class].len()
	}
	return n
}

// Depth returns how many items of each class are in the room.
func (r *Room[T]) Depth() (depth [priority.Count]int) {
	for class := range r.newest {
		depth[class] = r.newest[class].len()
	}
	return depth
}

// All iterates over the items, class by class, in no order inside a class. The room must not change meanwhile.
func (r *Room[T]) All() iter.Seq[*Item[T]] {
	return func(yield func(*Item[T]) bool) {
		for class := range r.newest {
			for _, it := range r.newest[class].elements {
				if !yield(it) {
					return
				}
			}
		}
	}
}
