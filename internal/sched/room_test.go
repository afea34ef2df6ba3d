package sched

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/priority"
)

// desk is a room with arrival numbers.
type desk struct {
	Room[int]
	arrivals uint64
}

// come adds n items of an agent, on the first lane unless others are named, and returns the last.
func (d *desk) come(n int, c priority.Class, agent string, on ...limit.Scope) (it *Item[int]) {
	if on == nil {
		on = lanes[0]
	}
	for range n {
		d.arrivals++
		it = &Item[int]{Class: c, Agent: agent, Arrival: d.arrivals, Lanes: on}
		d.Add(it)
	}
	return it
}

// grant serves the first; nil if there is none.
func (d *desk) grant() *Item[int] {
	it := d.First()
	if it != nil {
		d.Serve(it)
	}
	return it
}

// at is start and so long after it.
func at(d time.Duration) time.Time { return start.Add(d) }

// enter adds a new item with the next arrival number to the room.
func enter(r *Room[int], arrival uint64, c priority.Class, line []limit.Scope) *Item[int] {
	it := &Item[int]{Class: c, Arrival: arrival, Lanes: line}
	r.Add(it)
	return it
}

// drain serves the first item until there is none, and returns their arrival numbers.
func drain(r *Room[int]) (order []uint64) {
	for it := r.First(); it != nil; it = r.First() {
		r.Serve(it)
		order = append(order, it.Arrival)
	}
	return order
}

func TestLongRandomScriptsAgreeWithAList(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 1))
		p := newPair(t)
		for step := range 2000 {
			p.step(byte(random.Uint32()), byte(random.Uint32()), byte(random.Uint32()))
			p.compare(step)
		}
		p.finish()
	}
}

func TestClassesTakeTurnsAndOlderItemsGoFirstInsideAClass(t *testing.T) {
	t.Parallel()
	var r Room[int]
	const u, h, n, l = priority.Urgent, priority.High, priority.Normal, priority.Low
	for i, class := range []priority.Class{l, n, u, l, h, u, n} {
		enter(&r, uint64(i+1), class, lanes[i%3])
	}
	if got, want := drain(&r), []uint64{3, 6, 5, 2, 1, 7, 4}; !slices.Equal(got, want) {
		t.Errorf("order = %v; want %v: URGENT, one of each class, then by weight", got, want)
	}
}

func TestBlockedLineIsSteppedOver(t *testing.T) {
	t.Parallel()
	var r Room[int]
	first := enter(&r, 1, priority.Urgent, lanes[0])
	enter(&r, 2, priority.Urgent, lanes[0])
	enter(&r, 3, priority.Low, lanes[1])
	r.Block(first, at(time.Second))
	if got := number(r.First()); got != 3 {
		t.Errorf("First() = %d; want 3, whose line is not blocked", got)
	}
	r.Wake(at(time.Second - 1))
	if got := number(r.First()); got != 3 {
		t.Errorf("First() = %d a moment before the line wakes; want 3", got)
	}
	r.Wake(at(time.Second))
	if got, want := drain(&r), []uint64{1, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("order once the line is awake = %v; want %v", got, want)
	}
}

func TestNewcomerWakesItsLine(t *testing.T) {
	t.Parallel()
	var r Room[int]
	r.Block(enter(&r, 1, priority.Normal, lanes[0]), at(time.Hour))
	r.Block(enter(&r, 2, priority.Normal, lanes[1]), at(time.Hour))
	enter(&r, 3, priority.Normal, lanes[0])
	if got, want := drain(&r), []uint64{1, 3}; !slices.Equal(got, want) {
		t.Errorf("order after one more joined a blocked line = %v; want %v: its line and no other, from its front", got, want)
	}
}

func TestOneClassIsBlockedWithoutTheOthersOfItsLanes(t *testing.T) {
	t.Parallel()
	var r Room[int]
	r.Block(enter(&r, 1, priority.Normal, lanes[0]), time.Time{})
	enter(&r, 2, priority.Low, lanes[0])
	if got := number(r.First()); got != 2 {
		t.Errorf("First() = %d; want 2: the owner decides what a class may, not the room", got)
	}
}

func TestOnlyAnEventWakesALineThatIsBlockedWithoutATime(t *testing.T) {
	t.Parallel()
	var r Room[int]
	r.Block(enter(&r, 1, priority.Normal, lanes[3]), time.Time{})
	if got := r.Next(); !got.IsZero() {
		t.Errorf("Next() = %v; want none", got)
	}
	r.Wake(at(24 * time.Hour))
	if r.First() != nil {
		t.Error("a day wakes a line that waits for an event")
	}
	r.Touch(limit.Scope{Provider: "p", Account: "3"})
	if r.First() != nil {
		t.Error("an event of another account wakes the line")
	}
	r.Touch(lanes[3][1].AccountScope())
	if got := number(r.First()); got != 1 {
		t.Errorf("First() = %d after an event of its second lane's account; want 1", got)
	}
}

