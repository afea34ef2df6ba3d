package quota

import (
	"cmp"
	"slices"
	"time"

	"nimsidecar/internal/adapt"
	"nimsidecar/internal/limit"
)

// LedgerView is a ledger at one moment.
type LedgerView struct {
	Scope   limit.Scope  // what it is for
	Rates   limit.Rates  // what must hold; not to be changed
	Windows []WindowView // those that are limited at present; of fixed terms one a rate, in the same order

	PausedUntil time.Time // by the upstream's refusal; zero when it is not paused
	LastRefusal time.Time // zero when there was none
	Refusals    uint64    // how many attempts the upstream refused, whoever was blamed; an account's are those of its models

	State adapt.State // NORMAL where nothing is learned

	Charged  uint64 // how many slots were ever taken
	Refunded uint64 // and how many of them given back
}

// WindowView is one window of a ledger at one moment.
type WindowView struct {
	Rate   limit.Rate // as told, or as learned
	Used   int        // charges in it; more than Rate.N only where some are forced, or where the ceiling has just fallen
	Resets time.Time  // when it will be empty if nothing is added
}

// free returns how many more slots the windows hold, disregarding how they are spaced: none while the ledger is paused,
// unlimited when there is no window.
func (v *LedgerView) free() int {
	free := unlimited
	for _, w := range v.Windows {
		free = min(free, max(0, w.Rate.N-w.Used))
	}
	if !v.PausedUntil.IsZero() {
		free = 0
	}
	return free
}

// Tokens returns how many slots of a provider could be taken now by the scopes that have a ledger: what the windows of its models
// hold, and of one account no more than the account's own windows do. Models without any limit do not count.
func (b *Book) Tokens(now time.Time, provider string) float64 {
	var account limit.Scope
	left, total := 0, 0
	for _, v := range b.Snapshot(now) {
		if v.Scope.AccountScope() != account {
			account, left = v.Scope.AccountScope(), unlimited
		}
		switch free := min(left, v.free()); {
		case v.Scope.WholeAccount():
			left = free
		case v.Scope.Provider == provider && free != unlimited:
			total += free
			if left != unlimited {
				left -= free
			}
		}
	}
	return float64(total)
}

// Snapshot returns all ledgers, sorted by provider, account and model, so that an account comes before its models.
func (b *Book) Snapshot(now time.Time) []LedgerView {
	b.mu.Lock()
	views := make([]LedgerView, 0, len(b.ledgers))
	for _, l := range b.ledgers {
		views = append(views, l.view(now))
	}
	b.mu.Unlock()
	slices.SortFunc(views, func(x, y LedgerView) int {
		return cmp.Or(cmp.Compare(x.Scope.Provider, y.Scope.Provider),
			cmp.Compare(x.Scope.Account, y.Scope.Account), cmp.Compare(x.Scope.Model, y.Scope.Model))
	})
	return views
}

func (l *ledger) view(now time.Time) LedgerView {
	v := LedgerView{
		Scope: l.scope, Rates: l.terms.Rates,
		LastRefusal: l.lastRefusal, Refusals: l.refusals, Charged: l.charged, Refunded: l.refunded,
	}
	for i := range l.windows {
		w := &l.windows[i]
		if n := w.cap(l.law, false); n != unlimited {
			v.Windows = append(v.Windows, WindowView{
				Rate: limit.Rate{N: n, Period: w.rate.Period}, Used: w.log.Used(now), Resets: w.log.Resets(now),
			})
		}
	}
	if l.brake.until.After(now) {
		v.PausedUntil = l.brake.until
	}
	if l.law != nil {
		if at, shut := l.law.Ready(now); !shut && at.After(now) {
			v.PausedUntil = at
		}
		v.State = l.law.State()

	}
	return v
}
