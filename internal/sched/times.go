package sched

import (
	"time"

	"nimsidecar/internal/limit"
)

// Block says that the item, and with it all of its line, cannot be sent before until; the zero time says that no clock will tell,
// only Touch.
func (r *Room[T]) Block(it *Item[T], until time.Time) {
	l := it.flow.line
	l.blocked, l.until = true, until
	r.ready(l)
}

// Touch wakes every line that may use the account: something about its ledgers has changed.
func (r *Room[T]) Touch(account limit.Scope) {
	if a := r.accounts[account]; a != nil {
		for l := range a.lines {
			r.unblock(l)
		}
	}
}

func (r *Room[T]) unblock(l *line[T]) {
	l.blocked, l.until = false, time.Time{}
	r.ready(l)
}

// Wake wakes the lines and unparks the items whose time has come.
func (r *Room[T]) Wake(now time.Time) {
	for it := r.parked.first(); it != nil && !it.NotBefore.After(now); it = r.parked.first() {
		r.parked.keep(it, false)
		it.flow.fifo.keep(it, true)
		it.flow.place()
		r.place(it.flow.line)
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
	kinds := member.flow.line.deadlines[:]
	if announcedOnly {
		kinds = kinds[1:]
	}
	for i := range kinds {
		for it := kinds[i].first(); it != nil && it.Deadline.Before(at); it = kinds[i].first() {
			r.Remove(it)
			taken = append(taken, it)
		}
	}
	return taken
}
