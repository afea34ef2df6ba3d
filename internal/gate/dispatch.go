package gate

import (
	"context"
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/priority"
	"nimsidecar/internal/sched"
)

// Run lets waiters out as slots come free, until ctx ends; then it drains the gate and returns nil. It must be called once, by the
// gate's owner, who waits for it.
func (g *Gate) Run(ctx context.Context) error {
	defer g.Drain()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Stop()
		if next := g.dispatch(); !next.IsZero() {
			timer.Reset(time.Until(next))
		}
		g.turns.Add(1)
		select {
		case <-ctx.Done():
			return nil
		case <-g.wake:
		case <-timer.C:
		}
	}
}

// Beat has Run turn once more, and returns how often it has turned. It never blocks: where the number is still the same some time later,
// Run hangs.
func (g *Gate) Beat() uint64 {
	turns := g.turns.Load()
	g.nudge()
	return turns
}

// dispatch runs a round and returns when the next one is due; the zero time is not before an event.
func (g *Gate) dispatch() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	g.roundLocked(now)
	g.changedLocked()
	g.armed = g.room.Next()
	return g.armed
}

// roundLocked decides all that can be decided now.
func (g *Gate) roundLocked(now time.Time) {
	// Who should have started before now gets no slot any more: after the machine has slept there may be many of them. Who must
	// start exactly now still has this round.
	g.expireLocked(now, now.Add(-1))
	g.room.Wake(now)
	for it := g.room.First(); it != nil; it = g.room.First() {
		t := it.Value
		s, o := g.reserve(now, &t.request, true)
		if s.hold == nil {
			g.blockLocked(now, it, o)
			continue
		}
		g.room.Serve(it)
		g.laneOf(s.lane).serves(now, t.since.Before(now))
		if !it.Again {
			g.demand.granted(now, &t.request)
		}
		t.decideLocked(now, t.newGrant(s), nil)
	}
	g.expireLocked(now, now)
}

// leastLocked reports whether nobody less urgent waits for the lane's account: then the request may carry the probe that might be refused.
func (g *Gate) leastLocked(lane limit.Scope, c priority.Class) bool {
	least, ok := g.room.Least(lane.AccountScope())
	return !ok || least <= c
}

// blockLocked lets a line sleep that has no slot, and tells those of it who certainly wait in vain.
func (g *Gate) blockLocked(now time.Time, it *sched.Item[*Ticket], o outlook) {
	g.room.Block(it, o.wake)
	if o.bound.IsZero() {
		return
	}
	reason, announcedOnly := Deadline, true
	if o.paused {
		reason, announcedOnly = UpstreamRateLimited, false
	}
	for _, late := range g.room.TakeLate(it, o.bound, announcedOnly) {
		late.Value.decideLocked(now, nil, g.refusal(reason, o.bound.Sub(now)))
	}
}

// expireLocked refuses those whose deadline is not after by.
func (g *Gate) expireLocked(now, by time.Time) {
	for _, it := range g.room.TakeOverdue(by) {
		t, reason := it.Value, QueueTimeout
		if t.request.Announced && t.since.Equal(now) {
			reason = Deadline // it was not willing to wait at all
		}
		t.decideLocked(now, nil, g.refusal(reason, t.eta(now)))
	}
}

// refuseLocked takes a waiter out and refuses it.
func (g *Gate) refuseLocked(now time.Time, t *Ticket, reason Reason) {
	g.room.Remove(t.item)
	t.decideLocked(now, nil, g.refusal(reason, t.eta(now)))
}

// changedLocked must be called when the room or draining has changed, and before the budget is asked for somebody new in the room.
func (g *Gate) changedLocked() {
	n := g.room.Len()
	g.busy.Store(n > 0 || g.draining)
	g.full.Store(n >= g.options.Capacity)
}

// touch wakes who waits for the lane's account, whose ledgers have just changed. It costs one atomic load while nobody waits.
func (g *Gate) touch(lane limit.Scope) {
	if !g.busy.Load() {
		return
	}
	g.mu.Lock()
	g.room.Touch(lane.AccountScope())
	g.mu.Unlock()
	g.nudge()
}

// nudge makes Run look again. It never blocks: one nudge that is not yet looked at is as good as many.
func (g *Gate) nudge() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}
