package gate

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/priority"
	"nimsidecar/internal/quota"
)

const (
	urgent = priority.Urgent
	high   = priority.High
	normal = priority.Normal
	low    = priority.Low
)

func TestFreeSlotIsGrantedInTheCaller(t *testing.T) {
	t.Parallel()
	g := New(Options{Budget: newMeter(t)}) // nobody runs Run
	ticket := g.Enqueue(ask(low, laneA))
	select {
	case <-ticket.Decided():
	default:
		t.Fatal("the ticket is not decided when Enqueue returns")
	}
	grant, refusal := ticket.Result()
	if grant == nil || refusal != nil || grant.Lane() != laneA || grant.Waited() != 0 {
		t.Errorf("Result() = %+v, %v; want a grant of %s without waiting", grant, refusal, laneA)
	}
	grant.Settle(quota.Use{Written: true})
}

func TestUrgentOvertakesABacklogAndEqualsGoInOrder(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, func(h *hall) {
		h.meter.rules[laneA] = &rule{every: 1500 * time.Millisecond}
		h.wantGrantNow("the first", h.enter(ask(low, laneA)))
		var lows, urgents []*verdict
		for range 10 {
			lows = append(lows, h.enter(ask(low, laneA)))
		}
		h.until(time.Second)
		for range 3 {
			urgents = append(urgents, h.enter(ask(urgent, laneA)))
		}
		h.until(time.Minute)
		for i, v := range append(urgents, lows...) {
			h.wantGrant(fmt.Sprint("waiter ", i), v, time.Duration(i+1)*1500*time.Millisecond, laneA)
		}
	})
}

// wantGrantNow is wantGrant for a request that need not wait.
func (h *hall) wantGrantNow(name string, v *verdict) {
	h.t.Helper()
	synctest.Wait()
	h.wantGrant(name, v, time.Since(h.start), v.ticket.request.Lanes[0])
}

func TestModelsDoNotHoldEachOtherUp(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, func(h *hall) {
		h.meter.rules[laneA] = &rule{paused: h.start.Add(time.Hour)}
		h.meter.rules[laneB] = &rule{every: time.Second}
		blocked := h.enter(ask(urgent, laneA))
		first, second := h.enter(ask(low, laneB)), h.enter(ask(low, laneB))
		h.until(2 * time.Hour)
		h.wantGrant("the first on b", first, 0, laneB)
		h.wantGrant("the second on b", second, time.Second, laneB)
		h.wantGrant("the one on a", blocked, time.Hour, laneA)
	})
}

func TestSecondLaneIsUsedWhenTheFirstHasNoSlot(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, func(h *hall) {
		h.meter.rules[laneA] = &rule{every: 10 * time.Second}
		h.meter.rules[laneC] = &rule{every: 4 * time.Second}
		var vs []*verdict
		for range 6 {
			vs = append(vs, h.enter(ask(normal, laneA, laneC)))
		}
		h.until(time.Minute)
		for i, want := range []struct {
			at   time.Duration
			lane limit.Scope
		}{{0, laneA}, {0, laneC}, {4, laneC}, {8, laneC}, {10, laneA}, {12, laneC}} {
			h.wantGrant(fmt.Sprint("waiter ", i), vs[i], want.at*time.Second, want.lane)
		}
	})
}

func TestWaiterGetsTheSlotTheMomentAnotherGivesItBack(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		scope limit.Scope // what is bounded
		lane  limit.Scope // of the one who holds the slot
	}{
		{"of its model", laneA, laneA},
		{"of its account, by another model", laneA.AccountScope(), laneB},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, Options{}, func(h *hall) {
				h.meter.rules[test.scope] = &rule{atOnce: 1}
				holder := h.enter(ask(normal, test.lane))
				h.wantGrantNow("the holder", holder)
				waiter := h.enter(ask(normal, laneA))
				h.until(time.Hour)
				h.wantWaiting("the waiter", waiter)
				holder.grant.Settle(quota.Use{Written: true})
				h.until(2 * time.Hour)
				h.wantGrant("the waiter", waiter, time.Hour, laneA)
				if got := waiter.grant.Waited(); got != time.Hour {
					t.Errorf("Waited() = %s; want 1h", got)
				}
			})
		})
	}
}

func TestSlotAtTheVeryDeadlineIsGranted(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, func(h *hall) {
		h.meter.rules[laneA] = &rule{every: 5 * time.Second}
		h.wantGrantNow("the first", h.enter(ask(normal, laneA)))
		exact := ask(normal, laneA)
		exact.Deadline, exact.Announced = h.start.Add(5*time.Second), true
		late := exact
		late.Announced = false
		v, w := h.enter(exact), h.enter(late)
		h.until(time.Minute)
		h.wantGrant("the one in time", v, 5*time.Second, laneA)
		h.wantRefusal("the one behind it", w, 5*time.Second, QueueTimeout)
	})
}

