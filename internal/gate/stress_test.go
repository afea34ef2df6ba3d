package gate

import (
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/priority"
	"nimsidecar/internal/quota"
)

// Every odd run has clients without patience or deadlines: there a lost wake-up may end the bubble as a deadlock.
func TestNothingIsLostUnderStress(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			bubble(t, Options{Capacity: 40, Displace: seed%2 == 0}, func(h *hall) {
				h.meter.rules[laneA] = &rule{atOnce: 2}
				h.meter.rules[laneB] = &rule{every: 10 * time.Millisecond}
				h.meter.rules[laneB.AccountScope()] = &rule{atOnce: 5}
				h.meter.rules[laneC] = &rule{atOnce: 1, every: time.Millisecond}
				var clients sync.WaitGroup
				var ends ends
				for i := range uint64(64) {
					clients.Go(func() {
						random := rand.New(rand.NewPCG(seed, i))
						for range 60 {
							h.client(random, seed%2 == 0, &ends)
						}
					})
				}
				clients.Wait()
				if got := ends.answered.Load() + ends.refused.Load() + ends.left.Load(); got != 64*60 {
					t.Errorf("ended %d; want %d: each request ends once", got, 64*60)
				}
				if ends.answered.Load() == 0 || ends.refused.Load() == 0 || ends.left.Load() == 0 {
					t.Errorf("answered %d, refused %d, left %d; want some of each", ends.answered.Load(), ends.refused.Load(), ends.left.Load())
				}
				if m := h.meter; len(m.holds) != 0 || int64(m.charges-m.refunds) != ends.written.Load() {
					t.Errorf("open %d, charges − refunds = %d; want 0, %d", len(m.holds), m.charges-m.refunds, ends.written.Load())
				}
				if h.Len() != 0 {
					t.Errorf("Len() = %d; want 0", h.Len())
				}
			})
		})
	}
}

// ends counts how requests ended.
type ends struct{ answered, refused, left, written atomic.Int64 }

// client carries one request through its life, with every kind of mishap.
func (h *hall) client(random *rand.Rand, hasty bool, ends *ends) {
	lists := [][]limit.Scope{{laneA}, {laneB}, {laneC}, {laneA, laneC}, {laneC, laneB}}
	r := ask(priority.Class(random.IntN(priority.Count)), lists[random.IntN(len(lists))]...)
	r.ID = strconv.Itoa(random.IntN(1000))
	if hasty && random.IntN(4) == 0 {
		r.Deadline, r.Announced = time.Now().Add(time.Duration(random.IntN(50))*time.Millisecond), random.IntN(2) == 0
	}
	if random.IntN(50) == 0 {
		h.End(strconv.Itoa(random.IntN(1000)))
	}
	ticket := h.Enqueue(r)
	for {
		var patience <-chan time.Time
		if hasty {
			patience = time.After(time.Duration(1+random.IntN(2000)) * time.Millisecond)
		}
		gone := random.IntN(20) == 0
		select {
		case <-ticket.Decided():
		case <-patience:
			gone = true
		}
		if gone {
			ticket.Abandon()
			ends.left.Add(1)
			return
		}
		grant, refusal := ticket.Result()
		if refusal != nil {
			ends.refused.Add(1)
			return
		}
		if !h.attempt(random, grant, ends) {
			ends.answered.Add(1)
			return
		}
		ticket.Requeue(time.Now().Add(time.Duration(random.IntN(10)-5)*time.Millisecond), ticket.request.Lanes)
	}
}

// attempt uses a grant and reports whether the request must be sent again. Sent comes from another goroutine, perhaps too late.
func (h *hall) attempt(random *rand.Rand, grant *Grant, ends *ends) (again bool) {
	var transport sync.WaitGroup
	transport.Go(grant.Sent)
	defer transport.Wait()
	time.Sleep(time.Duration(random.IntN(3)) * time.Millisecond)
	use := quota.Use{Written: random.IntN(5) > 0}
	if use.Written {
		ends.written.Add(1)
	}
	defer grant.Settle(use)
	if random.IntN(10) == 0 {
		grant.Observe(hint.Outcome{Class: hint.Quota, RetryAfter: 5 * time.Millisecond, Asked: true})
		return true
	}
	grant.Observe(hint.Outcome{})
	return !use.Written
}

