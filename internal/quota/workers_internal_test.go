package quota

import (
	"fmt"
	"testing"
	"time"

	"nimsidecar/internal/limit"
)

// Clients choose the names of models, so what is counted for each must not outnumber the ledgers, whether or not there is room for more.
func TestWorkersAreForgottenWithTheirLedgers(t *testing.T) {
	t.Parallel()
	const most = 10
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b := New(Options{MaxScopes: most, Terms: func(limit.Scope) Terms { return Terms{Trust: Hint} }})
	settled := make([]*Hold, 0, 3000)
	for i := range 3000 {
		now = now.Add(100 * time.Millisecond)
		lane := limit.Scope{Provider: "p", Account: "a", Model: fmt.Sprint("model-", i)}
		if h, _ := b.Reserve(now, lane, Claim{Forced: i%3 == 0}); h != nil {
			settled = append(settled, h)
		}
		if len(b.ledgers) > most || len(b.workers) > most {
			t.Fatalf("there are %d ledgers, and workers of %d models; want at most %d", len(b.ledgers), len(b.workers), most)
		}
	}
	for _, h := range settled {
		b.Settle(now, h, Use{})
	}
	now = now.Add(time.Hour)
	for i := range 2 * most {
		b.Reserve(now, limit.Scope{Provider: "p", Account: "b", Model: fmt.Sprint("late-", i)}, Claim{})
	}
	for s := range b.workers {
		if _, ok := b.ledgers[limit.Scope{Provider: "p", Account: "b", Model: s.Model}]; !ok {
			t.Errorf("the workers of %s are remembered, which has no ledger", s.Model)
		}
	}
}
