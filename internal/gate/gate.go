package gate

import (
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/priority"
	"nimsidecar/internal/quota"
	"nimsidecar/internal/sched"
)

// Budget is the ledgers as the gate sees them; *quota.Book is one. It must be safe for concurrent use, must not block, and must not
// call the gate: it is called with the gate's lock held. Callers stamp the time themselves, so it must bear times that are a
// moment out of order.
type Budget interface {
	// Reserve must take a slot on the lane or leave all as it was. Without a slot the hold must be nil, and Readiness.At must be
	// zero or after now. It must not refuse a forced claim.
	Reserve(now time.Time, lane limit.Scope, c quota.Claim) (*quota.Hold, quota.Readiness)
	// Sent says that the request has been wholly written.
	Sent(now time.Time, h *quota.Hold)
	// Observe says what the upstream answered. It may come before Sent, when the answer came before the whole request was written.
	Observe(now time.Time, h *quota.Hold, o hint.Outcome)
	// Settle closes the hold; what the other methods say of it later must have no effect.
	Settle(now time.Time, h *quota.Hold, u quota.Use)
}

// Journal keeps charges over the end of the process. It must be safe for concurrent use. *store.Store is one.
type Journal interface {
	// Charged must return when the charge would survive a killed process. It may take some milliseconds, not more: where the disk does
	// not answer it must return an error, and the attempt goes on.
	Charged(c quota.Charge) error
	// Sent says that from a time on a charge ages. It must not block.
	Sent(id uint64, at time.Time)
	// Refunded says that a charge was given back. It must not block.
	Refunded(id uint64)
}

// Options is what a Gate is built from. Budget is required; the rest has usable zero values.
type Options struct {
	Budget Budget

	// Capacity is how many tickets may wait; 0 = DefaultCapacity. Granted ones do not count, and those that come back for another
	// attempt are let in beyond it.
	Capacity int

	// Displace lets a newcomer that finds the room full take a place of the least urgent class below its own, rather than be refused: the
	// newest of the agent that holds the most of them.
	Displace bool

	// Journal gets every charge before its attempt can be sent; nil keeps none.
	Journal Journal

	// Random returns numbers in [0, 1), from several goroutines, for the jitter of RetryAfter; nil = math/rand/v2.
	Random func() float64

	// Logger gets a line when the gate drains; nil discards it.
	Logger *slog.Logger
}

// DefaultCapacity is the capacity of a gate whose options name none.
const DefaultCapacity = 1000

// Gate is the waiting room with its door. It is safe for concurrent use. It must be made by New, and its owner must run Run; without
// that, what must wait waits for ever.
type Gate struct {
	options Options // immutable, defaults filled in

	decided chan struct{} // closed: what Decided returns for a ticket that is decided
	wake    chan struct{} // capacity 1: something changed for Run to look at

	arrivals atomic.Uint64 // the last arrival number given
	turns    atomic.Uint64 // rounds of Run that are over

	// busy says that somebody waits or that the gate drains: then there are no short cuts past mu. It is set under mu, before the
	// budget is asked for whoever waits.
	busy atomic.Bool
	full atomic.Bool // so many wait that a newcomer finds no place

	made     time.Time
	forecast forecaster

	mu       sync.Mutex // guards the following
	room     sched.Room[*Ticket]
	lanes    map[limit.Scope]*lane // those that somebody waits for, and some more
	demand   demand
	repeats  repeats
	draining bool
	armed    time.Time // when Run will look next by itself; zero = not before it is woken
}

