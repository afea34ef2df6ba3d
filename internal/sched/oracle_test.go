package sched

import (
	"fmt"
	"maps"
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

	counted []bool         // the grants that count: was it URGENT?
	since   map[string]int // by account: grants of others since URGENT's last one
	begun   int            // when the last grant of HIGH, NORMAL or LOW began, in eighths
	ended   [priority.Count]int
	crowds  [priority.Count]tally
}

// tally is what is known of the agents of a class.
type tally struct {
	due        map[string]float64
	par, floor float64
}

// entry is an item as the list sees it.
type entry struct {
	item   *Item[int]
	line   string
	parked bool
}

func newList() list {
	l := list{blocked: map[string]time.Time{}, since: map[string]int{}}
	for class := range l.crowds {
		l.crowds[class].due = map[string]float64{}
	}
	return l
}

func lineOf(it *Item[int]) string { return fmt.Sprint(it.Class, it.Lanes) }

// asks reports whether the agent has an item in the class.
func (l *list) asks(c priority.Class, agent string) bool {
	return slices.ContainsFunc(l.entries, func(e *entry) bool { return e.item.Class == c && e.item.Agent == agent })
}

// remembered counts the agents of a class that matter: who asks, and who has had more than par.
func (l *list) remembered(c priority.Class) (n int) {
	for agent, due := range l.crowds[c].due {
		if l.asks(c, agent) || due > l.crowds[c].par {
			n++
		}
	}
	return n
}

func (l *list) add(it *Item[int]) {
	if s := &l.crowds[it.Class]; !l.asks(it.Class, it.Agent) {
		s.due[it.Agent] = max(s.due[it.Agent], s.par)
	}
	e := &entry{it, lineOf(it), !it.NotBefore.IsZero()}
	l.entries = append(l.entries, e)
	delete(l.blocked, e.line)
}

// serve charges the first and takes it out.
func (l *list) serve(it *Item[int]) {
	classes := l.proposable()
	for _, e := range l.entries { // who waits for an account of the item's is contending, too
		shares := slices.ContainsFunc(e.item.Lanes, func(a limit.Scope) bool {
			return slices.ContainsFunc(it.Lanes, func(b limit.Scope) bool { return a.AccountScope() == b.AccountScope() })
		})
		if shares && !e.parked {
			classes[e.item.Class] = append(classes[e.item.Class], e.item)
		}
	}
	counts := len(classes) > 1
	for _, lane := range it.Lanes {
		account := fmt.Sprint(lane.AccountScope())
		since, known := l.since[account]
		switch {
		case l.since == nil: // all that is asked is an order
		case it.Class == priority.Urgent:
			l.since[account] = 0
		case known:
			counts = counts || since < 40
			l.since[account]++
		}
	}
	if counts {
		l.counted = append(l.counted, it.Class == priority.Urgent)
	}
	if weight := [...]int{0, 8, 4, 1}[it.Class]; weight > 0 {
		l.begun = max(l.begun, l.ended[it.Class])
		l.ended[it.Class] = l.begun + 8/weight
	}
	s := &l.crowds[it.Class]
	if n := l.remembered(it.Class); n > 1 {
		cost := 1.0
		if it.Cost > 0 {
			cost = it.Cost
		}
		if it.Again {
			cost = 0
		}
		s.floor = max(s.floor, s.due[it.Agent])
		s.due[it.Agent] = s.floor + cost
		s.par = max(s.par+cost/float64(n), s.floor)
	}
	l.remove(it)
}

func (l *list) remove(it *Item[int]) {
	l.removeIf(func(e *entry) bool { return e.item == it })
}

