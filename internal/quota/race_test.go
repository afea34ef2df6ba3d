package quota_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"nimsidecar/internal/hint"
	"nimsidecar/internal/quota"
)

func TestManyGoroutinesNeverTakeMoreThanTheLimit(t *testing.T) {
	t.Parallel()
	const workers, asks = 32, 400
	b := quota.New(quota.Options{Terms: limits{"*": "7-S,50-M", "": "60-M"}.terms, MaxScopes: 16})
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 6))
			for j := range asks {
				now := second(float64(j) / 100) // within 4 s
				h, _ := b.Reserve(now, lane("a", fmt.Sprint("model-", rng.IntN(3))), one)
				if h == nil {
					b.Tokens(now, "p")
					continue
				}
				if rng.IntN(3) > 0 {
					b.Sent(now, h)
				}
				b.Observe(now, h, hint.Outcome{Class: hint.OK})
				b.Settle(now, h, quota.Use{Written: rng.IntN(2) == 0})
			}
		})
	}
	wg.Wait()
	views := b.Snapshot(second(4))
	if len(views) != 4 {
		t.Fatalf("there are %d ledgers; want 4", len(views))
	}
	sum := uint64(0)
	for i, v := range views {
		kept := v.Charged - v.Refunded
		if i > 0 {
			sum += kept
		}
		if last := v.Windows[len(v.Windows)-1]; kept != uint64(last.Used) || last.Used > last.Rate.N {
			t.Errorf("%v: kept %d, used %d of %v; want them equal and within the limit", v.Scope, kept, last.Used, last.Rate)
		}
	}
	if account := views[0].Charged - views[0].Refunded; sum != account || sum != 60 {
		t.Errorf("the models were charged %d, their account %d; want 60 each", sum, account)
	}
}

// Budget: 300 ns and the hold itself, on a lane of two windows. The times have a monotonic reading, as those of the gate do.
func BenchmarkReserveSentSettle(b *testing.B) {
	book, m := newBook(limits{"*": "40-M,1000-H"}), lane("a", "m")
	b.ReportAllocs()
	for now := time.Now(); b.Loop(); now = now.Add(2 * time.Minute) {
		h, _ := book.Reserve(now, m, one)
		book.Sent(now, h)
		book.Settle(now, h, quota.Use{Written: true})
	}
}

// Budget: 150 ns, no allocation. The gate asks this for each lane that has to wait.
func BenchmarkReserveOfAFullLane(b *testing.B) {
	book, m := newBook(limits{"*": "1-M,1000-H"}), lane("a", "m")
	now := time.Now()
	book.Reserve(now, m, one)
	b.ReportAllocs()
	for b.Loop() {
		book.Reserve(now, m, one)
	}
}
