package sched

// agent is somebody who asks, in one class, over all lines.
type agent struct {
	name  string
	due   float64 // the virtual time of its next grant; it never falls
	items int     // in the room, parked ones included

	inIdle int32
}

// agents are those of one class: who waits, and who does not but has already had more than the others, so that nobody gains by
// leaving and coming back.
type agents struct {
	byName map[string]*agent
	idle   heap[agent, byDue] // those without items

	par   float64 // where somebody who had always been here would be, were all served at once and evenly
	floor float64 // when the last grant was due; of those who could have been proposed instead nobody is due earlier
}

// enter notes one more item of the agent of that name, and returns the agent. One that comes is due at par: it has no credit for
// the time when it did not ask.
func (s *agents) enter(name string) *agent {
	a := s.byName[name]
	if a == nil {
		if s.byName == nil {
			s.byName = map[string]*agent{}
		}
		a = &agent{name: name}
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
func (s *agents) charge(a *agent, cost float64) {
	n := len(s.byName)
	if n == 1 {
		return
	}
	s.floor = max(s.floor, a.due)
	a.due = s.floor + cost
	s.par = max(s.par+cost/float64(n), s.floor)
}

// leave notes one item less. It forgets the idle agents that would be due at par anyway, and all of them once nobody waits.
func (s *agents) leave(a *agent) {
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

type byDue struct{}

func (byDue) before(a, b *agent) bool { return a.due < b.due } // ties are forgotten together
func (byDue) place(a *agent) *int32   { return &a.inIdle }
