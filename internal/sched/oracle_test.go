package sched

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/priority"
)

// list is the oracle: the same promises as Room, kept by a plain list that is searched for every question.
type list struct {
	entries []*entry
	blocked map[string]time.Time // by line; the zero time = only Touch wakes it
}

// entry is an item as the list sees it.
type entry struct {
	item   *Item[int]
	parked bool
}

func (e *entry) line() string { return fmt.Sprint(e.item.Class, e.item.Lanes) }

func (l *list) add(it *Item[int]) {
	e := &entry{it, !it.NotBefore.IsZero()}
	l.entries = append(l.entries, e)
	delete(l.blocked, e.line())
}

func (l *list) remove(it *Item[int]) {
	l.removeIf(func(e *entry) bool { return e.item == it })
}

// removeIf takes out what matches and forgets the condition of lines that are empty then.
func (l *list) removeIf(match func(*entry) bool) (taken []*Item[int]) {
	l.entries = slices.DeleteFunc(l.entries, func(e *entry) bool {
		if match(e) {
			taken = append(taken, e.item)
			return true
		}
		return false
	})
	for line := range l.blocked {
		if !slices.ContainsFunc(l.entries, func(e *entry) bool { return e.line() == line }) {
			delete(l.blocked, line)
		}
	}
	return taken
}

func (l *list) first() *Item[int] {
	var best *Item[int]
	for _, e := range l.entries {
		_, blocked := l.blocked[e.line()]
		if e.parked || blocked {
			continue
		}
		if best == nil || e.item.Class < best.Class || e.item.Class == best.Class && e.item.Arrival < best.Arrival {
			best = e.item
		}
	}
	return best
}

func (l *list) newest(c priority.Class) *Item[int] {
	var best *Item[int]
	for _, e := range l.entries {
		if it := e.item; it.Class > c && (best == nil || it.Class > best.Class || it.Class == best.Class && it.Arrival > best.Arrival) {
			best = it
		}
	}
	return best
}

func (l *list) next() (next time.Time) {
	consider := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for _, e := range l.entries {
		consider(e.item.Deadline)
		if e.parked {
			consider(e.item.NotBefore)
		} else {
			consider(l.blocked[e.line()])
		}
	}
	return next
}

func (l *list) wake(now time.Time) {
	for _, e := range l.entries {
		e.parked = e.parked && e.item.NotBefore.After(now)
	}
	// A line that had only parked members wakes late, when the first of them is unparked: nobody can tell the difference.
	for line, until := range l.blocked {
		if !until.IsZero() && !until.After(now) {
			delete(l.blocked, line)
		}
	}
}

func (l *list) touch(account limit.Scope) {
	for _, e := range l.entries {
		if slices.ContainsFunc(e.item.Lanes, func(lane limit.Scope) bool { return lane.AccountScope() == account }) {
			delete(l.blocked, e.line())
		}
	}
}

func (l *list) takeOverdue(now time.Time) []*Item[int] {
	return l.removeIf(func(e *entry) bool { return !e.item.Deadline.IsZero() && !e.item.Deadline.After(now) })
}

func (l *list) takeLate(member *Item[int], at time.Time, announcedOnly bool) []*Item[int] {
	line := (&entry{item: member}).line()
	return l.removeIf(func(e *entry) bool {
		return e.line() == line && !e.item.Deadline.IsZero() && e.item.Deadline.Before(at) && (e.item.Announced || !announcedOnly)
	})
}

// pair drives a Room and the list through the same calls.
type pair struct {
	t        *testing.T
	room     Room[int]
	list     list
	now      time.Time
	arrivals uint64
	out      []*Item[int] // taken out, so that they can come back
}

var start = time.Unix(1_000_000, 0)

// lanes are the lists that items choose from: two models of an account, another account, both accounts, both the other way.
var lanes = [][]limit.Scope{
	{{Provider: "p", Account: "1", Model: "a"}},
	{{Provider: "p", Account: "1", Model: "b"}},
	{{Provider: "p", Account: "2", Model: "a"}},
	{{Provider: "p", Account: "1", Model: "a"}, {Provider: "p", Account: "2", Model: "a"}},
	{{Provider: "p", Account: "2", Model: "a"}, {Provider: "p", Account: "1", Model: "a"}},
}

// after is start and so many seconds; no time at all for 0.
func after(seconds byte) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return start.Add(time.Duration(seconds) * time.Second)
}

