package gate

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/priority"
	"nimsidecar/internal/quota"
)

func TestOutlookTellsPlaceAndTime(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, func(h *hall) {
		h.meter.rules[laneA], h.meter.tells = &rule{every: 10 * time.Second}, true
		granted := h.Enqueue(ask(normal, laneA))
		h.until(time.Second)
		var waiting []*Ticket
		for range 3 {
			waiting = append(waiting, h.Enqueue(ask(normal, laneA)))
		}
		lowest := h.Enqueue(ask(low, laneA))
		type outlook struct {
			place int
			eta   time.Duration
		}
		for i, want := range []outlook{{0, 0}, {1, 9 * time.Second}, {3, 29 * time.Second}, {4, 39 * time.Second}, {2, 19 * time.Second}} {
			ticket := append(append([]*Ticket{granted}, waiting...), lowest)[i]
			h.foresee(nil)
			if place, eta := ticket.Outlook(); (outlook{place, eta}) != want {
				t.Errorf("ticket %d: Outlook() = %d, %s; want %d, %s", i, place, eta, want.place, want.eta)
			}
		}
		h.until(12 * time.Second) // the first has left
		if place, eta := waiting[1].Outlook(); place != 2 || eta != 18*time.Second {
			t.Errorf("later: Outlook() = %d, %s; want 2, 18s", place, eta)
		}
		waiting[1].Abandon()
		if place, eta := waiting[1].Outlook(); place != 0 || eta != 0 {
			t.Errorf("abandoned: Outlook() = %d, %s; want 0, 0s", place, eta)
		}
		h.Drain()
	})
}

func TestOutlookOfWhatNobodyKnowsIsAPlaceWithoutATime(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, func(h *hall) {
		h.meter.rules[laneA] = &rule{atOnce: 1, open: 1}
		var waiting []*Ticket
		for range 3 {
			waiting = append(waiting, h.Enqueue(ask(normal, laneA)))
		}
		h.until(time.Minute)
		for i, ticket := range waiting {
			if place, eta := ticket.Outlook(); place != i+1 || eta != 0 {
				t.Errorf("waiter %d: Outlook() = %d, %s; want %d, 0s", i, place, eta, i+1)
			}
		}
		h.Drain()
	})
}

func TestOutlookIsSafeWhileEverythingChanges(t *testing.T) {
	t.Parallel()
	bubble(t, Options{Capacity: 60, Displace: true}, func(h *hall) {
		h.meter.rules[laneA], h.meter.tells = &rule{every: 20 * time.Millisecond}, true
		h.meter.rules[laneB] = &rule{atOnce: 1}
		var clients sync.WaitGroup
		for i := range uint64(100) {
			clients.Go(func() {
				random := rand.New(rand.NewPCG(i, 3))
				for range 10 {
					r := ask(priority.Class(random.IntN(priority.Count)), laneA, laneB)
					r.Agent, r.Repeat = strconv.Itoa(random.IntN(5)), random.IntN(2) == 0
					if random.IntN(3) == 0 {
						r.Deadline, r.Announced = time.Now().Add(time.Duration(random.IntN(2000))*time.Millisecond), true
					}
					ticket := h.Enqueue(r)
					for range random.IntN(20) {
						if place, eta := ticket.Outlook(); place < 0 || eta < 0 || place > 100 {
							t.Errorf("Outlook() = %d, %s", place, eta)
						}
						time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
					}
					ticket.Abandon()
				}
			})
		}
		clients.Wait()
		if h.Len() != 0 {
			t.Errorf("Len() = %d; want 0", h.Len())
		}
		for scope, l := range h.lanes {
			if l.waiting != 0 {
				t.Errorf("%d wait for %s; want nobody", l.waiting, scope)
			}
		}
	})
}

