package limiter

import "time"

// fixed counts in fixed windows, refused hits included: FirstHit, and, aligned to the clock, Minute.
type fixed struct {
	windowed
	aligned  bool
	rates    []Rate
	current  []*counter        // of rates, in their order
	counters map[Rate]*counter // every counter there ever was, as an upstream's store would hold it
}

type counter struct {
	count int
	end   time.Time
}

func (f *fixed) SetRates(rates []Rate) {
	f.rates = rates
	f.current = make([]*counter, len(rates))
	for i, r := range rates {
		key := r
		if f.aligned {
			key.N = 0 // such stores key by the window and compare with whatever limit holds now
		}
		if f.counters[key] == nil {
			f.counters[key] = new(counter)
		}
		f.current[i] = f.counters[key]
	}
}

// Hit counts in every window, whatever the others say: that is why blind retries against a short limit spend the long one.
func (f *fixed) Hit(now time.Time) bool {
	ok := true
	for i, c := range f.current {
		if !now.Before(c.end) {
			*c = counter{end: f.end(now, f.rates[i].Period)}
		}
		c.count++
		ok = ok && c.count <= f.rates[i].N
	}
	return ok
}

// end returns when a window that opens at now will end.
func (f *fixed) end(now time.Time, period time.Duration) time.Time {
	if f.aligned {
		return now.Truncate(period).Add(period)
	}
	return now.Add(period)
}

func (f *fixed) State(now time.Time) State {
	s := State{Left: maxN}
	for i, c := range f.current {
		t := State{Rate: f.rates[i], Left: f.rates[i].N}
		if now.Before(c.end) {
			t.Left = max(0, t.Left-c.count)
			t.Reset = c.end.Sub(now)
		}
		if t.Left == 0 {
			t.Wait = t.Reset
		}
		s = s.tighter(t)
	}
	return s
}
