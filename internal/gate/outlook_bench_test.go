package gate

import (
	"fmt"
	"testing"
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/priority"
	"nimsidecar/internal/quota"
)

// queue returns a gate in which n requests of 50 agents and all classes wait for four models of one account.
func queue(n int) (*Gate, []*Ticket) {
	g := New(Options{Capacity: n, Budget: quota.New(quota.Options{Terms: func(s limit.Scope) quota.Terms {
		if s.WholeAccount() {
			return quota.Terms{Rates: limit.Rates{{N: 600, Period: time.Minute}}, Burst: 1}
		}
		return quota.Terms{}
	}})})
	var waiting []*Ticket
	for i := 0; len(waiting) < n; i++ {
		r := ask(priority.Class(i%priority.Count), limit.Scope{Provider: "p", Account: "1", Model: fmt.Sprint(i / 4 % 4)})
		r.Agent = fmt.Sprint(i / 16 % 50)
		if t := g.Enqueue(r); t.waiting.Load() {
			waiting = append(waiting, t)
		}
	}
	return g, waiting
}

// What a waiter asks once in 10 s: the answer of a forecast that is there. Budget: 500 ns, no allocation.
func BenchmarkOutlook(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			g, waiting := queue(n)
			g.foresee(nil)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i = (i + 7919) % n
				waiting[i].Outlook()
			}
		})
	}
}

// A forecast, which is made once a second, and not before twenty times as long as it takes. The lock is held for the copy of the room alone.
// Budget: 10 ms for 1,000 waiters, 2 s for 100,000; the lock 0.5 ms and 50 ms.
func BenchmarkForecast(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			g, _ := queue(n)
			b.ReportAllocs()
			var locked time.Duration
			for b.Loop() {
				g.forecast.latest.Store(nil)
				g.foresee(nil)
				began := time.Now()
				g.room.Plan()
				locked += time.Since(began)
			}
			b.ReportMetric(float64(locked.Nanoseconds())/float64(b.N), "ns-locked/op")
		})
	}
}