func TestListsOfLanesThatLookAlikeAreDifferentLines(t *testing.T) {
	t.Parallel()
	lane := func(model string) limit.Scope { return limit.Scope{Provider: "p", Account: "1", Model: model} }
	lists := [][]limit.Scope{
		{lane("a")},
		{lane("a"), lane("b")},
		{lane("b"), lane("a")},
		{lane("a"), lane("b"), lane("c")},
		{lane("a"), lane("b1:p1:11:c")},
		{lane("a"), lane("b\x00p\x001\x00c")},
		{lane("a"), lane("c")},
		{lane("a"), lane("1"), lane("abcdef")},
		{lane("a"), lane("1p116abcdef")},
	}
	for i, a := range lists {
		for j, b := range lists {
			if got, want := keyOf(priority.Low, a) == keyOf(priority.Low, b), i == j; got != want {
				t.Errorf("lists %q and %q in one line = %t; want %t", a, b, got, want)
			}
		}
	}
}

func TestReturningItemGoesBeforeTheYoungerOnesOfItsAgent(t *testing.T) {
	t.Parallel()
	var r Room[int]
	first := enter(&r, 1, priority.Normal, lanes[0])
	r.Serve(first)
	enter(&r, 2, priority.Normal, lanes[0])
	enter(&r, 3, priority.Normal, lanes[1])
	first.Again = true
	r.Add(first)
	if got, want := drain(&r), []uint64{1, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("order = %v; want %v", got, want)
	}
}

func TestParkedItemDoesNotHoldUpItsLine(t *testing.T) {
	t.Parallel()
	var r Room[int]
	parked := &Item[int]{Class: priority.Normal, Arrival: 1, Lanes: lanes[0], NotBefore: at(time.Second)}
	r.Add(parked)
	if got := r.First(); got != nil {
		t.Errorf("First() = %d; want nothing while all that wait are parked", got.Arrival)
	}
	if got, want := r.Next(), at(time.Second); !got.Equal(want) {
		t.Errorf("Next() = %v; want %v", got, want)
	}
	enter(&r, 2, priority.Normal, lanes[0])
	if got := number(r.First()); got != 2 {
		t.Errorf("First() = %d; want 2", got)
	}
	r.Wake(at(time.Second))
	if got, want := drain(&r), []uint64{1, 2}; !slices.Equal(got, want) {
		t.Errorf("order after NotBefore = %v; want %v", got, want)
	}
}

func TestDeadlinesAreTakenEarliestFirst(t *testing.T) {
	t.Parallel()
	var r Room[int]
	for i, seconds := range []int{5, 3, 0, 4, 9} {
		it := &Item[int]{Class: priority.Class(i % 2), Arrival: uint64(i + 1), Lanes: lanes[i%3], Announced: i%2 == 0}
		it.Deadline = after(byte(seconds))
		if i == 3 {
			it.NotBefore = at(time.Minute) // parked items have deadlines as well
		}
		r.Add(it)
	}
	if got, want := r.Next(), at(3*time.Second); !got.Equal(want) {
		t.Errorf("Next() = %v; want %v", got, want)
	}
	if got, want := arrivals(r.TakeOverdue(at(5*time.Second))), []uint64{2, 4, 1}; !slices.Equal(got, want) {
		t.Errorf("TakeOverdue(5 s) = %v; want %v", got, want)
	}
	if got := r.Len(); got != 2 {
		t.Errorf("Len() = %d; want 2: one later, one without a deadline", got)
	}
}

func TestLateItemsOfALineAreTaken(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name          string
		announcedOnly bool
		want, left    []uint64
	}{
		{"all kinds", false, []uint64{1, 2}, []uint64{3, 4, 5}},
		{"announced only", true, []uint64{2}, []uint64{1, 3, 4, 5}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var r Room[int]
			add := func(arrival uint64, deadline byte, announced bool, line []limit.Scope) *Item[int] {
				it := &Item[int]{Class: priority.Normal, Arrival: arrival, Lanes: line, Deadline: after(deadline), Announced: announced}
				r.Add(it)
				return it
			}
			first := add(1, 5, false, lanes[0])
			add(2, 6, true, lanes[0])
			add(3, 10, true, lanes[0]) // at the time itself is not late
			add(4, 0, true, lanes[0])
			add(5, 1, true, lanes[1]) // another line
			r.Block(first, at(10*time.Second))
			got := arrivals(r.TakeLate(first, at(10*time.Second), test.announcedOnly))
			slices.Sort(got)
			if !slices.Equal(got, test.want) {
				t.Errorf("TakeLate = %v; want %v", got, test.want)
			}
			left := arrivals(r.TakeAll())
			slices.Sort(left)
			if !slices.Equal(left, test.left) {
				t.Errorf("left in the room = %v; want %v", left, test.left)
			}
		})
	}
}

