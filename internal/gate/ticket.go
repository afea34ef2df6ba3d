package gate

import (
	"sync/atomic"
	"time"

	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/quota"
	"nimsidecar/internal/sched"
)

// Ticket is a place in the waiting room. Its methods must be called by one goroutine at a time, its owner; what the gate does to
// it meanwhile is the gate's concern.
type Ticket struct {
	gate    *Gate
	request Request
	arrival uint64

	// waiting says that the ticket is in the room. It changes under gate.mu only. The fields below are guarded by gate.mu while it
	// is true, and belong to the owner while it is false.
	waiting atomic.Bool

	item    *sched.Item[*Ticket] // made when it has to wait, which most need not
	since   time.Time            // begin of this wait
	waited  time.Duration        // all waits that have ended
	decided chan struct{}        // made when somebody waits for it; closed and let go by the decision
	grant   *Grant
	refusal *Refusal
	taken   bool // Result has handed out the grant

	place atomic.Int32 // by the latest forecast
	at    atomic.Int64 // when it is expected to be granted, in nanoseconds after Gate.made; 0 = unknown

	first Grant // the first grant, so that it costs no allocation of its own
}

// Decided returns a channel that is closed once the ticket is granted or refused. Ask again after Requeue.
func (t *Ticket) Decided() <-chan struct{} {
	if !t.waiting.Load() {
		return t.gate.decided
	}
	t.gate.mu.Lock()
	defer t.gate.mu.Unlock()
	switch {
	case !t.waiting.Load():
		return t.gate.decided
	case t.decided == nil:
		t.decided = make(chan struct{})
	}
	return t.decided
}

// Result returns what was decided: exactly one of the two is not nil. It must be called after Decided is ready. A grant must then be
// settled by the caller. Where there is a journal, it returns when the charge is in it: it is the caller who waits for that, not the gate.
func (t *Ticket) Result() (*Grant, *Refusal) {
	if t.waiting.Load() {
		panic("gate: Result of a ticket that is not decided")
	}
	t.taken = t.grant != nil
	if t.taken {
		t.grant.journal()
	}
	return t.grant, t.refusal
}

// Waited returns how long the ticket has waited, all waits together. It must be called after Decided is ready, or after Abandon.
func (t *Ticket) Waited() time.Duration { return t.waited }

// Abandon gives the place back at once, or the slot if the ticket is granted and Result has not been called. It does nothing to a
// ticket that has ended, or whose grant was taken: that must be settled.
func (t *Ticket) Abandon() {
	if t.waiting.Load() {
		t.gate.cancel(t)
	}
	if t.grant != nil && !t.taken {
		t.grant.Settle(quota.Use{})
		t.grant, t.refusal = nil, &Refusal{Reason: Cancelled}
	}
}

// Requeue goes back to wait for another attempt on one of the lanes, not to be granted before notBefore; the zero time is at once. The
// ticket keeps its class and its age, and is let in although the room may be full. Its grant must have been taken and settled.
func (t *Ticket) Requeue(notBefore time.Time, lanes []limit.Scope) {
	if t.waiting.Load() || !t.taken {
		panic("gate: Requeue of a ticket whose grant was not taken")
	}
	t.grant, t.taken = nil, false
	t.request.Lanes = lanes
	t.gate.admit(t, notBefore, false)
}

// decideLocked ends a wait; the ticket must be out of the room. From the moment waiting is false the ticket is its owner's.
func (t *Ticket) decideLocked(now time.Time, grant *Grant, refusal *Refusal) {
	t.waited += now.Sub(t.since)
	t.gate.leavesLocked(now, t.request.Lanes)
	if grant != nil {
		grant.waited = t.waited
	}
	t.grant, t.refusal = grant, refusal
	if grant == nil && refusal.Reason != Draining {
		t.gate.repeats.leaves(now, &t.request, t.arrival)
	}
	decided := t.decided
	t.decided = nil
	t.waiting.Store(false)
	if decided != nil {
		close(decided)
	}
}

// newGrant returns a grant of the slot. Each attempt has its own, since the one before may still be told that it was sent.
func (t *Ticket) newGrant(s slot) *Grant {
	grant := &t.first
	if grant.gate != nil {
		grant = new(Grant)
	}
	grant.gate, grant.slot = t.gate, s
	return grant
}

// Grant is the slot for one attempt. Its methods may be called from several goroutines and each takes effect once: Settle ends it, and
// nothing that comes after Settle has an effect. Settle must be called.
type Grant struct {
	gate   *Gate
	slot   slot
	charge uint64 // its ID in the journal; 0 = it is in none
	waited time.Duration
	done   atomic.Uint32 // bits of what has been told
}

// What a grant may be told.
const (
	sent uint32 = 1 << iota
	observed
	settled
)

// journal writes the charge down, if it matters to a later process. The journal itself says what goes wrong.
func (gr *Grant) journal() {
	if gr.gate.options.Journal == nil {
		return
	}
	if c, ok := gr.slot.hold.Charge(); ok {
		gr.charge = c.ID
		_ = gr.gate.options.Journal.Charged(c)
	}
}

// Lane returns the lane on which the attempt must be sent.
func (gr *Grant) Lane() limit.Scope { return gr.slot.lane }

// Standing returns what is left of the lane's tightest window, as of the charge.
func (gr *Grant) Standing() quota.Standing { return gr.slot.hold.Standing() }

// Waited returns how long the ticket has waited for its grants, all waits together.
func (gr *Grant) Waited() time.Duration { return gr.waited }

// Sent says that the request has been wholly written to the upstream: from now on the charge ages.
func (gr *Grant) Sent() {
	if gr.tell(sent) {
		now := time.Now()
		gr.gate.options.Budget.Sent(now, gr.slot.hold)
		if gr.charge != 0 {
			gr.gate.options.Journal.Sent(gr.charge, now)
		}
		gr.gate.touch(gr.slot.lane)
	}
}

// Observe says what the upstream answered.
func (gr *Grant) Observe(o hint.Outcome) {
	if gr.tell(observed) {
		gr.gate.options.Budget.Observe(time.Now(), gr.slot.hold, o)
		gr.gate.touch(gr.slot.lane)
	}
}

// Settle says what the attempt has cost, and ends the grant.
func (gr *Grant) Settle(u quota.Use) {
	if gr.tell(settled) {
		gr.gate.options.Budget.Settle(time.Now(), gr.slot.hold, u)
		if gr.charge != 0 && gr.slot.hold.Refunded() {
			gr.gate.options.Journal.Refunded(gr.charge)
		}
		gr.gate.touch(gr.slot.lane)
	}
}

// tell reports whether this is still to be told, and notes it.
func (gr *Grant) tell(what uint32) bool { return gr.done.Or(what)&(what|settled) == 0 }
