package sched

import (
	"strconv"
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/priority"
)

// Item is one place in a Room. Its owner fills in the exported fields and must not change them, nor the lanes themselves,
// while the item is in a room; the rest belongs to the room. An item that was taken out may be added again. It must not be
// copied while it is in a room.
type Item[T any] struct {
	// Value is whose place it is; the room does not look at it.
	Value T

	// Class is whose share it is served from, and Agent who asks: agents of a class are treated alike, and an agent's items go by
	// arrival number, the smallest first. No name is a name too. Arrival numbers must be different.
	Class   priority.Class
	Agent   string
	Arrival uint64

	// Cost is what a grant costs the agent, against the other agents of the class; 0 = 1. It must not be negative. Again says that
	// the agent has paid: the item was served before and comes back after a failed attempt. Then the next grant costs the agent
	// nothing; the class pays for each.
	Cost  float64
	Again bool

	// Lanes are the lanes it may be sent on, at least one, in order of preference.
	Lanes []limit.Scope

	// NotBefore is the earliest time at which it may be proposed; the zero time is at once.
	NotBefore time.Time

	// Deadline is the latest time at which it is of any use; the zero time is never. Announced tells the two kinds of deadline
	// apart that TakeLate knows.
	Deadline  time.Time
	Announced bool

	flow *flow[T] // nil while it is in no room

	inFIFO, inNewest, inDeadlines, inParked int32
}

// cost is what a grant of the item costs its agent.
func (it *Item[T]) cost() float64 {
	switch {
	case it.Again:
		return 0
	case it.Cost == 0:
		return 1
	}
	return it.Cost
}

// rank is an item's place among those of its class: by when its agent is due, then by age.
type rank struct {
	due     float64
	arrival uint64
}

func (a rank) before(b rank) bool { return a.due < b.due || a.due == b.due && a.arrival < b.arrival }

// flow is the items of one agent in one line.
type flow[T any] struct {
	line  *line[T]
	agent *agent[T]
	items int  // parked ones included
	rank  rank // of its first item, as of the last look: the agent may be due later by now, but never earlier

	fifo heap[Item[T], byArrival[T]] // the items that are not parked

	inLine int32
}

// line is the items of one class with the same list of lanes.
type line[T any] struct {
	key      key
	accounts []*account[T] // of its lanes
	items    int           // parked ones included
	rank     rank          // of its first flow

	flows     heap[flow[T], byRank[T]]        // those with an item that is not parked
	deadlines [2]heap[Item[T], byDeadline[T]] // the items with a deadline: own [0], announced [1]

	unparked bool // it counts as waiting for its accounts
	blocked  bool
	until    time.Time // while blocked: when it wakes; zero = only by Touch

	inAwake, inAsleep, inExpiring int32
}

// account is what waits for one.
type account[T any] struct {
	scope   limit.Scope
	lines   map[*line[T]]struct{} // those that may use it
	waiting [priority.Count]int   // how many lines of a class have an item that is not parked; a line counts once a lane
	since   int                   // grants of others since URGENT's last one; capWindow or more = there was none
}

// earliest returns the item whose deadline comes first, or nil.
func (l *line[T]) earliest() *Item[T] {
	own, announced := l.deadlines[0].first(), l.deadlines[1].first()
	if own == nil || announced != nil && announced.Deadline.Before(own.Deadline) {
		return announced
	}
	return own
}

// deadlinesOf returns the heap that holds the item if it has a deadline.
func (l *line[T]) deadlinesOf(it *Item[T]) *heap[Item[T], byDeadline[T]] {
	if it.Announced {
		return &l.deadlines[1]
	}
	return &l.deadlines[0]
}

// key tells lines apart.
type key struct {
	class priority.Class
	lane  limit.Scope
	more  string // the other lanes; mostly there are none
}

func keyOf(class priority.Class, lanes []limit.Scope) key {
	k := key{class: class, lane: lanes[0]}
	if len(lanes) > 1 {
		var more []byte
		for _, lane := range lanes[1:] {
			for _, part := range [...]string{lane.Provider, lane.Account, lane.Model} {
				// Each part with its length, since a model's name is a client's text and may hold any separator.
				more = strconv.AppendInt(more, int64(len(part)), 10)
				more = append(more, ':')
				more = append(more, part...)
			}
		}
		k.more = string(more)
	}
	return k
}

// The orders. Ties of times go to the older item, so that the outcome does not depend on how a heap was filled.

type byArrival[T any] struct{}

func (byArrival[T]) before(a, b *Item[T]) bool { return a.Arrival < b.Arrival }
func (byArrival[T]) place(it *Item[T]) *int32  { return &it.inFIFO }

type byNewest[T any] struct{}

func (byNewest[T]) before(a, b *Item[T]) bool { return a.Arrival > b.Arrival }
func (byNewest[T]) place(it *Item[T]) *int32  { return &it.inNewest }

type byDeadline[T any] struct{}

func (byDeadline[T]) before(a, b *Item[T]) bool {
	return earlier(a.Deadline, b.Deadline, a.Arrival < b.Arrival)
}
func (byDeadline[T]) place(it *Item[T]) *int32 { return &it.inDeadlines }

type byNotBefore[T any] struct{}

func (byNotBefore[T]) before(a, b *Item[T]) bool { return a.NotBefore.Before(b.NotBefore) }
func (byNotBefore[T]) place(it *Item[T]) *int32  { return &it.inParked }

type byRank[T any] struct{}

func (byRank[T]) before(a, b *flow[T]) bool { return a.rank.before(b.rank) }
func (byRank[T]) place(f *flow[T]) *int32   { return &f.inLine }

type byFirst[T any] struct{}

func (byFirst[T]) before(a, b *line[T]) bool { return a.rank.before(b.rank) }
func (byFirst[T]) place(l *line[T]) *int32   { return &l.inAwake }

type byUntil[T any] struct{}

func (byUntil[T]) before(a, b *line[T]) bool { return a.until.Before(b.until) }
func (byUntil[T]) place(l *line[T]) *int32   { return &l.inAsleep }

type byEarliest[T any] struct{}

func (byEarliest[T]) before(a, b *line[T]) bool {
	return byDeadline[T]{}.before(a.earliest(), b.earliest())
}
func (byEarliest[T]) place(l *line[T]) *int32 { return &l.inExpiring }

// earlier reports whether a is before b, and tie where they are equal.
func earlier(a, b time.Time, tie bool) bool {
	if c := a.Compare(b); c != 0 {
		return c < 0
	}
	return tie
}