func TestVictimIsOfTheLeastUrgentClassBelowAndOfTheAgentWithTheMostPlaces(t *testing.T) {
	t.Parallel()
	var r Room[int]
	for i, who := range []struct {
		class priority.Class
		agent string
	}{
		{priority.High, "ann"},
		{priority.Low, "ann"},
		{priority.Low, "ann"},
		{priority.Low, "bob"},
		{priority.Low, "ann"},
		{priority.Low, "bob"},
		{priority.Low, "eve"},
		{priority.Normal, "eve"},
		{priority.Normal, "eve"},
		{priority.Normal, "eve"},
	} {
		r.Add(&Item[int]{Class: who.class, Agent: who.agent, Arrival: uint64(i + 1), Lanes: lanes[i%2]})
	}
	var order []uint64
	for it := r.Victim(priority.High); it != nil; it = r.Victim(priority.High) {
		order = append(order, it.Arrival)
		r.Remove(it)
	}
	if want := []uint64{5, 6, 3, 7, 4, 2, 10, 9, 8}; !slices.Equal(order, want) {
		t.Errorf("victims of HIGH = %v; want %v: whoever has most, of equals the newest, and LOW before NORMAL", order, want)
	}
	if it := r.Victim(priority.Urgent); number(it) != 1 {
		t.Errorf("Victim(URGENT) = %d; want 1", number(it))
	}
}

func TestRemovingTwiceIsRemovingOnce(t *testing.T) {
	t.Parallel()
	var r Room[int]
	it := enter(&r, 1, priority.Normal, lanes[0])
	enter(&r, 2, priority.Normal, lanes[0])
	r.Remove(it)
	r.Remove(it)
	if got := r.Len(); got != 1 {
		t.Errorf("Len() = %d; want 1", got)
	}
}

func TestAddingAnItemTwiceIsABug(t *testing.T) {
	t.Parallel()
	var r Room[int]
	it := enter(&r, 1, priority.Normal, lanes[0])
	defer func() {
		if recover() == nil {
			t.Error("Add of an item that is in a room does not panic")
		}
	}()
	r.Add(it)
}

func TestLeastIsTheLeastUrgentClassThatWaitsForTheAccount(t *testing.T) {
	t.Parallel()
	var d desk
	account := lanes[0][0].AccountScope()
	want := func(when string, class priority.Class, some bool) {
		t.Helper()
		if got, ok := d.Least(account); got != class || ok != some {
			t.Errorf("%s: Least(%s) = %s, %t; want %s, %t", when, account, got, ok, class, some)
		}
	}
	want("an empty room", 0, false)
	d.come(1, priority.Low, "", lanes[2]...)
	want("LOW waits for another account", 0, false)
	high := d.come(1, priority.High, "", lanes[1]...)
	want("HIGH waits", priority.High, true)
	parked := &Item[int]{Class: priority.Low, Arrival: 99, Lanes: lanes[4], NotBefore: at(time.Second)}
	d.Add(parked)
	want("LOW is parked", priority.High, true)
	d.Wake(at(time.Second))
	want("LOW waits, on its second lane", priority.Low, true)
	d.Block(parked, at(time.Hour))
	want("LOW is blocked", priority.Low, true)
	d.Remove(parked)
	want("LOW has left", priority.High, true)
	d.Serve(high)
	want("all have left", 0, false)
}

func TestOrderTellsWhoWillBeServedWhen(t *testing.T) {
	t.Parallel()
	var d desk
	d.come(2, priority.Low, "eve")
	d.come(3, priority.Normal, "ann")
	d.come(2, priority.Normal, "bob", lanes[1]...)
	d.come(1, priority.Urgent, "eve")
	if got, want := arrivals(d.Order()), []uint64{8, 3, 1, 6, 4, 7, 5, 2}; !slices.Equal(got, want) {
		t.Errorf("Order() = %v; want %v", got, want)
	}
	for i, it := range d.Order() {
		if got := d.grant(); got != it {
			t.Errorf("grant %d goes to %d; want %d", i+1, number(got), number(it))
		}
	}
}

func TestAllStopsWhenAsked(t *testing.T) {
	t.Parallel()
	var r Room[int]
	for i := range 10 {
		enter(&r, uint64(i+1), priority.Class(i%priority.Count), lanes[0])
	}
	seen := 0
	for range r.All() {
		if seen++; seen == 4 {
			break
		}
	}
	if seen != 4 {
		t.Errorf("saw %d items; want 4", seen)
	}
}