// step makes one call that the three bytes choose.
func (p *pair) step(op, a, b byte) {
	p.t.Helper()
	switch op % 9 {
	case 0, 1, 2: // a newcomer
		p.arrivals++
		it := &Item[int]{Class: priority.Class(a % priority.Count), Arrival: p.arrivals, Lanes: lanes[int(a/4)%len(lanes)]}
		it.Deadline, it.Announced = after(b/8), b%2 == 1
		if a >= 128 {
			it.NotBefore = after(b % 16)
		}
		p.room.Add(it)
		p.list.add(it)
	case 3: // somebody comes back
		if len(p.out) > 0 {
			i := int(a) % len(p.out)
			it := p.out[i]
			p.out = slices.Delete(p.out, i, i+1)
			it.NotBefore, it.Deadline = after(b%16), after(b/4)
			p.room.Add(it)
			p.list.add(it)
		}
	case 4: // somebody is taken out of the middle
		if len(p.list.entries) > 0 {
			it := p.list.entries[int(a)%len(p.list.entries)].item
			p.room.Remove(it)
			p.list.remove(it)
			p.out = append(p.out, it)
		}
	case 5: // the first is blocked, and who waits in vain is told
		if it := p.list.first(); it != nil {
			p.list.blocked[(&entry{item: it}).line()] = after(a)
			p.room.Block(it, after(a))
			if a != 0 {
				late := p.list.takeLate(it, after(a), b%2 == 1)
				p.taken("TakeLate", p.room.TakeLate(it, after(a), b%2 == 1), late)
			}
		}
	case 6:
		account := lanes[int(a)%len(lanes)][0].AccountScope()
		p.room.Touch(account)
		p.list.touch(account)
	case 7:
		p.now = p.now.Add(time.Duration(a%8) * time.Second)
		p.room.Wake(p.now)
		p.list.wake(p.now)
	case 8:
		p.taken("TakeOverdue", p.room.TakeOverdue(p.now), p.list.takeOverdue(p.now))
	}
}

// taken compares what was taken out, in any order.
func (p *pair) taken(verb string, got, want []*Item[int]) {
	p.t.Helper()
	byArrival := func(a, b *Item[int]) int { return int(a.Arrival) - int(b.Arrival) }
	slices.SortFunc(got, byArrival)
	slices.SortFunc(want, byArrival)
	if !slices.Equal(got, want) {
		p.t.Fatalf("%s takes %v; want %v", verb, arrivals(got), arrivals(want))
	}
	p.out = append(p.out, got...)
}

func arrivals(items []*Item[int]) (numbers []uint64) {
	for _, it := range items {
		numbers = append(numbers, it.Arrival)
	}
	return numbers
}

// number is the arrival number of an item, 0 for none.
func number(it *Item[int]) uint64 {
	if it == nil {
		return 0
	}
	return it.Arrival
}

// compare asks both every question.
func (p *pair) compare(step int) {
	p.t.Helper()
	if got, want := p.room.First(), p.list.first(); got != want {
		p.t.Fatalf("step %d: First() = %d; want %d", step, number(got), number(want))
	}
	if got, want := p.room.Next(), p.list.next(); !got.Equal(want) {
		p.t.Fatalf("step %d: Next() = %v; want %v", step, got.Sub(start), want.Sub(start))
	}
	if got, want := p.room.Len(), len(p.list.entries); got != want {
		p.t.Fatalf("step %d: Len() = %d; want %d", step, got, want)
	}
	var depth [priority.Count]int
	for _, e := range p.list.entries {
		depth[e.item.Class]++
	}
	if got := p.room.Depth(); got != depth {
		p.t.Fatalf("step %d: Depth() = %v; want %v", step, got, depth)
	}
	for _, class := range priority.All() {
		if got, want := p.room.Newest(class), p.list.newest(class); got != want {
			p.t.Fatalf("step %d: Newest(%s) = %d; want %d", step, class, number(got), number(want))
		}
	}
}

func FuzzRoomAgreesWithAList(f *testing.F) {
	f.Add([]byte{0, 2, 0, 0, 1, 0, 5, 20, 1, 0, 0, 0, 6, 0, 0})
	f.Add([]byte{0, 2, 41, 0, 2, 80, 0, 130, 5, 5, 9, 1, 7, 7, 0, 8, 0, 0, 3, 0, 12, 7, 7, 0, 4, 1, 0})
	f.Add([]byte{1, 14, 255, 1, 18, 255, 5, 0, 0, 5, 30, 0, 6, 2, 0, 7, 5, 0, 8, 0, 0, 3, 0, 0, 3, 1, 1})
	f.Fuzz(func(t *testing.T, script []byte) {
		p := pair{t: t, now: start, list: list{blocked: map[string]time.Time{}}}
		step := 0
		for call := range slices.Chunk(script, 3) {
			if len(call) == 3 {
				p.step(call[0], call[1], call[2])
				p.compare(step)
				step++
			}
		}
		p.taken("TakeAll", p.room.TakeAll(), p.list.removeIf(func(*entry) bool { return true }))
		p.compare(step)
		if lines, accounts := len(p.room.lines), len(p.room.accounts); lines != 0 || accounts != 0 {
			t.Errorf("an empty room holds %d lines and %d accounts; want none", lines, accounts)
		}
	})
}
