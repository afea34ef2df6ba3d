package sched

import (
	"slices"
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/priority"
)

// Plan is a copy of all that the order of a room depends on, so that it can be played ahead while the room goes on.
type Plan[T any] struct {
	items  []Item[T]
	agents [priority.Count]standings
	shares shares
}

// standings are how the agents of a class stood.
type standings struct {
	dues       []due
	par, floor float64
}

// due is when an agent was due.
type due struct {
	agent string
	at    float64
}

// Plan returns a copy of the room, in O(n). Lines that are blocked are awake in it: whoever plays it knows when lanes have slots.
func (r *Room[T]) Plan() *Plan[T] {
	p := &Plan[T]{shares: r.shares, items: make([]Item[T], 0, r.Len())}
	for it := range r.All() {
		p.items = append(p.items, Item[T]{
			Value: it.Value, Class: it.Class, Agent: it.Agent, Arrival: it.Arrival, Cost: it.Cost, Again: it.Again, Lanes: it.Lanes,
			NotBefore: it.NotBefore, Deadline: it.Deadline,
		})
	}
	for class := range r.agents {
		s, c := &r.agents[class], &p.agents[class]
		c.par, c.floor = s.par, s.floor
		for _, a := range s.byName {
			c.dues = append(c.dues, due{a.name, a.due})
		}
	}
	return p
}

// Len returns how many items were in the room.
func (p *Plan[T]) Len() int { return len(p.items) }

// Slots says when lanes will have slots.
type Slots interface {
	// Next returns the earliest time, not before now, at which the lane has a slot for an item of the class.
	Next(now time.Time, lane limit.Scope, c priority.Class) time.Time

	// Take uses up the slot that the lane has now.
	Take(now time.Time, lane limit.Scope)
}

// Stream is an agent that is expected to come again: after each grant of an item of its class with those lanes another one.
type Stream struct {
	Class priority.Class
	Agent string
	Lanes []limit.Scope
	Share float64       // of its grants after which it comes again, between 0 and 1
	Pause time.Duration // from the grant until then

	// Coming is when it comes after those grants that it has had.
	Coming []time.Time
}

// source is a stream on its way.
type source struct {
	*Stream
	due float64 // items that must come, as a sum of shares
}

// visit is one time at which an item of a stream comes.
type visit struct {
	of *source
	at time.Time

	inComing int32
}

type byTime struct{}

func (byTime) before(a, b *visit) bool { return a.at.Before(b.at) }
func (byTime) place(v *visit) *int32   { return &v.inComing }

// part is what an item of a play stands for: an item of the room, with its outcome, or a newcomer that only asks when its turn would
// come, and takes nothing, or one that comes in a stream.
type part struct {
	outcome    *Prospect // nil = nobody asks
	deadline   time.Time
	line, flow *opening // of an item: what its grant counts for
	asks       *opening // of a newcomer
	of         *source  // the stream that goes on after its grant; nil = none
}

// play is a Plan on its way.
type play struct {
	room    Room[*part]
	slots   Slots
	coming  heap[visit, byTime]
	granted map[limit.Scope]int // to items of the room, by lane
	arrival uint64              // the last given
	open    int                 // parts that have no outcome
	steps   int                 // that may still be taken
}

// stepsPerItem bounds the work of a play. A grant takes about two steps, and one more for each line that wakes for the same slot.
const stepsPerItem = 100

// Play lets time pass from now on, until each item has been granted by the rules of the room, and returns when that was. An item whose
// deadline passes uses no slot. It takes O(log n) for each item of the room, item of a stream, and line that wakes in vain; of all
// these it looks at no more than 100 for each item of the room, and guesses the rest.
func (p *Plan[T]) Play(now time.Time, slots Slots, streams []Stream) *Forecast[T] {
	f := &Forecast[T]{
		Made: now, Prospects: make([]Prospect, len(p.items)), values: make([]T, len(p.items)),
		lines: map[key]*opening{}, flows: map[flowName]*opening{},
	}
	s := &play{slots: slots, granted: map[limit.Scope]int{}, steps: stepsPerItem * (len(p.items) + 1)}
	s.room.shares = p.shares
	present := s.remember(&p.agents)
	p.cast(f, s, s.sources(streams))
	for class, agents := range present {
		for _, a := range agents {
			s.room.agents[class].leave(a)
		}
	}
	s.run(now)
	for _, o := range f.lines {
		o.spread(now)
	}
	for _, o := range f.flows {
		o.spread(now)
	}
	return f
}

