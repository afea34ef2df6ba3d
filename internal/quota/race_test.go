package quota_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"nimsidecar/internal/adapt"
	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
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

// atOnce calls f for each hold, all at the same time.
func atOnce(holds []*quota.Hold, f func(*quota.Hold)) {
	var wg sync.WaitGroup
	ready := make(chan struct{})
	for _, h := range holds {
		wg.Go(func() {
			<-ready
			f(h)
		})
	}
	close(ready)
	wg.Wait()
}

// volley sends so many attempts of which none knows the fate of another, room or not.
func (p *pupil) volley(n int) (holds []*quota.Hold) {
	for range n {
		h, _ := p.Reserve(p.now, p.lane, quota.Claim{Forced: true})
		p.Sent(p.now, h)
		holds = append(holds, h)
	}
	return holds
}

// The way from NORMAL to RETREAT, RECOVER and back, each step brought about by many verdicts that come at the same time.
func TestConcurrentVerdictsChangeTheStateOnce(t *testing.T) {
	t.Parallel()
	for range 20 {
		p := newPupil(t, learning(limits{"*": "40-M"}, quota.Hint))
		says := func(o hint.Outcome) func(*quota.Hold) {
			now := p.now
			return func(h *quota.Hold) {
				p.Observe(now, h, o)
				p.Settle(now, h, quota.Use{Written: true})
			}
		}
		first, late := p.volley(16), p.volley(16)
		atOnce(first, says(refusal))
		wantChanges(t, p.Book) // a volley is one event
		p.now = p.now.Add(time.Minute)
		second := p.volley(16)
		atOnce(slices.Concat(second, late), says(refusal))
		wantChanges(t, p.Book, "p/a/m NORMAL → RETREAT: two refusals in a row")

		var moves []string
		for end := p.now.Add(time.Hour); p.now.Before(end) && p.state() != adapt.Normal; {
			canaries := []*quota.Hold{p.send()}
			for h, _ := p.Reserve(p.now, p.lane, p.claim); h != nil; h, _ = p.Reserve(p.now, p.lane, p.claim) {
				p.Sent(p.now, h)
				canaries = append(canaries, h)
			}
			atOnce(canaries, says(served))
			moves = append(moves, changes(p.Book)...)
		}
		if len(moves) != 2 || moves[0] != "p/a/m RETREAT → RECOVER: the upstream serves again" || p.state() != adapt.Normal {
			t.Fatalf("while everything is served: %q; want RECOVER, then NORMAL, once each", moves)
		}
	}
}

// Attempts come, are sent, refused, served, broken off, given back and left without a verdict, all at once, while others look on. It ends,
// no place is lost, and nobody sees a ledger between two states.
func TestNobodyBlocksAndNobodySeesATornState(t *testing.T) {
	t.Parallel()
	const senders, turns = 8, 400
	b := quota.New(quota.Options{MaxScopes: 12, Terms: func(s limit.Scope) quota.Terms {
		return quota.Terms{Rates: limits{"*": "40-M", "": "90-M"}.rates(s), Trust: quota.Promise, BurstShare: 0.5}
	}})
	var senderGroup, readers sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					look(t, b)
				}
			}
		})
	}
	for i := range senders {
		senderGroup.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 8))
			for turn := range turns {
				live(b, rng, second(float64(turn)*2))
			}
		})
	}
	senderGroup.Wait()
	close(stop)
	readers.Wait()
	end := second(turns*2 + 3*3600)
	for _, v := range b.Snapshot(end) {
		for _, w := range v.Windows {
			if w.Rate.Period <= time.Minute && w.Used != 0 {
				t.Errorf("%v: %d charges are left hours after the last attempt; want none", v.Scope, w.Used)
			}
		}
	}
	reserve(t, b, end.Add(24*time.Hour), lane("a", "model-0"))
}

// live is the life of one attempt.
func live(b *quota.Book, rng *rand.Rand, now time.Time) {
	h, _ := b.Reserve(now, lane("a", fmt.Sprint("model-", rng.IntN(3))), quota.Claim{Urgent: rng.IntN(4) == 0, Probe: true, Forced: rng.IntN(20) == 0})
	if h == nil {
		return
	}
	if rng.IntN(10) == 0 {
		b.Settle(now, h, quota.Use{}) // abandoned
		return
	}
	b.Sent(now, h)
	switch now = now.Add(time.Duration(rng.IntN(3)) * time.Second); rng.IntN(8) {
	case 0:
		b.Observe(now, h, refusal)
	case 1:
		b.Observe(now, h, broken)
	case 2:
		b.Observe(now, h, exhausted)
	case 3: // no verdict
	default:
		b.Observe(now, h, served)
	}
	b.Settle(now, h, quota.Use{Written: true})
}

// look checks what must be true of the ledgers at any moment: an account has seen what its models have, nothing promised is exceeded but
// by what was forced, and a state is one of three.
func look(t *testing.T, b *quota.Book) {
	var charged, refunded, refused [2]uint64 // of the account, and of its models
	for _, v := range b.Snapshot(second(0)) {
		i := 1
		if v.Scope.WholeAccount() {
			i = 0
		}
		charged[i] += v.Charged
		refunded[i] += v.Refunded
		refused[i] += v.Refusals
		if v.State >= adapt.StateCount {
			t.Errorf("%v is %v", v.Scope, v.State)
		}
		for _, w := range v.Windows {
			if w.Rate.N < 1 || w.Rate.N > 90 || w.Used < 0 {
				t.Errorf("%v: a window of %v holds %d; want at most what is promised", v.Scope, w.Rate, w.Used)
			}
		}
	}
	if charged[0] != charged[1] || refunded[0] != refunded[1] || refused[0] != refused[1] {
		t.Errorf("accounts and models differ: charged %d, refunded %d, refused %d; want each pair equal", charged, refunded, refused)
	}
	if s := b.Summary("p"); s.States[adapt.Normal]+s.States[adapt.Retreat]+s.States[adapt.Recover] != s.Ledgers {
		t.Errorf("%d ledgers are in the states %v; want each in one", s.Ledgers, s.States)
	}
	b.Tokens(second(0), "p")
}