func TestWhoIsOverdueGetsNoSlotAfterASleepOfTheMachine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		meter := newMeter(t)
		g := New(Options{Budget: meter}) // nobody runs Run: its timer comes late
		meter.rules[laneA] = &rule{every: time.Minute}
		g.Enqueue(ask(normal, laneA))
		hasty := ask(normal, laneA)
		hasty.Deadline = time.Now().Add(time.Hour)
		overdue, patient := g.Enqueue(hasty), g.Enqueue(ask(normal, laneA))
		time.Sleep(time.Hour + 1)
		g.dispatch()
		if grant, refusal := overdue.Result(); grant != nil || refusal.Reason != QueueTimeout {
			t.Errorf("the overdue one: grant = %v, refusal = %v; want queue_timeout", grant, refusal)
		}
		if grant, _ := patient.Result(); grant == nil {
			t.Error("the other one has no grant")
		}
	})
}

func TestFullRoom(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		displace bool
		waiting  []priority.Class
		newcomer priority.Class
		refused  int // index of the refused waiter; len(waiting) = the newcomer
		reason   Reason
	}{
		{"nobody is less urgent", true, []priority.Class{normal, high, urgent}, normal, 3, QueueFull},
		{"the newest of the least urgent goes", true, []priority.Class{low, low, normal}, urgent, 1, Displaced},
		{"a low one goes before a newer normal one", true, []priority.Class{low, normal, normal}, high, 0, Displaced},
		{"without displacing", false, []priority.Class{low, low, low}, urgent, 3, QueueFull},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, Options{Capacity: 3, Displace: test.displace}, func(h *hall) {
				h.meter.rules[laneA] = &rule{paused: h.start.Add(time.Hour)}
				var vs []*verdict
				for _, class := range append(test.waiting, test.newcomer) {
					vs = append(vs, h.enter(ask(class, laneA)))
				}
				synctest.Wait()
				for i, v := range vs {
					if i == test.refused {
						h.wantRefusal(fmt.Sprint("waiter ", i), v, 0, test.reason)
					} else {
						h.wantWaiting(fmt.Sprint("waiter ", i), v)
					}
				}
				if got := h.Len(); got != 3 {
					t.Errorf("Len() = %d; want 3", got)
				}
			})
		})
	}
}

func TestRequestThatNeedNotWaitIsNotRefusedForAFullRoom(t *testing.T) {
	t.Parallel()
	bubble(t, Options{Capacity: 1, Displace: true}, func(h *hall) {
		h.meter.rules[laneA] = &rule{paused: h.start.Add(time.Hour)}
		waiter := h.enter(ask(low, laneA))
		h.wantGrantNow("the newcomer", h.enter(ask(urgent, laneB)))
		h.wantWaiting("the waiter", waiter)
	})
}

func TestAbandonedTicketGivesItsPlaceBack(t *testing.T) {
	t.Parallel()
	bubble(t, Options{Capacity: 1}, func(h *hall) {
		h.meter.rules[laneA] = &rule{every: time.Second}
		h.wantGrantNow("the first", h.enter(ask(normal, laneA)))
		ticket := h.Enqueue(ask(normal, laneA))
		ticket.Abandon()
		ticket.Abandon()
		if h.busy.Load() {
			t.Error("the gate is busy though nobody waits any more")
		}
		if grant, refusal := ticket.Result(); grant != nil || refusal.Reason != Cancelled || refusal.RetryAfter != 0 {
			t.Errorf("Result() = %v, %v; want cancelled, without a time to come again", grant, refusal)
		}
		next := h.enter(ask(normal, laneA))
		h.until(time.Minute)
		h.wantGrant("who came after it", next, time.Second, laneA)
		if h.meter.charges != 2 {
			t.Errorf("charges = %d; want 2: the abandoned ticket has cost nothing", h.meter.charges)
		}
	})
}

func TestGrantThatNobodyTookIsRefunded(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, func(h *hall) {
		h.meter.rules[laneA] = &rule{every: time.Hour}
		fast := h.Enqueue(ask(normal, laneA))
		waiter := h.Enqueue(ask(normal, laneA))
		next := h.enter(ask(normal, laneA))
		h.until(time.Second)
		fast.Abandon()
		fast.Abandon()
		h.until(2 * time.Second)
		waiter.Abandon() // it got the slot at 1 s
		h.until(3 * time.Second)
		h.wantGrant("who came after them", next, 2*time.Second, laneA)
		if _, refusal := waiter.Result(); refusal == nil || refusal.Reason != Cancelled {
			t.Errorf("refusal = %v; want cancelled", refusal)
		}
		if h.meter.charges != 3 || h.meter.refunds != 2 {
			t.Errorf("charges, refunds = %d, %d; want 3, 2", h.meter.charges, h.meter.refunds)
		}
	})
}