// removeIf takes out what matches and forgets the condition of lines, and the agents of classes, that are empty then.
func (l *list) removeIf(match func(*entry) bool) (taken []*Item[int]) {
	l.entries = slices.DeleteFunc(l.entries, func(e *entry) bool {
		if match(e) {
			taken = append(taken, e.item)
			return true
		}
		return false
	})
	for line := range l.blocked {
		if !slices.ContainsFunc(l.entries, func(e *entry) bool { return e.line == line }) {
			delete(l.blocked, line)
		}
	}
	maps.DeleteFunc(l.since, func(account string, _ int) bool {
		return !slices.ContainsFunc(l.entries, func(e *entry) bool {
			return slices.ContainsFunc(e.item.Lanes, func(s limit.Scope) bool { return fmt.Sprint(s.AccountScope()) == account })
		})
	})
	for _, class := range priority.All() {
		if !slices.ContainsFunc(l.entries, func(e *entry) bool { return e.item.Class == class }) {
			l.crowds[class] = tally{due: map[string]float64{}}
		}
	}
	return taken
}

// proposable returns who may be proposed, by class.
func (l *list) proposable() map[priority.Class][]*Item[int] {
	classes := map[priority.Class][]*Item[int]{}
	for _, e := range l.entries {
		if _, blocked := l.blocked[e.line]; !e.parked && !blocked {
			classes[e.item.Class] = append(classes[e.item.Class], e.item)
		}
	}
	return classes
}

func (l *list) first() *Item[int] {
	classes := l.proposable()
	best, others := priority.Class(0), false
	for _, class := range []priority.Class{priority.High, priority.Normal, priority.Low} {
		if classes[class] != nil && (!others || max(l.begun, l.ended[class]) < max(l.begun, l.ended[best])) {
			best, others = class, true
		}
	}
	urgents := 0
	for _, urgent := range l.counted[max(0, len(l.counted)-39):] {
		if urgent {
			urgents++
		}
	}
	if classes[priority.Urgent] != nil && (!others || urgents < 28) {
		best = priority.Urgent
	}
	var first *Item[int]
	due := l.crowds[best].due
	for _, it := range classes[best] {
		if first == nil || due[it.Agent] < due[first.Agent] || due[it.Agent] == due[first.Agent] && it.Arrival < first.Arrival {
			first = it
		}
	}
	return first
}

// order serves a copy of the list in which nobody is parked or blocked.
func (l *list) order() (order []*Item[int]) {
	c := *l
	c.entries, c.blocked, c.counted, c.since = nil, nil, slices.Clone(l.counted), nil
	for _, e := range l.entries {
		c.entries = append(c.entries, &entry{item: e.item, line: e.line})
	}
	for class := range c.crowds {
		c.crowds[class].due = maps.Clone(c.crowds[class].due)
	}
	for it := c.first(); it != nil; it = c.first() {
		order = append(order, it)
		c.serve(it)
	}
	return order
}

func (l *list) least(account limit.Scope) (c priority.Class, ok bool) {
	for _, e := range l.entries {
		if !e.parked && e.item.Class >= c && slices.ContainsFunc(e.item.Lanes, func(lane limit.Scope) bool { return lane.AccountScope() == account }) {
			c, ok = e.item.Class, true
		}
	}
	return c, ok
}

func (l *list) victim(c priority.Class) *Item[int] {
	items := map[priority.Class]map[string]int{}
	for _, e := range l.entries {
		if items[e.item.Class] == nil {
			items[e.item.Class] = map[string]int{}
		}
		items[e.item.Class][e.item.Agent]++
	}
	has := func(it *Item[int]) int { return items[it.Class][it.Agent] }
	var victim *Item[int]
	for _, e := range l.entries {
		it := e.item
		if it.Class > c && (victim == nil || it.Class > victim.Class ||
			it.Class == victim.Class && (has(it) > has(victim) || has(it) == has(victim) && it.Arrival > victim.Arrival)) {
			victim = it
		}
	}
	return victim
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
			consider(l.blocked[e.line])
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
			delete(l.blocked, e.line)
		}
	}
}

func (l *list) takeOverdue(now time.Time) []*Item[int] {
	return l.removeIf(func(e *entry) bool { return !e.item.Deadline.IsZero() && !e.item.Deadline.After(now) })
}