// Behind n waiters at one in 10 s the next one can start at 10·(n+1) s: who announces less is told so, who announces more is not.
func TestAnnouncedDeadlineIsHeldAgainstTheEstimate(t *testing.T) {
	t.Parallel()
	for n := range 12 {
		for _, late := range []bool{true, false} {
			t.Run(fmt.Sprint(n, late), func(t *testing.T) {
				t.Parallel()
				bubble(t, Options{}, func(h *hall) {
					h.meter.rules[laneA], h.meter.tells = &rule{every: 10 * time.Second}, true
					h.wantGrantNow("the running one", h.enter(ask(normal, laneA)))
					for range n {
						h.enter(ask(normal, laneA))
					}
					h.until(2 * time.Second)
					start := time.Duration(n+1) * 10 * time.Second
					r := ask(normal, laneA)
					r.Announced, r.Deadline = true, h.start.Add(start)
					if late {
						r.Deadline = r.Deadline.Add(-time.Second)
					}
					v := h.enter(r)
					h.until(time.Hour)
					if !late {
						h.wantGrant("the one in time", v, start, laneA)
						return
					}
					h.wantRefusal("the late one", v, 2*time.Second, Deadline)
					if want := start - 2*time.Second; v.refusal != nil && v.refusal.Estimate != want {
						t.Errorf("Estimate = %s; want %s", v.refusal.Estimate, want)
					}
				})
			})
		}
	}
}

// The estimate must not get in the way of those who need not wait.
func TestNoDeadlineIsMissedWhereALaneIsReady(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, func(h *hall) {
		h.meter.rules[laneA], h.meter.tells = &rule{every: time.Hour}, true
		hasty := ask(low, laneA)
		hasty.Deadline, hasty.Announced = h.start, true
		h.wantGrantNow("in an empty room", h.enter(hasty))
		for range 50 {
			h.enter(ask(urgent, laneA))
		}
		h.until(time.Minute)
		hasty.Deadline = time.Now().Add(time.Second)
		hasty.Lanes = append(hasty.Lanes, laneC)
		v := h.enter(hasty)
		synctest.Wait()
		h.wantGrant("on its second lane", v, time.Minute, laneC)
		own := ask(low, laneA)
		own.Deadline = time.Now().Add(time.Second) // our own setting: it may hope
		w := h.enter(own)
		synctest.Wait()
		h.wantWaiting("who did not announce it", w)
		h.Drain()
	})
}

// claims is a meter that notes what it is asked for.
type claims struct {
	*meter
	asked []claimed
}

type claimed struct {
	lane  string
	probe bool
}

func (c *claims) Reserve(now time.Time, lane limit.Scope, claim quota.Claim) (*quota.Hold, quota.Readiness) {
	c.asked = append(c.asked, claimed{lane.String(), claim.Probe})
	return c.meter.Reserve(now, lane, claim)
}

// spaced is ledgers that let n a minute out, four of them at once.
func spaced(n int) *quota.Book {
	return quota.New(quota.Options{Terms: func(s limit.Scope) quota.Terms {
		if s.WholeAccount() {
			return quota.Terms{}
		}
		return quota.Terms{Rates: limit.Rates{{N: n, Period: time.Minute}}}
	}})
}

// send enqueues a request that is sent as soon as it is granted.
func (h *hall) send(r Request) *Ticket {
	ticket := h.Enqueue(r)
	go func() {
		<-ticket.Decided()
		if grant, _ := ticket.Result(); grant != nil {
			grant.Settle(quota.Use{Written: true})
		}
	}()
	return ticket
}

// Of several lanes only that one may be probed for whose account nobody less urgent waits.
func TestProbeIsOfTheLaneOnWhichNobodyLessUrgentWaits(t *testing.T) {
	t.Parallel()
	c := &claims{meter: newMeter(t)}
	g := New(Options{Budget: c})
	c.rules[laneA], c.rules[laneC] = &rule{atOnce: 1, open: 1}, &rule{atOnce: 1, open: 1}
	g.Enqueue(ask(low, laneC))
	c.asked = nil
	g.Enqueue(ask(high, laneA, laneC))
	got := map[string]bool{}
	for _, a := range c.asked {
		got[a.lane] = a.probe
	}
	if !got[laneA.String()] || got[laneC.String()] {
		t.Errorf("probes = %v; want one on %s alone: a LOW one waits for %s", got, laneA, laneC)
	}
}

// A flood of URGENT takes no more than its part, although it need not keep the even distance.
func TestUrgentFloodLeavesTheOthersTheirPart(t *testing.T) {
	t.Parallel()
	bubble(t, Options{Budget: spaced(60), Capacity: 10_000}, func(h *hall) {
		var lows []*Ticket
		for i := range 900 {
			h.send(ask(urgent, laneA))
			if i%3 == 0 {
				lows = append(lows, h.send(ask(low, laneA)))
			}
		}
		h.until(5 * time.Minute)
		served := 0
		for _, v := range lows {
			if v.grant != nil {
				served++
			}
		}
		if served < 60 {
			t.Errorf("%d of some 300 grants were LOW's; want three of ten", served)
		}
		h.Drain()
	})
}