// sources returns the streams by flow, with all visits that are known.
func (s *play) sources(streams []Stream) map[flowName]*source {
	sources := make(map[flowName]*source, len(streams))
	for i := range streams {
		st := &source{Stream: &streams[i], due: 0.5}
		sources[flowName{keyOf(st.Class, st.Lanes), st.Agent}] = st
		for _, at := range st.Coming {
			s.goesOn(st, at.Add(-st.Pause))
		}
	}
	return sources
}

// goesOn lets the next item of a stream come after a grant, if one does.
func (s *play) goesOn(of *source, granted time.Time) {
	if of.due += of.Share; of.due >= 1 {
		of.due--
		s.coming.keep(&visit{of: of, at: granted.Add(of.Pause)}, true)
	}
}

// remember enters the agents as they were. Each has an item more than it has, until its own
// are there, so that it is not taken for a newcomer.
func (s *play) remember(was *[priority.Count]standings) (present [priority.Count][]*agent[*part]) {
	for class := range was {
		r := &s.room.agents[class]
		r.par, r.floor = was[class].par, was[class].floor
		for _, d := range was[class].dues {
			a := r.enter(d.agent)
			a.due = d.at
			present[class] = append(present[class], a)
		}
	}
	return present
}

// cast lets the items of the plan enter the play, and beside them the newcomers that ask: in each flow one more item of its agent, and
// with each list of lanes an agent that nobody knows, in each class.
func (p *Plan[T]) cast(f *Forecast[T], s *play, sources map[flowName]*source) {
	items, parts := make([]Item[*part], len(p.items)), make([]part, len(p.items))
	var newcomers []Item[*part]
	ask := func(class priority.Class, agent string, lanes []limit.Scope) *opening {
		o := &opening{}
		newcomers = append(newcomers, Item[*part]{
			Value: &part{outcome: &o.Prospect, asks: o}, Class: class, Agent: agent, Lanes: lanes,
		})
		return o
	}
	for i := range p.items {
		it := &p.items[i]
		k := keyOf(it.Class, it.Lanes)
		if f.lines[k] == nil {
			for class := range priority.Class(priority.Count) {
				k.class = class
				f.lines[k] = ask(class, nobody, it.Lanes)
			}
			k.class = it.Class
		}
		name := flowName{k, it.Agent}
		if f.flows[name] == nil {
			f.flows[name] = ask(it.Class, it.Agent, it.Lanes)
			f.lines[k].agents++
		}
		f.values[i] = it.Value
		parts[i] = part{outcome: &f.Prospects[i], deadline: it.Deadline, line: f.lines[k], flow: f.flows[name], of: sources[name]}
		items[i] = Item[*part]{
			Value: &parts[i], Class: it.Class, Agent: it.Agent, Arrival: it.Arrival, Cost: it.Cost, Again: it.Again, Lanes: it.Lanes,
			NotBefore: it.NotBefore,
		}
		s.arrival = max(s.arrival, it.Arrival)
		s.room.Add(&items[i])
	}
	for i := range newcomers {
		s.enter(&newcomers[i])
	}
	s.open = len(items) + len(newcomers)
}

// enter adds an item behind all others of its agent.
func (s *play) enter(it *Item[*part]) {
	s.arrival++
	it.Arrival = s.arrival
	s.room.Add(it)
}

// run lets time pass until all parts have their outcome.
func (s *play) run(now time.Time) {
	began := now
	for s.open > 0 && s.steps > 0 {
		s.room.Wake(now)
		for v := s.coming.first(); v != nil && !v.at.After(now); v = s.coming.first() {
			s.steps--
			s.coming.keep(v, false)
			s.enter(&Item[*part]{Value: &part{of: v.of}, Class: v.of.Class, Agent: v.of.Agent, Lanes: v.of.Lanes})
		}
		for it := s.room.First(); it != nil && s.steps > 0; it = s.room.First() {
			s.steps--
			s.ask(now, it)
		}
		next := s.room.Next()
		if v := s.coming.first(); v != nil && (next.IsZero() || v.at.Before(next)) {
			next = v.at
		}
		if next.After(now) {
			now = next
		}
	}
	s.guess(now, now.Sub(began))
}