func (l *list) takeLate(member *Item[int], at time.Time, announcedOnly bool) []*Item[int] {
	line := lineOf(member)
	return l.removeIf(func(e *entry) bool {
		return e.line == line && !e.item.Deadline.IsZero() && e.item.Deadline.Before(at) && (e.item.Announced || !announcedOnly)
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

func newPair(t *testing.T) *pair { return &pair{t: t, now: start, list: newList()} }

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
	kind, more := op%12, op/12
	switch kind {
	case 0, 1, 2: // a newcomer
		p.arrivals++
		it := &Item[int]{Class: priority.Class(a % priority.Count), Arrival: p.arrivals, Lanes: lanes[int(a/4)%len(lanes)]}
		it.Agent = []string{"", "ann", "bob", "eve"}[more%4]
		it.Cost = []float64{0, 1, 0, 2.5, 0, 0.1}[more/4]
		it.Deadline, it.Announced = after(b/8), b%2 == 1
		if a >= 128 {
			it.NotBefore = after(b % 16)
		}
		p.add(it)
	case 3: // somebody comes back
		if len(p.out) > 0 {
			i := int(a) % len(p.out)
			it := p.out[i]
			p.out = slices.Delete(p.out, i, i+1)
			it.NotBefore, it.Deadline, it.Again = after(b%16), after(b/4), more%2 == 1
			p.add(it)
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
			p.list.blocked[lineOf(it)] = after(a)
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
	default: // the first is granted
		if it := p.list.first(); it != nil {
			p.room.Serve(it)
			p.list.serve(it)
			p.out = append(p.out, it)
		}
	}
}

func (p *pair) add(it *Item[int]) {
	p.room.Add(it)
	p.list.add(it)
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
		if got, want := p.room.Victim(class), p.list.victim(class); got != want {
			p.t.Fatalf("step %d: Victim(%s) = %d; want %d", step, class, number(got), number(want))
		}
		if got, want := len(p.room.agents[class].byName), p.list.remembered(class); got != want {
			p.t.Fatalf("step %d: %d agents of %s are remembered; want %d", step, got, class, want)
		}
	}
	for _, account := range []limit.Scope{{Provider: "p", Account: "1"}, {Provider: "p", Account: "2"}, {Provider: "p", Account: "3"}} {
		got, ok := p.room.Least(account)
		if want, wantOK := p.list.least(account); got != want || ok != wantOK {
			p.t.Fatalf("step %d: Least(%s) = %s, %t; want %s, %t", step, account, got, ok, want, wantOK)
		}
	}
}

// finish compares the order that is expected, and then empties both.
func (p *pair) finish() {
	p.t.Helper()
	if got, want := arrivals(p.room.Order()), arrivals(p.list.order()); !slices.Equal(got, want) {
		p.t.Errorf("Order() = %v; want %v", got, want)
	}
	p.taken("TakeAll", p.room.TakeAll(), p.list.removeIf(func(*entry) bool { return true }))
	p.compare(-1)
	if lines, flows, accounts := len(p.room.lines), len(p.room.flows), len(p.room.accounts); lines+flows+accounts != 0 {
		p.t.Errorf("an empty room holds %d lines, %d flows and %d accounts; want none", lines, flows, accounts)
	}
}

func FuzzRoomAgreesWithAList(f *testing.F) {
	f.Add([]byte{0, 2, 0, 12, 2, 0, 0, 1, 0, 5, 20, 1, 9, 0, 0, 6, 0, 0, 10, 0, 0})
	f.Add([]byte{0, 2, 41, 24, 2, 80, 0, 130, 5, 5, 9, 1, 7, 7, 0, 8, 0, 0, 9, 0, 0, 15, 0, 0, 3, 0, 12, 7, 7, 0, 4, 1, 0})
	f.Add([]byte{1, 14, 255, 13, 18, 255, 5, 0, 0, 5, 30, 0, 6, 2, 0, 7, 5, 0, 8, 0, 0, 3, 0, 0, 3, 1, 1, 9, 0, 0, 9, 0, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		p := newPair(t)
		script = script[:min(len(script), 900)] // the list is slow
		step := 0
		for call := range slices.Chunk(script, 3) {
			if len(call) == 3 {
				p.step(call[0], call[1], call[2])
				p.compare(step)
				step++
			}
		}
		p.finish()
	})
}