func TestAbandonLeavesATakenGrantToItsOwner(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, func(h *hall) {
		ticket := h.Enqueue(ask(normal, laneA))
		grant, _ := ticket.Result()
		ticket.Abandon()
		if h.meter.refunds != 0 {
			t.Error("Abandon refunds a grant that was taken")
		}
		grant.Settle(quota.Use{Written: true})
	})
}

func TestRequeuedTicketKeepsItsPlace(t *testing.T) {
	t.Parallel()
	bubble(t, Options{Capacity: 2}, func(h *hall) {
		h.meter.rules[laneA] = &rule{every: 10 * time.Second}
		first := h.enter(ask(normal, laneA))
		h.wantGrantNow("the first", first)
		second, third := h.enter(ask(normal, laneA)), h.enter(ask(low, laneA))
		h.until(5 * time.Second)
		first.grant.Settle(quota.Use{Written: true})
		first.ticket.Requeue(time.Time{}, first.ticket.request.Lanes)
		if got := h.Len(); got != 3 {
			t.Errorf("Len() = %d; want 3: who comes back is let in beyond the capacity", got)
		}
		again := h.watch(first.ticket)
		h.until(time.Minute)
		h.wantGrant("the one that came back", again, 10*time.Second, laneA)
		h.wantGrant("the third, of a class that has had nothing", third, 20*time.Second, laneA)
		h.wantGrant("the second", second, 30*time.Second, laneA)
		if got := again.grant.Waited(); got != 5*time.Second {
			t.Errorf("Waited() = %s; want 5s: none for the first grant and 5 s for the second", got)
		}
		third.grant.Settle(quota.Use{Written: true})
		third.ticket.Requeue(time.Time{}, third.ticket.request.Lanes)
		again = h.watch(third.ticket)
		h.until(2 * time.Minute)
		h.wantGrant("the third once more", again, time.Minute, laneA)
		if got := again.grant.Waited(); got != 20*time.Second {
			t.Errorf("Waited() = %s; want 20s, all of it before the first attempt", got)
		}
	})
}

func TestParkedTicketDoesNotHoldUpItsLine(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, func(h *hall) {
		h.meter.rules[laneA] = &rule{every: 2 * time.Second}
		parked := ask(normal, laneA)
		parked.NotBefore = h.start.Add(3 * time.Second)
		first, second, third := h.enter(parked), h.enter(ask(normal, laneA)), h.enter(ask(normal, laneA))
		fourth := h.enter(ask(normal, laneA))
		h.until(time.Minute)
		h.wantGrant("the second", second, 0, laneA)
		h.wantGrant("the third", third, 2*time.Second, laneA)
		h.wantGrant("the parked one", first, 4*time.Second, laneA)
		h.wantGrant("the fourth", fourth, 6*time.Second, laneA)
	})
}

func TestParkedTicketLeavesAtItsMoment(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, func(h *hall) {
		parked := ask(normal, laneA)
		parked.NotBefore = h.start.Add(250 * time.Millisecond)
		v := h.enter(parked)
		h.until(time.Second)
		h.wantGrant("the parked one", v, 250*time.Millisecond, laneA)
	})
}

func TestDrainRefusesWhoWaitsWhoComesAndWhoComesBack(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	bubble(t, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, func(h *hall) {
		h.meter.rules[laneA] = &rule{every: time.Hour}
		running := h.enter(ask(normal, laneA))
		h.wantGrantNow("the running one", running)
		var waiting []*verdict
		for range 20 {
			waiting = append(waiting, h.enter(ask(low, laneA)))
		}
		untaken := h.Enqueue(ask(normal, laneB))
		h.until(time.Second)
		if h.Draining() {
			t.Error("Draining() = true before Drain; want false")
		}
		h.Drain()
		h.Drain()
		if !h.Draining() {
			t.Error("Draining() = false after Drain; want true")
		}
		newcomer := h.enter(ask(urgent, laneB))
		running.grant.Settle(quota.Use{Written: true})
		running.ticket.Requeue(time.Time{}, running.ticket.request.Lanes)
		back := h.watch(running.ticket)
		synctest.Wait()
		for i, v := range append(waiting, newcomer, back) {
			h.wantRefusal(fmt.Sprint("ticket ", i), v, time.Second, Draining)
			if v.refusal != nil && v.refusal.RetryAfter != time.Second {
				t.Errorf("RetryAfter = %s; want 1s", v.refusal.RetryAfter)
			}
		}
		if grant, _ := untaken.Result(); grant == nil {
			t.Error("a grant that was made before the drain is lost")
		}
	})
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `msg="gate drains" waiting=20`) {
		t.Errorf("log = %q; want one line that names 20 waiting", got)
	}
}

