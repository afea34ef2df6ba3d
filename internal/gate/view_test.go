package gate

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/priority"
)

func TestWaitingShowsWhoWaitsInOrder(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, func(h *hall) {
		h.meter.rules[laneA.AccountScope()], h.meter.tells = &rule{every: 10 * time.Second}, true
		h.wantGrantNow("the running one", h.enter(ask(normal, laneA)))
		for _, w := range []struct {
			id     string
			class  priority.Class
			lane   limit.Scope
			repeat bool
		}{{"n1", normal, laneA, false}, {"l1", low, laneB, false}, {"n2", normal, laneB, true}, {"u1", urgent, laneA, false}} {
			r := ask(w.class, w.lane)
			r.ID, r.Agent, r.Client, r.Repeat = w.id, "agent of "+w.id, "client of "+w.id, w.repeat
			h.enter(r)
		}
		h.until(15 * time.Second) // u1 has left at 10 s
		const waited = 15 * time.Second
		want := []Waiter{
			{ID: "n1", Class: normal, Agent: "agent of n1", Client: "client of n1", Provider: "nvidia", Model: "a", Waited: waited, Position: 1, Place: 1, Estimate: 5 * time.Second},
			{ID: "l1", Class: low, Agent: "agent of l1", Client: "client of l1", Provider: "nvidia", Model: "b", Waited: waited, Position: 2, Place: 1, Estimate: 15 * time.Second}, // its class has had nothing yet
			{ID: "n2", Class: normal, Agent: "agent of n2", Client: "client of n2", Provider: "nvidia", Model: "b", Repeat: true, Waited: waited, Position: 3, Place: 2, Estimate: 25 * time.Second},
		}
		got := h.Waiting()
		if !slices.Equal(got, want) {
			t.Errorf("Waiting() = %+v; want %+v", got, want)
		}
		if got, want := h.Depth(), [priority.Count]int{0, 0, 2, 1}; got != want || h.Len() != 3 {
			t.Errorf("Depth(), Len() = %v, %d; want %v, 3", got, h.Len(), want)
		}
		h.Drain()
	})
}

func TestEndRefusesTheWaiterOfThatID(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, func(h *hall) {
		h.meter.rules[laneA] = &rule{every: time.Second}
		h.wantGrantNow("the running one", h.enter(ask(normal, laneA)))
		unwanted := ask(normal, laneA)
		unwanted.ID = "unwanted"
		v, w := h.enter(unwanted), h.enter(ask(normal, laneA))
		if !h.End("unwanted") || h.End("unwanted") || h.End("unknown") {
			t.Error("End does not report what it ended")
		}
		synctest.Wait()
		h.wantRefusal("the unwanted one", v, 0, Cancelled)
		v.ticket.Abandon() // its client leaves as well
		h.until(time.Minute)
		h.wantGrant("the other one", w, time.Second, laneA)
	})
}
