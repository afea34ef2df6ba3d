package quota_test

import (
	"fmt"
	"testing"
	"time"

	"nimsidecar/internal/adapt"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/quota"
)

// crowded returns a book and five requests that run on one model, three for one account and two for another, after the last was told that
// the workers are busy.
func crowded(t *testing.T) (b *quota.Book, running []*quota.Hold) {
	t.Helper()
	b = learning(limits{"*": "40-M"}, quota.Hint)
	for _, account := range []string{"a", "a", "a", "b", "b"} {
		running = append(running, send(t, b, start, lane(account, "m")))
	}
	last := running[4]
	b.Observe(second(1), last, exhausted)
	b.Settle(second(1), last, quota.Use{Written: true})
	return b, running[:4]
}

func TestBusyWorkersBoundWhatRunsOnTheModelForAllAccounts(t *testing.T) {
	t.Parallel()
	b, running := crowded(t)
	for _, account := range []string{"a", "b", "c"} {
		wantReadiness(t, b, second(1.5), lane(account, "m"), quota.Readiness{At: second(2), Paused: true})
		wantReadiness(t, b, second(2), lane(account, "m"), quota.Readiness{}) // only the end of one that runs will tell
	}
	b.Observe(second(3), running[0], served)
	b.Settle(second(3), running[0], quota.Use{Written: true})
	h := reserve(t, b, second(3), lane("b", "m"))
	wantReadiness(t, b, second(3), lane("a", "m"), quota.Readiness{})
	b.Settle(second(4), h, quota.Use{}) // it was never sent
	reserve(t, b, second(4), lane("a", "m"))
	wantReadiness(t, b, second(4), lane("b", "m"), quota.Readiness{})
}

func TestBusyWorkersBoundNothingElse(t *testing.T) {
	t.Parallel()
	b, _ := crowded(t)
	for range 4 { // more than run on the model now
		reserve(t, b, second(2), lane("a", "n"))
		reserve(t, b, second(2), limit.Scope{Provider: "q", Account: "a", Model: "m"})
	}
	for _, account := range []string{"a", "b"} {
		if v := view(b, second(2), lane(account, "m")); v.State != adapt.Normal || v.Windows[0].Rate.N != 40 || !v.PausedUntil.IsZero() {
			t.Errorf("%v: %v, %v, paused until %v; want NORMAL, 40-M and no pause: it says nothing of the rate", v.Scope, v.State, v.Windows[0].Rate, v.PausedUntil)
		}
	}
	if h, _ := b.Reserve(second(2), lane("a", "m"), quota.Claim{Forced: true}); h == nil {
		t.Error("a forced claim was refused; want a hold")
	}
}

// Requests that name no model are of any.
func TestBusyWorkersOfAnUnknownModelBoundNothing(t *testing.T) {
	t.Parallel()
	b := learning(nil, quota.Hint)
	unnamed := lane("a", limit.NoModel)
	reserve(t, b, start, unnamed)
	h := send(t, b, start, unnamed)
	b.Observe(second(1), h, exhausted)
	b.Settle(second(1), h, quota.Use{Written: true})
	for range 3 {
		reserve(t, b, second(1), unnamed)
	}
}

// A budget of refusals that grows with what is served allows one more, now and then; if that is taken, the bound rises.
func TestOneMoreIsTriedOnWorkersThatWereBusy(t *testing.T) {
	t.Parallel()
	b, running := crowded(t)
	for _, h := range running[1:] {
		b.Settle(second(2), h, quota.Use{Written: true})
	}
	now := second(2)
	for range 400 {
		now = now.Add(2 * time.Second)
		h := reserve(t, b, now, lane("a", "m"))
		b.Observe(now, h, served)
		b.Settle(now, h, quota.Use{Written: true})
	}
	for range 4 { // with the one that is left, one more than the workers once took
		now = now.Add(2 * time.Second)
		b.Observe(now, reserve(t, b, now, lane("b", "m")), served)
	}
	if got := b.Summary("p").InFlight; got != 5 {
		t.Errorf("InFlight = %d; want 5", got)
	}
}

func TestWhatBusyWorkersTaughtIsForgottenAfterAWhile(t *testing.T) {
	t.Parallel()
	b, _ := crowded(t)
	wantReadiness(t, b, second(1+30*60), lane("a", "m"), quota.Readiness{})
	if got := b.Summary("p").InFlight; got != 4 {
		t.Errorf("InFlight = %d; want 4", got)
	}
	reserve(t, b, second(2+30*60), lane("a", "m"))
}

// A book that is full drops what is not used. What was refused is worth remembering for a day, the counts for ever.
func TestALedgerThatWasRefusedIsKeptForADay(t *testing.T) {
	t.Parallel()
	b := quota.New(quota.Options{MaxScopes: 4, Terms: func(s limit.Scope) quota.Terms {
		return quota.Terms{Rates: limits{"*": "40-M"}.rates(s), Trust: quota.Hint, PerModel: true}
	}})
	refuse(t, b, 0, lane("a", "m"), refusal)
	before := b.Summary("p")
	for half := range 60 {
		now := second(1800 * float64(half+1))
		send(t, b, now, lane("a", fmt.Sprint("model-", half)))
		kept := view(b, now, lane("a", "m")).Refusals == 1
		if age := now.Sub(start); kept != (age < 24*time.Hour) {
			t.Fatalf("after %v the ledger that was refused is kept: %t; want it kept for a day", age, kept)
		}
		if got := len(b.Snapshot(now)); got > 4 {
			t.Fatalf("there are %d ledgers; want 4 at most", got)
		}
	}
	if after := b.Summary("p"); after.Models != before.Models || before.Models != 1 {
		t.Errorf("Models = %d, and %d when the ledger is dropped; want 1 and 1", before.Models, after.Models)
	}
}

// While a request is being written its verdict is news, however little is known of the limit.
func TestALedgerIsNotDroppedWhileARequestIsWritten(t *testing.T) {
	t.Parallel()
	b := quota.New(quota.Options{MaxScopes: 4, Terms: func(limit.Scope) quota.Terms { return quota.Terms{Trust: quota.Hint} }})
	h := reserve(t, b, start, lane("a", "m"))
	for i := range 5 {
		send(t, b, second(300*float64(i+1)), lane("a", fmt.Sprint("model-", i)))
	}
	b.Observe(second(2000), h, refusal)
	if got := view(b, second(2000), lane("a", "m")).Refusals; got != 1 {
		t.Errorf("Refusals = %d; want the ledger to know of the refusal", got)
	}
}