// ask grants the item if one of its lanes has a slot, else its line sleeps until one has.
func (s *play) ask(now time.Time, it *Item[*part]) {
	lane, at, class := it.Lanes[0], time.Time{}, it.Class
	if class == priority.Urgent && s.room.Capped() {
		class = priority.High
	}
	for i, l := range it.Lanes {
		if next := s.slots.Next(now, l, class); i == 0 || next.Before(at) {
			lane, at = l, next
		}
	}
	if at.After(now) {
		s.room.Block(it, at)
		return
	}
	if !s.outcome(now, lane, it.Value) {
		s.room.Remove(it)
		return
	}
	s.slots.Take(now, lane)
	s.room.Serve(it)
	if of := it.Value.of; of != nil {
		s.goesOn(of, now)
	}
}

// outcome notes that the turn of a part has come, and reports whether it takes the slot.
func (s *play) outcome(now time.Time, lane limit.Scope, p *part) (takes bool) {
	if p.outcome == nil {
		return true
	}
	s.open--
	*p.outcome = Prospect{Place: s.granted[lane] + 1, At: now, Lane: lane}
	if p.asks != nil || !p.deadline.IsZero() && p.deadline.Before(now) {
		return false
	}
	s.granted[lane]++
	for _, o := range [...]*opening{p.line, p.flow} {
		if o.Place == 0 {
			o.ahead++
		}
	}
	return true
}

// guess ends a play that has become too long: who is left is granted in order, at the pace so far.
func (s *play) guess(now time.Time, passed time.Duration) {
	if s.open == 0 {
		return
	}
	done := 1
	for _, n := range s.granted {
		done += n
	}
	pace := max(passed/time.Duration(done), time.Millisecond)
	for _, it := range s.room.Order() {
		if s.outcome(now, it.Lanes[0], it.Value) {
			now = now.Add(pace)
		}
	}
}

// Forecast is when the items of a room will be granted, and when others would be that come now. It is not safe for concurrent use.
type Forecast[T any] struct {
	// Made is the time at which the play began.
	Made time.Time

	// Prospects are those of the items, in the order of Value.
	Prospects []Prospect

	values []T
	lines  map[key]*opening
	flows  map[flowName]*opening
}

// Value returns whose prospect number i is.
func (f *Forecast[T]) Value(i int) T { return f.values[i] }

// Prospect is when somebody will be granted.
type Prospect struct {
	// Place counts the items that are granted before on the same lane, and itself.
	Place int

	// At is when it is granted, and Lane on which lane.
	At   time.Time
	Lane limit.Scope
}

// flowName tells the flows of a forecast apart.
type flowName struct {
	line  key
	agent string
}

// nobody is the agent of the newcomers whom nobody knows.
const nobody = "\x00nobody"

// opening is what a newcomer may expect, and how much later it becomes with each that comes.
type opening struct {
	Prospect
	ahead  int // items of the same line, or flow, that are granted before
	agents int // of a line: who has items in it
	gap    time.Duration
	step   float64
}

// spread derives how much later the next newcomer comes than this one, from how those before it are spread.
func (o *opening) spread(now time.Time) {
	o.gap = o.At.Sub(now) / time.Duration(o.ahead+1)
	o.step = float64(o.Place) / float64(o.ahead+1)
}

// later moves the opening behind n more.
func (o *opening) later(n int) {
	o.At = o.At.Add(time.Duration(n) * o.gap)
	o.Place += int(float64(n)*o.step + 0.5)
}

// Knows reports whether items with the same list of lanes were in the room.
func (f *Forecast[T]) Knows(lanes []limit.Scope) bool { return f.lines[keyOf(0, lanes)] != nil }

// Newcomer returns the prospect of an item that comes now, and takes note of it, so that the next one comes behind it. What it delays
// of others' is left to the next forecast. It reports false where nobody with the same lanes was in the room.
func (f *Forecast[T]) Newcomer(c priority.Class, agent string, lanes []limit.Scope) (p Prospect, ok bool) {
	k := keyOf(c, lanes)
	line := f.lines[k]
	if line == nil {
		return Prospect{}, false
	}
	flow := f.flows[flowName{k, agent}]
	if flow == nil { // an agent that nobody knew: it has its next turn after all the others
		first := *line
		flow, first.agents = &first, 0
		f.flows[flowName{k, agent}] = flow
		flow.gap *= time.Duration(line.agents + 1)
		flow.step *= float64(line.agents + 1)
		line.agents++
		line.later(1)
	}
	p = flow.Prospect
	flow.later(1)
	return p, true
}

// InOrder returns the numbers of the prospects, the first grant first.
func (f *Forecast[T]) InOrder() []int {
	order := make([]int, len(f.Prospects))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return f.Prospects[a].At.Compare(f.Prospects[b].At) })
	return order
}