func TestRunEndsWithEverybodyRefused(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, func(h *hall) {
		h.meter.rules[laneA] = &rule{atOnce: 1}
		h.wantGrantNow("the holder", h.enter(ask(normal, laneA)))
		waiter := h.enter(ask(normal, laneA))
		h.until(time.Second)
		h.stop()
		synctest.Wait()
		h.wantRefusal("the waiter", waiter, time.Second, Draining)
	})
}

func TestPauseTellsThoseAtOnceWhoseDeadlineLiesBeforeItsEnd(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, func(h *hall) {
		h.meter.rules[laneA] = &rule{every: time.Second}
		running := h.enter(ask(normal, laneA))
		h.wantGrantNow("the running one", running)
		var vs []*verdict
		for i := range 1000 {
			r := ask(priority.Class(i%priority.Count), laneA)
			r.Announced = i%3 == 0
			r.Deadline = h.start.Add(time.Duration(1+i) * time.Second)
			vs = append(vs, h.enter(r))
		}
		h.until(500 * time.Millisecond)
		running.grant.Observe(hint.Outcome{Class: hint.Quota, RetryAfter: 300 * time.Second, Asked: true})
		synctest.Wait()
		const end = 300*time.Second + 500*time.Millisecond
		for i, v := range vs {
			if time.Duration(1+i)*time.Second < end {
				h.wantRefusal(fmt.Sprint("waiter ", i), v, 500*time.Millisecond, UpstreamRateLimited)
			} else {
				h.wantWaiting(fmt.Sprint("waiter ", i), v)
			}
		}
		h.Drain()
	})
}

func TestEachWordReachesTheBudgetOnce(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, func(h *hall) {
		h.meter.rules[laneA] = &rule{}
		grant, _ := h.Enqueue(ask(normal, laneA)).Result()
		for range 2 {
			grant.Observe(hint.Outcome{}) // may come before Sent
			grant.Sent()
		}
		for range 2 {
			grant.Settle(quota.Use{Written: true})
			grant.Sent()
			grant.Observe(hint.Outcome{})
		}
		silent, _ := h.Enqueue(ask(normal, laneA)).Result()
		silent.Settle(quota.Use{Written: true})
		silent.Sent()
		silent.Observe(hint.Outcome{})
		if h.meter.late != 0 {
			t.Errorf("%d words reached the budget after Settle; want none", h.meter.late)
		}
		if m := h.meter; m.sents != 1 || m.observed != 1 || m.refunds != 0 || len(m.holds) != 0 {
			t.Errorf("sent %d, observed %d, refunded %d, open %d; want 1, 1, 0, 0", m.sents, m.observed, m.refunds, len(m.holds))
		}
	})
}

func TestPassthroughIsChargedAndDoesNotWait(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, func(h *hall) {
		h.meter.rules[laneA] = &rule{every: time.Minute}
		h.wantGrantNow("the first", h.enter(ask(normal, laneA)))
		h.until(time.Second)
		grant := h.Passthrough(ask(normal, laneA, laneC))
		if grant.Lane() != laneA || grant.Waited() != 0 {
			t.Errorf("Lane(), Waited() = %s, %s; want %s, 0s", grant.Lane(), grant.Waited(), laneA)
		}
		grant.Settle(quota.Use{Written: true})
		v := h.enter(ask(normal, laneA))
		h.until(5 * time.Minute)
		h.wantGrant("who comes after it", v, 61*time.Second, laneA)
	})
}

func TestWhoComesBackMayTakeAnotherLane(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, func(h *hall) {
		h.meter.rules[laneA] = &rule{every: time.Hour}
		v := h.enter(ask(normal, laneA))
		h.wantGrantNow("the first", v)
		v.grant.Settle(quota.Use{Written: true})
		v.ticket.Requeue(time.Time{}, []limit.Scope{laneB})
		again := h.watch(v.ticket)
		h.until(time.Second)
		h.wantGrant("the one that came back", again, 0, laneB)
	})
}

func TestMisuseIsABug(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, func(h *hall) {
		h.meter.rules[laneA] = &rule{every: time.Hour}
		granted, waiting := h.Enqueue(ask(normal, laneA)), h.Enqueue(ask(normal, laneA))
		for name, misuse := range map[string]func(){
			"Result of a waiting ticket":               func() { waiting.Result() },
			"Requeue of a waiting ticket":              func() { waiting.Requeue(time.Time{}, waiting.request.Lanes) },
			"Requeue of a grant that nobody has taken": func() { granted.Requeue(time.Time{}, granted.request.Lanes) },
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s does not panic", name)
					}
				}()
				misuse()
			}()
		}
	})
}
