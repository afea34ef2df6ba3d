package gate

import (
	"fmt"
	"testing"
	"time"

	"nimsidecar/internal/priority"
)

// asks is a request of the agent and class for laneA.
func asks(agent string, c priority.Class) Request {
	r := ask(c, laneA)
	r.Agent = agent
	return r
}

// again is its repeat.
func again(r Request) Request {
	r.Repeat, r.Deadline = true, time.Time{}
	return r
}

func TestRepeatStandsWhereItsFirstTryStood(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, func(h *hall) {
		h.meter.rules[laneA] = &rule{every: 100 * time.Second}
		h.wantGrantNow("the running one", h.enter(asks("ann", normal)))
		hasty := asks("ann", normal)
		hasty.Deadline = h.start.Add(10 * time.Second)
		first := h.enter(hasty)
		gone := h.Enqueue(asks("ann", normal))
		younger := h.enter(asks("ann", normal))
		h.until(11 * time.Second)
		gone.Abandon()
		h.wantRefusal("the first try", first, 10*time.Second, QueueTimeout)
		second, third, fourth := h.enter(again(hasty)), h.enter(again(hasty)), h.enter(again(hasty))
		h.until(time.Hour)
		h.wantGrant("the first repeat", second, 100*time.Second, laneA)
		h.wantGrant("the second repeat", third, 200*time.Second, laneA)
		h.wantGrant("who came after their first tries", younger, 300*time.Second, laneA)
		h.wantGrant("one repeat too many", fourth, 400*time.Second, laneA)
	})
}

func TestRepeatIsForgottenAndNobodyElses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		after time.Duration
		r     Request
		first bool // the repeat is before the younger one
	}{
		{"in time", time.Minute, asks("ann", normal), true},
		{"too late", time.Minute + 1, asks("ann", normal), false},
		{"of another agent", time.Second, asks("bob", normal), false},
		{"of another class", time.Second, asks("ann", low), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, Options{}, func(h *hall) {
				h.meter.rules[laneA] = &rule{atOnce: 1}
				holder := h.enter(asks("eve", normal))
				h.wantGrantNow("the holder", holder)
				gone := h.Enqueue(asks("ann", normal))
				younger := h.Enqueue(test.r) // of the one that will come again, but younger than its first try
				gone.Abandon()
				h.until(test.after)
				repeat := h.Enqueue(again(test.r))
				if got := repeat.item.Arrival < younger.item.Arrival; got != test.first {
					t.Errorf("the repeat is first = %t; want %t", got, test.first)
				}
				h.Drain()
			})
		})
	}
}

func TestRepeatIsNeverAheadOfAMoreUrgentClass(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, func(h *hall) {
		h.meter.rules[laneA] = &rule{every: 10 * time.Second}
		h.wantGrantNow("the running one", h.enter(asks("eve", normal)))
		h.Enqueue(asks("ann", low)).Abandon()
		pressing := h.enter(asks("bob", urgent))
		repeat := h.enter(again(asks("ann", low)))
		h.until(time.Minute)
		h.wantGrant("the urgent one", pressing, 10*time.Second, laneA)
		h.wantGrant("the repeat", repeat, 20*time.Second, laneA)
	})
}

// Who leaves and comes again all the time, and says so, has no more than who waits.
func TestLyingAboutRepeatsGainsNothing(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, func(h *hall) {
		h.meter.rules[laneA] = &rule{every: time.Second}
		served := map[string]int{}
		var liars []*Ticket
		honest := h.Enqueue(asks("honest", normal))
		for range 4 {
			liars = append(liars, h.Enqueue(asks("liar", normal)))
		}
		for second := range 200 {
			h.until(time.Duration(second)*time.Second + time.Second/2)
			for i, ticket := range liars {
				if ticket.waiting.Load() {
					ticket.Abandon()
				} else if ticket.grant != nil {
					served["liar"]++
				}
				liars[i] = h.Enqueue(again(asks("liar", normal)))
			}
			if !honest.waiting.Load() {
				served["honest"]++
				honest = h.Enqueue(asks("honest", normal))
			}
		}
		if served["liar"] > served["honest"]+2 {
			t.Errorf("grants = %v; want the liar to have no more than 2 above the honest one", served)
		}
		h.Drain()
	})
}

func TestRepeatsAreBounded(t *testing.T) {
	t.Parallel()
	m, now := repeats{byCaller: map[repeater][]left{}}, time.Unix(1000, 0)
	for i := range 3 * repeatCallers {
		for j := range 3 * repeatsEach {
			r := asks(fmt.Sprint(i), normal)
			m.leaves(now, &r, uint64(i*1000+j+1))
			if i > 0 {
				break
			}
		}
	}
	r := asks("0", normal)
	if len(m.byCaller) > repeatCallers || len(m.byCaller[repeaterOf(&r)]) > repeatsEach {
		t.Errorf("%d callers, %d of one; want at most %d, %d", len(m.byCaller), len(m.byCaller[repeaterOf(&r)]), repeatCallers, repeatsEach)
	}
	m.leaves(now.Add(2*repeatWithin), &r, 1)
	if len(m.byCaller) != 1 {
		t.Errorf("%d callers are remembered; want the others forgotten", len(m.byCaller))
	}
}
