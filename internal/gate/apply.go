package gate

// Settings are what may change of a gate while it runs.
type Settings struct {
	Capacity int  // as in Options
	Displace bool // as in Options
	Drain    bool // refuse everybody who waits, comes or comes back
}

// Apply changes the settings, from the next request on. Whoever waits keeps its place, though the room may have become smaller, unless the
// gate drains. It also asks for everybody anew, since what the budget allows may have changed as well.
func (g *Gate) Apply(s Settings) {
	if s.Capacity <= 0 {
		s.Capacity = DefaultCapacity
	}
	if s.Drain {
		g.Drain()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.options.Capacity, g.options.Displace, g.draining = s.Capacity, s.Displace, s.Drain
	for it := range g.room.All() {
		for _, lane := range it.Lanes {
			g.room.Touch(lane.AccountScope())
		}
	}
	g.changedLocked()
	g.nudge()
}
