package limiter

import "time"

// inflight caps what runs at the same time; its rate has no period.
type inflight struct {
	rates   []Rate // one, or none for no cap
	running int
}

func (f *inflight) SetRates(rates []Rate) { f.rates = rates }

func (f *inflight) Hit(time.Time) bool {
	for _, r := range f.rates {
		if f.running >= r.N {
			return false
		}
	}
	f.running++
	return true
}

func (f *inflight) Done() {
	if f.running == 0 {
		panic("limiter: Done without a Hit that was let through")
	}
	f.running--
}

func (f *inflight) State(time.Time) State {
	s := State{Left: maxN}
	for _, r := range f.rates {
		s = s.tighter(State{Rate: r, Left: max(0, r.N-f.running)})
	}
	return s
}
