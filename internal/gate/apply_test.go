package gate

import (
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/quota"
)

func TestASmallerRoomTakesNobodysPlace(t *testing.T) {
	t.Parallel()
	bubble(t, Options{Capacity: 3}, func(h *hall) {
		h.meter.rules[laneA] = &rule{every: time.Minute}
		h.wantGrantNow("the first", h.enter(ask(normal, laneA)))
		var vs []*verdict
		for range 3 {
			vs = append(vs, h.enter(ask(normal, laneA)))
		}
		h.Apply(Settings{Capacity: 1})
		synctest.Wait()
		for _, v := range vs {
			h.wantWaiting("one who waited before", v)
		}
		newcomer := h.enter(ask(normal, laneA))
		synctest.Wait()
		h.wantRefusal("a newcomer", newcomer, 0, QueueFull)
		h.Apply(Settings{Capacity: 4})
		h.wantWaiting("a newcomer in a larger room", h.enter(ask(normal, laneA)))
	})
}

func TestDisplacingCanBeSwitched(t *testing.T) {
	t.Parallel()
	bubble(t, Options{Capacity: 1}, func(h *hall) {
		h.meter.rules[laneA] = &rule{every: time.Minute}
		h.wantGrantNow("the first", h.enter(ask(normal, laneA)))
		waits := h.enter(ask(low, laneA))
		refused := h.enter(ask(urgent, laneA))
		synctest.Wait()
		h.wantRefusal("an urgent one", refused, 0, QueueFull)
		h.Apply(Settings{Capacity: 1, Displace: true})
		urgents := h.enter(ask(urgent, laneA))
		synctest.Wait()
		h.wantRefusal("the less urgent one", waits, 0, Displaced)
		h.wantWaiting("an urgent one", urgents)
	})
}

func TestADrainCanBeTakenBack(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, func(h *hall) {
		h.meter.rules[laneA] = &rule{every: time.Minute}
		h.wantGrantNow("the first", h.enter(ask(normal, laneA)))
		waits := h.enter(ask(normal, laneA))
		h.Apply(Settings{Drain: true})
		comes := h.enter(ask(normal, laneB))
		synctest.Wait()
		h.wantRefusal("who waits", waits, 0, Draining)
		h.wantRefusal("who comes", comes, 0, Draining)
		h.Apply(Settings{})
		if h.Draining() {
			t.Error("Draining() after the drain was taken back = true; want false")
		}
		h.wantGrantNow("who comes afterwards", h.enter(ask(normal, laneB)))
	})
}

// What the budget allows may change without any attempt: who waits must hear of it.
func TestApplyAsksForEverybodyAnew(t *testing.T) {
	t.Parallel()
	terms := func(paused bool) func(limit.Scope) quota.Terms {
		return func(limit.Scope) quota.Terms { return quota.Terms{Paused: paused} }
	}
	b := quota.New(quota.Options{Terms: terms(true)})
	bubble(t, Options{Budget: b}, func(h *hall) {
		v := h.enter(ask(normal, laneA))
		h.until(10 * time.Minute)
		h.wantWaiting("who waits for a paused scope", v)
		b.Apply(time.Now(), terms(false))
		h.Apply(Settings{})
		synctest.Wait()
		h.wantGrant("who waited", v, 10*time.Minute, laneA)
	})
}
