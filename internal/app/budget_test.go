package app

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/gate"
	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/memnet"
	"nimsidecar/internal/quota"
	"nimsidecar/internal/upstream"
)

// lane is where the tests of a budget send.
func lane(model string) limit.Scope {
	return limit.Scope{Provider: "up", Account: "client-none", Model: model}
}

// withBudget runs test with a budget over an upstream that nobody serves yet, whose models have the rate.
func withBudget(t *testing.T, rates limit.Rates, test func(t *testing.T, b budget, n *memnet.Network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := new(memnet.Network)
		table, err := upstream.New(upstream.Options{
			DialContext: n.DialContext, Providers: []upstream.Provider{{Name: "up", URL: &url.URL{Scheme: "http", Host: "up.test"}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer table.Close()
		book := quota.New(quota.Options{Terms: func(s limit.Scope) quota.Terms {
			if s.WholeAccount() {
				return quota.Terms{}
			}
			return quota.Terms{Rates: rates, Burst: 1000}
		}})
		test(t, budget{book, table}, n)
	})
}

// attempt sends a request and tells the budget of it.
func (b budget) attempt(t *testing.T, hold *quota.Hold) hint.Class {
	t.Helper()
	a := b.upstream.Attempt(t.Context(), hold.Lane(), &upstream.Request{Method: http.MethodPost, Path: "/x"})
	defer a.Close()
	b.Observe(time.Now(), hold, a.Outcome)
	b.Settle(time.Now(), hold, quota.Use{Written: a.Written})
	return a.Outcome.Class
}

// outage makes the provider count as one that cannot be reached.
func (b budget) outage(t *testing.T) {
	t.Helper()
	for range 5 {
		hold, _ := b.Reserve(time.Now(), lane("m"), quota.Claim{Requests: 1})
		if hold == nil || b.attempt(t, hold) != hint.Broken {
			t.Fatal("the upstream is not down")
		}
	}
}

// serveOK answers everything with 200 until stop is called.
func serveOK(t *testing.T, n *memnet.Network) (stop func()) {
	t.Helper()
	l, err := n.Listen("up.test:80")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	var group sync.WaitGroup
	group.Go(func() { _ = server.Serve(l) })
	return func() { _ = server.Close(); group.Wait() }
}

func TestALaneThatIsOutOfUseHasNoSlotAndChargesNothing(t *testing.T) {
	t.Parallel()
	withBudget(t, limit.Rates{{N: 3, Period: time.Minute}}, func(t *testing.T, b budget, n *memnet.Network) {
		b.outage(t)
		now := time.Now()
		hold, ready := b.Reserve(now, lane("other"), quota.Claim{Requests: 1})
		if wait := ready.At.Sub(now); hold != nil || ready.Paused || wait < 500*time.Millisecond || wait > 600*time.Millisecond {
			t.Errorf("Reserve = %v, %+v; want none for about half a second, by no refusal of the upstream's", hold, ready)
		}
		if forced, _ := b.Reserve(now, lane("other"), quota.Claim{Requests: 1, Forced: true}); forced == nil {
			t.Error("a forced claim was not granted")
		} else {
			b.Settle(now, forced, quota.Use{})
		}
		time.Sleep(ready.At.Sub(now))
		first, _ := b.Reserve(time.Now(), lane("m"), quota.Claim{Requests: 1})
		second, ready := b.Reserve(time.Now(), lane("m"), quota.Claim{Requests: 1})
		if first == nil || second != nil || !ready.At.After(time.Now()) {
			t.Errorf("after the pause the holds are %v and %v; want one attempt, the next later", first, second)
		}
		stop := serveOK(t, n)
		defer stop()
		if class := b.attempt(t, first); class != hint.OK {
			t.Errorf("the attempt came to %s; want ok", class)
		}
		for i := range 2 { // of three a minute one is spent, though eight were tried
			if hold, ready := b.Reserve(time.Now(), lane("m"), quota.Claim{Requests: 1, Urgent: true}); hold == nil {
				t.Errorf("slot %d: %+v; want it, since the upstream is back", i, ready)
			}
		}
		if hold, _ := b.Reserve(time.Now(), lane("m"), quota.Claim{Requests: 1, Urgent: true}); hold != nil {
			t.Error("a fourth slot of three was given")
		}
	})
}

func TestWhoeverWaitsForAnOutageGoesOnWhenItIsOver(t *testing.T) {
	t.Parallel()
	withBudget(t, nil, func(t *testing.T, b budget, n *memnet.Network) {
		g := gate.New(gate.Options{Budget: b})
		ctx, stopGate := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() { _ = g.Run(ctx) })
		b.outage(t)
		began := time.Now()
		var clients sync.WaitGroup
		for range 50 {
			clients.Go(func() {
				ticket := g.Enqueue(gate.Request{Lanes: []limit.Scope{lane("m")}, Claim: quota.Claim{Requests: 1}, Deadline: began.Add(time.Minute)})
				for {
					<-ticket.Decided()
					grant, refusal := ticket.Result()
					if grant == nil {
						t.Errorf("refused: %v", refusal)
						return
					}
					a := b.upstream.Attempt(t.Context(), grant.Lane(), &upstream.Request{Method: http.MethodPost, Path: "/x"})
					grant.Observe(a.Outcome)
					a.Close()
					grant.Settle(quota.Use{Written: a.Written})
					if a.Outcome.Class == hint.OK {
						return
					}
					ticket.Requeue(time.Time{}, []limit.Scope{lane("m")})
				}
			})
		}
		const outage = 30 * time.Second
		time.Sleep(outage)
		stop := serveOK(t, n)
		clients.Wait()
		if took := time.Since(began); took > outage+3*time.Second {
			t.Errorf("all were served %s after the outage; want at most 3s", took-outage)
		}
		stopGate()
		group.Wait()
		stop()
	})
}

// A request that has to start at once, and one whose client gives up soon, are told so rather than held.
func TestNobodyIsHeldBeyondADeadline(t *testing.T) {
	t.Parallel()
	withBudget(t, nil, func(t *testing.T, b budget, _ *memnet.Network) {
		g := gate.New(gate.Options{Budget: b})
		b.outage(t)
		for _, wait := range []time.Duration{0, 100 * time.Millisecond} {
			ticket := g.Enqueue(gate.Request{
				Lanes: []limit.Scope{lane("m")}, Claim: quota.Claim{Requests: 1}, Deadline: time.Now().Add(wait), Announced: true,
			})
			<-ticket.Decided()
			if grant, refusal := ticket.Result(); grant != nil || refusal.Reason != gate.Deadline {
				t.Errorf("with %s to wait: %v, %v; want %s at once", wait, grant, refusal, gate.Deadline)
			}
		}
	})
}
