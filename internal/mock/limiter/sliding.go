package limiter

import (
	"slices"
	"time"
)

// sliding keeps a log of hits: Sliding of those that passed, SlidingRefusals of all.
type sliding struct {
	windowed
	refusals bool
	rates    []Rate
	keep     int // the largest N: older entries cannot decide anything
	log      []time.Time
}

func (s *sliding) SetRates(rates []Rate) {
	s.rates, s.keep = rates, 0
	for _, r := range rates {
		s.keep = max(s.keep, r.N)
	}
}

func (s *sliding) Hit(now time.Time) bool {
	ok := true
	for _, r := range s.rates {
		ok = ok && s.wait(r, now) <= 0
	}
	if ok || s.refusals {
		s.add(now)
	}
	return ok
}

// add appends, and now and then lets go of what is older than the last keep entries.
func (s *sliding) add(now time.Time) {
	if len(s.log) >= 2*s.keep {
		s.log = slices.Delete(s.log, 0, len(s.log)-s.keep)
	}
	s.log = append(s.log, now)
}

// wait returns how long the Nth last entry still keeps r closed; zero or less means that r is open. The window is open at its
// old end: an entry of exactly one period ago no longer counts.
func (s *sliding) wait(r Rate, now time.Time) time.Duration {
	if len(s.log) < r.N {
		return 0
	}
	return s.log[len(s.log)-r.N].Add(r.Period).Sub(now)
}

func (s *sliding) State(now time.Time) State {
	state := State{Left: maxN}
	for _, r := range s.rates {
		old := now.Add(-r.Period)
		first, _ := slices.BinarySearchFunc(s.log, old, func(at, old time.Time) int {
			if at.After(old) {
				return 1
			}
			return -1
		})
		t := State{Rate: r, Left: max(0, r.N-(len(s.log)-first)), Wait: max(0, s.wait(r, now))}
		if first < len(s.log) {
			t.Reset = s.log[len(s.log)-1].Sub(old)
		}
		state = state.tighter(t)
	}
	return state
}