// watching is a meter that notes whether the gate is busy whenever it is asked for a slot.
type watching struct {
	*meter
	gate *Gate
	busy []bool
}

func (w *watching) Reserve(now time.Time, lane limit.Scope, c quota.Claim) (*quota.Hold, quota.Readiness) {
	w.busy = append(w.busy, w.gate.busy.Load())
	return w.meter.Reserve(now, lane, c)
}

func TestNewcomerIsSeenToWaitBeforeTheBudgetIsAskedForIt(t *testing.T) {
	t.Parallel()
	w := &watching{meter: newMeter(t)}
	w.gate = New(Options{Budget: w})
	w.rules[laneA] = &rule{atOnce: 1, open: 1}
	w.gate.Enqueue(ask(normal, laneA))
	if want := []bool{false, true}; !slices.Equal(w.busy, want) {
		t.Errorf("busy when asked = %v; want %v: on the fast path, then in the round", w.busy, want)
	}
}

// The two sides of a wake-up that could be lost, as close together as can be had.
func TestSlotThatIsGivenBackWhileSomebodyComesIsNotMissed(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, func(h *hall) {
		h.meter.rules[laneA] = &rule{atOnce: 1}
		grant, _ := h.Enqueue(ask(normal, laneA)).Result()
		for range 3000 {
			var sides sync.WaitGroup
			var next *Ticket
			settle := grant.Settle
			sides.Go(func() { settle(quota.Use{Written: true}) })
			sides.Go(func() { next = h.Enqueue(ask(normal, laneA)) })
			sides.Wait()
			<-next.Decided() // a deadlock if it was missed
			grant, _ = next.Result()
		}
	})
}

// If a request waits, then none of its lanes has a slot: whatever happened, as soon as all that happens has happened.
func TestNobodyWaitsBesideAFreeSlot(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			bubble(t, Options{}, func(h *hall) {
				random := rand.New(rand.NewPCG(seed, 2))
				h.meter.rules[laneA] = &rule{atOnce: 2, every: time.Second}
				h.meter.rules[laneB] = &rule{every: 700 * time.Millisecond}
				h.meter.rules[laneC] = &rule{every: 2 * time.Second}
				h.meter.rules[laneA.AccountScope()] = &rule{atOnce: 3}
				lists := [][]limit.Scope{{laneA}, {laneB}, {laneA, laneC}, {laneC}}
				var vs []*verdict
				for range 400 {
					h.mishap(random, vs)
					if random.IntN(3) > 0 {
						r := ask(priority.Class(random.IntN(priority.Count)), lists[random.IntN(len(lists))]...)
						vs = append(vs, h.enter(r))
					}
					synctest.Wait()
					h.wantNoFreeSlot(vs)
				}
				h.Drain()
			})
		})
	}
}

// mishap lets one thing happen, or a little time pass.
func (h *hall) mishap(random *rand.Rand, vs []*verdict) {
	var running []*verdict
	for _, v := range vs {
		if v.look().grant != nil {
			running = append(running, v)
		}
	}
	if len(running) == 0 || random.IntN(3) == 0 {
		time.Sleep(time.Duration(random.IntN(900)) * time.Millisecond)
		return
	}
	v := running[random.IntN(len(running))]
	if random.IntN(8) == 0 {
		v.grant.Observe(hint.Outcome{Class: hint.Quota, RetryAfter: 3 * time.Second, Asked: true})
	}
	v.grant.Settle(quota.Use{Written: random.IntN(4) > 0})
	v.grant = nil
}

func (h *hall) wantNoFreeSlot(vs []*verdict) {
	h.t.Helper()
	for i, v := range vs {
		v.look()
		for _, lane := range v.ticket.request.Lanes {
			if !v.done && h.meter.ready(lane) {
				h.t.Fatalf("at %s waiter %d waits, though %s has a slot", time.Since(h.start), i, lane)
			}
		}
	}
}

func TestTwoGatesKnowNothingOfEachOther(t *testing.T) {
	t.Parallel()
	bubble(t, Options{Capacity: 1}, func(h *hall) {
		other := New(Options{Budget: newMeter(t)})
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() { ended <- other.Run(ctx) }()
		h.Drain()
		grant, _ := other.Enqueue(ask(normal, laneA)).Result()
		if grant == nil {
			t.Error("a drained gate refuses at another's door")
		}
		cancel()
		<-ended
	})
}
