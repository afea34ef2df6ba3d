package gate

import (
	"sync"
	"sync/atomic"
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/quota"
	"nimsidecar/internal/sched"
)

// forecaster plays the room ahead now and then, beside it: the lock of the gate is held while the room is copied, not while it is played.
type forecaster struct {
	playing sync.Mutex // held by who plays
	latest  atomic.Pointer[forecast]
	cost    atomic.Int64 // how long the last play took, in nanoseconds
	news    atomic.Int64 // who has come since
}

// forecast is who will be granted when, and what it was made from.
type forecast struct {
	*sched.Forecast[*Ticket] // who comes is added under the gate's lock
	slots                    *slots
}

// A forecast is made anew when it is a second old, or when an eighth as many have come as it knows, but at least eight; and not before twenty
// times what it cost have passed, so that at most a twentieth of one core is spent on it.
const (
	forecastAge   = time.Second
	forecastNews  = 8
	forecastCosts = 20
)

// fresh reports whether the latest forecast is good enough for somebody who names those lanes; nil is for all who wait.
func (f *forecaster) fresh(now time.Time, lanes []limit.Scope) bool {
	latest := f.latest.Load()
	if latest == nil {
		return false
	}
	age, n := now.Sub(latest.Made), int64(len(latest.Prospects))
	if age < forecastCosts*time.Duration(f.cost.Load()) {
		return true
	}
	if lanes == nil {
		return age < forecastAge && f.news.Load() == 0
	}
	return age < forecastAge && f.news.Load() < max(forecastNews, n/forecastNews) && latest.Knows(lanes)
}

// begin takes the lock of who plays, and reports whether it has it. It does not wait for another who plays if the latest forecast will do.
func (f *forecaster) begin() bool {
	if f.usable(time.Now()) != nil {
		return f.playing.TryLock()
	}
	f.playing.Lock()
	return true
}

// usable returns the latest forecast, or nil if that is too old.
func (f *forecaster) usable(now time.Time) *forecast {
	latest := f.latest.Load()
	if latest == nil || now.Sub(latest.Made) > 2*max(forecastAge, forecastCosts*time.Duration(f.cost.Load())) {
		return nil
	}
	return latest
}

// foresee brings the forecast up to date, for somebody who names those lanes; nil is for all who wait. It must be called without the lock.
func (g *Gate) foresee(lanes []limit.Scope) {
	f := &g.forecast
	if !g.busy.Load() || f.fresh(time.Now(), lanes) || !f.begin() {
		return
	}
	defer f.playing.Unlock()
	now := time.Now()
	if f.fresh(now, lanes) {
		return
	}
	var views []quota.LedgerView
	if ledgers, ok := g.options.Budget.(Ledgers); ok {
		views = ledgers.Snapshot(now)
	}
	g.mu.Lock()
	plan := g.room.Plan()
	streams := g.demand.streams(now)
	seen := make(map[limit.Scope]lane, len(g.lanes))
	for scope, l := range g.lanes {
		if l.waiting > 0 {
			seen[scope] = *l
		}
	}
	f.news.Store(0)
	g.mu.Unlock()
	s := newSlots(now, views, seen)
	made := plan.Play(now, s, streams)
	for i, p := range made.Prospects {
		made.Value(i).expects(p.Place, s.foreseen(p))
	}
	f.latest.Store(&forecast{made, s})
	f.cost.Store(int64(time.Since(now)))
}

// foreseen returns when the prospect comes true; the zero time is unknown.
func (s *slots) foreseen(p sched.Prospect) time.Time {
	if a := s.lanes[p.Lane]; a == nil || !a.known {
		return time.Time{}
	}
	return p.At
}

// prospectLocked returns the place that a newcomer who waits will have, and when it will be granted.
func (g *Gate) prospectLocked(now time.Time, r *Request) (place int, at time.Time) {
	if f := g.forecast.usable(now); f != nil {
		if p, ok := f.Newcomer(r.Class, r.Agent, r.Lanes); ok {
			return min(p.Place, g.laneOf(p.Lane).waiting), f.slots.foreseen(p)
		}
	}
	for i, scope := range r.Lanes { // the first who waits for such a choice of lanes
		l := g.lanes[scope]
		if ready := l.asked[urgentIndex(r.Class)].ready; i == 0 || ready.Before(at) {
			place, at = l.waiting, ready
		}
	}
	return place, at
}

// expects notes what the ticket may expect.
func (t *Ticket) expects(place int, at time.Time) {
	t.place.Store(int32(place))
	if at.IsZero() {
		t.at.Store(0)
		return
	}
	t.at.Store(int64(max(1, at.Sub(t.gate.made))))
}

// Outlook returns the ticket's place among those who wait for the same lane, 1 being the next to be granted, and how long it will probably
// take until it is; 0 = unknown, or any moment. A ticket that does not wait has place 0. It takes a forecast of all who wait, which is
// at most a second old, or 20 times as old as it takes to make one.
func (t *Ticket) Outlook() (place int, eta time.Duration) {
	if t.waiting.Load() {
		t.gate.foresee(t.request.Lanes)
	}
	if !t.waiting.Load() {
		return 0, 0
	}
	return max(1, int(t.place.Load())), t.eta(time.Now())
}

// eta returns how long it will probably take until the ticket is granted; 0 = unknown, or any moment.
func (t *Ticket) eta(now time.Time) time.Duration {
	at := t.at.Load()
	if at == 0 {
		return 0
	}
	return max(0, min(t.gate.made.Add(time.Duration(at)).Sub(now), longestEstimate))
}