// New returns a Gate in which nobody waits.
func New(o Options) *Gate {
	if o.Capacity <= 0 {
		o.Capacity = DefaultCapacity
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	g := &Gate{
		options: o, decided: make(chan struct{}), wake: make(chan struct{}, 1), made: time.Now(), lanes: map[limit.Scope]*lane{},
		demand: demand{flows: map[caller]*flow{}}, repeats: repeats{byCaller: map[repeater][]left{}},
	}
	close(g.decided)
	return g
}

// Request is what somebody wants to send.
type Request struct {
	// ID is what the request is known by in Waiting and End.
	ID string

	// Class is how urgent it is.
	Class priority.Class

	// Agent is who asks: those of a class have equal shares of it.
	Agent string

	// Client is the configured client for whom it asks, which only Waiting tells; "" is none.
	Client string

	// Lanes are the lanes it may be sent on, at least one, in order of preference. The slice must not be changed any more.
	Lanes []limit.Scope

	// Claim is what it asks of the ledgers.
	Claim quota.Claim

	// Deadline is the latest time at which a grant is of use; the zero time is never. One that is not after now means: now or not
	// at all. Announced says that the client itself named it: then the request is refused as soon as it is certain to be missed.
	Deadline  time.Time
	Announced bool

	// NotBefore is the earliest time for a grant; the zero time is at once.
	NotBefore time.Time

	// Repeat says that the client sends it again after a failure. If that was a refusal, or its leaving before it had a grant, of the same
	// agent, class and preferred model within the last minute, then it stands where it stood among the requests of its agent.
	Repeat bool
}

// Enqueue takes a place in the waiting room and returns at once. The ticket may already be decided: granted if a slot is free, or
// refused.
func (g *Gate) Enqueue(r Request) *Ticket {
	t := &Ticket{gate: g, request: r, arrival: g.arrivals.Add(1)}
	if !g.busy.Load() {
		now := time.Now()
		if !r.NotBefore.After(now) {
			if s, _ := g.reserve(now, &t.request, false); s.hold != nil {
				t.grant = t.newGrant(s)
				return t
			}
		}
	}
	if r.Announced || g.full.Load() { // it may have to be told how long it would take
		g.foresee(r.Lanes)
	}
	g.admit(t, r.NotBefore, true)
	return t
}

// admit lets a ticket wait, or decides it. Only newcomers are bound by the capacity: whoever comes back has been promised a place.
func (g *Gate) admit(t *Ticket, notBefore time.Time, newcomer bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	t.since = now
	r := &t.request
	deadline := r.Deadline
	if !deadline.IsZero() && deadline.Before(now) {
		deadline = now // this round is its only one
	}
	switch {
	case g.draining:
		t.refusal = g.refusal(Draining, 0)
		return
	case r.Announced && !deadline.IsZero() && notBefore.After(deadline):
		t.refusal = g.refusal(Deadline, notBefore.Sub(now))
		return
	}
	if newcomer && r.Repeat {
		if arrival := g.repeats.again(now, r); arrival != 0 {
			t.arrival = arrival
		}
	}
	t.item = &sched.Item[*Ticket]{
		Value: t, Class: r.Class, Agent: r.Agent, Arrival: t.arrival, Again: !newcomer, Lanes: r.Lanes, NotBefore: notBefore,
		Deadline: deadline, Announced: r.Announced,
	}
	t.waiting.Store(true)
	g.room.Add(t.item)
	g.entersLocked(now, r.Lanes)
	if newcomer {
		g.demand.comes(now, r)
	}
	g.changedLocked()
	g.roundLocked(now)
	if t.waiting.Load() {
		g.receiveLocked(now, t, newcomer)
	}
	g.changedLocked()
	if next := g.room.Next(); !next.IsZero() && (g.armed.IsZero() || next.Before(g.armed)) {
		g.nudge()
	}
}

// receiveLocked tells a ticket that has to wait what it may expect, or refuses it if that is too late, or if the room is full.
func (g *Gate) receiveLocked(now time.Time, t *Ticket, newcomer bool) {
	r := &t.request
	place, at := g.prospectLocked(now, r)
	t.expects(place, at)
	g.forecast.news.Add(1)
	switch {
	case !newcomer:
	case r.Announced && !r.Deadline.IsZero() && at.After(r.Deadline):
		g.refuseLocked(now, t, Deadline)
	case g.room.Len() > g.options.Capacity:
		g.makeRoomLocked(now, t)
	}
}

// makeRoomLocked ends one wait because the room is full: that of the newest waiter of the agent that holds the most
// places in the least urgent class below the newcomer, or the newcomer's own.
func (g *Gate) makeRoomLocked(now time.Time, newcomer *Ticket) {
	if g.options.Displace {
		if it := g.room.Victim(newcomer.request.Class); it != nil {
			g.refuseLocked(now, it.Value, Displaced)
			return
		}
	}
	g.refuseLocked(now, newcomer, QueueFull)
}

// Passthrough charges the first lane, slot or not, and grants without waiting: what is sent counts upstream in any case.
func (g *Gate) Passthrough(r Request) *Grant {
	claim := r.Claim
	claim.Forced = true
	hold, _ := g.options.Budget.Reserve(time.Now(), r.Lanes[0], claim)
	grant := &Grant{gate: g, slot: slot{hold, r.Lanes[0]}}
	grant.journal()
	return grant
}

// Drain refuses everybody who waits, comes or comes back from now on. Grants that were made stay good. It may be called again.
func (g *Gate) Drain() {
	g.mu.Lock()
	first := !g.draining
	g.draining = true
	now := time.Now()
	waiting := g.room.TakeAll()
	for _, it := range waiting {
		it.Value.decideLocked(now, nil, g.refusal(Draining, 0))
	}
	g.changedLocked()
	g.mu.Unlock()
	if first {
		g.options.Logger.Info("gate drains", "waiting", len(waiting))
	}
}

// Draining reports whether Drain was called.
func (g *Gate) Draining() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.draining
}

// slot is permission for one attempt on a lane.
type slot struct {
	hold *quota.Hold
	lane limit.Scope
}

// outlook is when a request for which there was no slot may be asked for again.
type outlook struct {
	wake   time.Time // the earliest time that a lane names; zero = no clock will tell
	bound  time.Time // it certainly cannot be sent before; zero = an event may bring a slot at any moment
	paused bool      // the upstream holds it until bound, not our own pacing
}

// reserve takes a slot on the first lane that has one; without one the slot's hold is nil. locked says that the caller
// holds the lock, because somebody waits: then what the budget says is noted, and only the least urgent of a lane may probe.
func (g *Gate) reserve(now time.Time, r *Request, locked bool) (slot, outlook) {
	claim := r.Claim
	claim.Urgent, claim.High, claim.Probe = r.Class == priority.Urgent, r.Class == priority.High, true
	var o outlook
	certain := true
	for _, lane := range r.Lanes {
		if locked {
			claim.Urgent = r.Class == priority.Urgent && !g.room.Capped()
			claim.Probe = g.leastLocked(lane, r.Class)
		}
		hold, ready := g.options.Budget.Reserve(now, lane, claim)
		if hold != nil {
			return slot{hold, lane}, outlook{}
		}
		if locked {
			g.laneOf(lane).answered(now, r.Class, ready)
		}
		if ready.At.IsZero() {
			certain = false
		} else if o.wake.IsZero() || ready.At.Before(o.wake) {
			o.wake, o.paused = ready.At, ready.Paused
		}
	}
	if certain {
		o.bound = o.wake
	}
	return slot{}, o
}
