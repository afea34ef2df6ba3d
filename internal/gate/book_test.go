package gate

import (
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/quota"
)

// book is the real ledgers, which keep the model of laneA to n a minute.
func book(n int) *quota.Book {
	return quota.New(quota.Options{Terms: func(s limit.Scope) quota.Terms {
		if s == laneA {
			return quota.Terms{Rates: limit.Rates{{N: n, Period: time.Minute}}, Burst: n}
		}
		return quota.Terms{}
	}})
}

func TestBookOpensTheWindowAsChargesAge(t *testing.T) {
	t.Parallel()
	bubble(t, Options{Budget: book(2)}, func(h *hall) {
		var vs []*verdict
		for range 4 {
			vs = append(vs, h.enter(ask(normal, laneA)))
		}
		synctest.Wait()
		h.wantGrant("the first", vs[0], 0, laneA)
		h.wantGrant("the second", vs[1], 0, laneA)
		if got := vs[1].grant.Standing(); got.Limit != 2 || got.Remaining != 0 {
			t.Errorf("Standing() = %+v; want nothing left of 2", got)
		}
		h.until(10 * time.Minute) // what was not sent does not age
		h.wantWaiting("the third", vs[2])
		vs[0].grant.Sent()
		h.until(15 * time.Minute)
		if at := vs[2].look().at; at <= 11*time.Minute || at > 11*time.Minute+2*time.Second {
			t.Errorf("the third is granted at %s; want it a minute and a margin after the first was sent", at)
		}
		h.wantWaiting("the fourth", vs[3])
		vs[1].grant.Settle(quota.Use{}) // nothing was written: at once free again
		synctest.Wait()
		h.wantGrant("the fourth", vs[3], 15*time.Minute, laneA)
	})
}

func TestRefusalByTheUpstreamPausesItsModelOnly(t *testing.T) {
	t.Parallel()
	bubble(t, Options{Budget: book(5)}, func(h *hall) {
		refused := h.enter(ask(normal, laneA))
		h.wantGrantNow("the refused one", refused)
		refused.grant.Sent()
		refused.grant.Observe(hint.Outcome{Class: hint.Quota, Status: 429, RetryAfter: 20 * time.Second, Asked: true})
		refused.grant.Settle(quota.Use{Written: true})
		refused.ticket.Requeue(time.Time{}, refused.ticket.request.Lanes)
		again := h.watch(refused.ticket)
		hasty := ask(urgent, laneA)
		hasty.Deadline = h.start.Add(19 * time.Second)
		v, other := h.enter(hasty), h.enter(ask(low, laneB))
		h.until(time.Minute)
		h.wantGrant("the refused one", again, 20*time.Second, laneA)
		h.wantRefusal("the hasty one", v, 0, UpstreamRateLimited)
		h.wantGrant("the other model", other, 0, laneB)
	})
}
