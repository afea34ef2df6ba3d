package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/gate"
	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/priority"
	"nimsidecar/internal/quota"
)

// hall is a gate with real ledgers in a bubble, and what its waiters were told.
type hall struct {
	*gate.Gate
	books *quota.Book

	mu    sync.Mutex // guards the following
	told  []told
	after time.Time // who comes before does not count
}

// told is what a waiter was told, and what came of it.
type told struct {
	who       string
	at        time.Time // when it was told
	place     int
	eta, took time.Duration
}

// openHall runs f with a gate in a bubble whose ledgers keep to the terms.
func openHall(t *testing.T, terms func(limit.Scope) quota.Terms, f func(*hall)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &hall{books: quota.New(quota.Options{Terms: terms})}
		h.Gate = gate.New(gate.Options{Budget: h.books, Capacity: 10_000, Displace: true})
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = h.Run(ctx)
		}()
		f(h)
		cancel()
		<-ended
	})
}

// ask waits for a grant as a client does, asks for the outlook each 10 s, and notes what came of it.
func (h *hall) ask(who string, r gate.Request) bool {
	var heard []told
	ticket := h.Enqueue(r)
	began := time.Now()
	listen := func() {
		if place, eta := ticket.Outlook(); place > 0 {
			heard = append(heard, told{who: who, at: time.Now(), place: place, eta: eta})
		}
	}
	listen()
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
wait:
	for {
		select {
		case <-ticket.Decided():
			break wait
		case <-tick.C:
			listen()
		}
	}
	grant, refusal := ticket.Result()
	if refusal != nil {
		return false
	}
	h.mu.Lock()
	for _, x := range heard {
		if x.took = time.Since(x.at); !began.Before(h.after) {
			h.told = append(h.told, x)
		}
	}
	h.mu.Unlock()
	grant.Sent()
	grant.Observe(hint.Outcome{Class: hint.OK, Status: 200})
	grant.Settle(quota.Use{Written: true})
	return true
}

// fixed returns terms in which each model has its own limit, and the account another; none where there is none.
func fixed(of map[string]limit.Rates) func(limit.Scope) quota.Terms {
	return func(s limit.Scope) quota.Terms { return quota.Terms{Rates: of[s.Model], BurstShare: 0.1} }
}

// wantTrue reports if what was told does not match what came: within a fifth and one interval for 95 of 100, and without bias.
func (h *hall) wantTrue(t *testing.T, interval time.Duration) {
	t.Helper()
	if len(h.told) < 100 {
		t.Fatalf("only %d outlooks; want at least 100", len(h.told))
	}
	var off int
	var sum, real time.Duration
	var worst told
	for _, x := range h.told {
		diff := (x.eta - x.took).Abs()
		if diff > x.took/5+interval {
			off++
		}
		if diff > (worst.eta - worst.took).Abs() {
			worst = x
		}
		sum += x.eta - x.took
		real += x.took
	}
	if share := float64(off) / float64(len(h.told)); share > 0.05 {
		t.Errorf("%.1f %% of %d outlooks are off by more than a fifth and an interval; want at most 5 %%; worst %+v", 100*share, len(h.told), worst)
	}
	n := time.Duration(len(h.told))
	if mean := sum / n; mean.Abs() > real/n/20+interval/2 {
		t.Errorf("the mean error is %s of %s; want less than a twentieth and half an interval", mean, real/n)
	}
}

func aMinute(n int) limit.Rates { return limit.Rates{{N: n, Period: time.Minute}} }

func lanesOf(models ...string) (lanes []limit.Scope) {
	for _, m := range models {
		lanes = append(lanes, limit.Scope{Provider: "p", Account: "1", Model: m})
	}
	return lanes
}

func TestOutlookOfABacklogThatNobodyJoins(t *testing.T) {
	for _, test := range []struct {
		name   string
		limits map[string]limit.Rates
		lists  [][]limit.Scope

		interval time.Duration // of the slowest
	}{
		{"one model", map[string]limit.Rates{"a": aMinute(40)}, [][]limit.Scope{lanesOf("a")}, 1500 * time.Millisecond},
		{"two models", map[string]limit.Rates{"a": aMinute(40), "b": aMinute(25)}, [][]limit.Scope{lanesOf("a"), lanesOf("b")}, 2400 * time.Millisecond},
		{"an account", map[string]limit.Rates{"": aMinute(60)}, [][]limit.Scope{lanesOf("a"), lanesOf("b"), lanesOf("c")}, time.Second},
		{"a choice", map[string]limit.Rates{"a": aMinute(40), "b": aMinute(20)}, [][]limit.Scope{lanesOf("a"), lanesOf("a", "b"), lanesOf("b")}, 3 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			openHall(t, fixed(test.limits), func(h *hall) {
				random := rand.New(rand.NewPCG(1, 1))
				var clients sync.WaitGroup
				begin := time.Now()
				for range 400 {
					r := gate.Request{
						Class: priority.Class(random.IntN(priority.Count)), Agent: fmt.Sprint(random.IntN(12) * random.IntN(12)), Lanes: test.lists[random.IntN(len(test.lists))],
						Claim: quota.Claim{Requests: 1},
					}
					clients.Go(func() { h.ask(fmt.Sprint(r.Class, r.Agent), r) })
				}
				clients.Wait()
				// What is told while the others come cannot be right.
				h.told = slices.DeleteFunc(h.told, func(x told) bool { return x.at.Equal(begin) })
				h.wantTrue(t, test.interval)
			})
		})
	}
}

// Clients that ask again as soon as they are served, each with its own class, agent and model.
func TestOutlookAmongClientsThatComeAgain(t *testing.T) {
	limits := map[string]limit.Rates{"": aMinute(90)}
	lists := [][]limit.Scope{lanesOf("a"), lanesOf("b"), lanesOf("a")}
	openHall(t, fixed(limits), func(h *hall) {
		var clients sync.WaitGroup
		start := time.Now()
		h.after = start.Add(3 * time.Minute)
		for i := range 60 {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			class := priority.Class([]int{0, 1, 1, 2, 2, 2, 2, 3, 3, 3}[i%10])
			clients.Go(func() {
				for time.Since(start) < 12*time.Minute {
					if class == priority.Urgent {
						time.Sleep(time.Duration((0.5 + random.Float64()) * float64(time.Minute)))
					}
					h.ask(fmt.Sprint(class, i%13), gate.Request{Class: class, Agent: fmt.Sprint(i % 13), Lanes: lists[i%3], Claim: quota.Claim{Requests: 1}})
				}
			})
		}
		clients.Wait()
		h.told = slices.DeleteFunc(h.told, func(x told) bool { return x.at.Sub(start) > 8*time.Minute })
		h.wantTrue(t, 700*time.Millisecond)
	})
}
