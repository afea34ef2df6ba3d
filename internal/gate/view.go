package gate

import (
	"time"

	"nimsidecar/internal/priority"
)

// Depth returns how many tickets of each class wait.
func (g *Gate) Depth() [priority.Count]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.room.Depth()
}

// Len returns how many tickets wait.
func (g *Gate) Len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.room.Len()
}

// Waiter is one who waits, as the dashboard shows it.
type Waiter struct {
	ID       string         // of its request
	Class    priority.Class // how urgent it is
	Agent    string         // who asks
	Client   string         // for which configured client; "" = none
	Provider string         // of its preferred lane
	Model    string         // of its preferred lane
	Repeat   bool           // the client sends it again after a failure
	Waited   time.Duration  // all waits together
	Position int            // 1 is next in order; others may overtake it while its lanes have no slot
	Place    int            // among those who wait for the same lane: 1 is the next to be granted
	Estimate time.Duration  // until it will probably be granted; 0 = unknown, or any moment
}

// Waiting returns who waits, in the order in which they would be served if all had a slot and nobody came or left. It takes O(n log n) under
// the lock.
func (g *Gate) Waiting() []Waiter {
	g.foresee(nil)
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	waiters := make([]Waiter, 0, g.room.Len())
	for i, it := range g.room.Order() {
		t := it.Value
		r := &t.request
		waiters = append(waiters, Waiter{
			ID: r.ID, Class: r.Class, Agent: r.Agent, Client: r.Client, Provider: r.Lanes[0].Provider, Model: r.Lanes[0].Model, Repeat: r.Repeat,
			Waited: t.waited + now.Sub(t.since), Position: i + 1, Place: max(1, int(t.place.Load())), Estimate: t.eta(now),
		})
	}
	return waiters
}

// End refuses the waiting ticket of that id with Cancelled, and reports whether there was one. Of several it takes any.
func (g *Gate) End(id string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for it := range g.room.All() {
		if it.Value.request.ID == id {
			g.cancelLocked(it.Value)
			return true
		}
	}
	return false
}

// cancel ends a wait if it still goes on.
func (g *Gate) cancel(t *Ticket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.waiting.Load() {
		g.cancelLocked(t)
	}
}

func (g *Gate) cancelLocked(t *Ticket) {
	now := time.Now()
	g.refuseLocked(now, t, Cancelled)
	g.changedLocked()
}
