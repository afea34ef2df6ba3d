package quota

import (
	"time"

	"nimsidecar/internal/adapt"
	"nimsidecar/internal/limit"
)

// workers is what runs on one model of a provider, whichever account pays for it, and how much of that its workers take at once. Nil
// bounds nothing and learns nothing.
type workers struct{ adapt.InFlight }

// next returns whether one more may be sent now, and if not, when; no clock tells when one that runs has to end first.
func (w *workers) next(now time.Time) (Readiness, bool) {
	if w == nil {
		return Readiness{}, true
	}
	switch at, shut := w.Ready(now); {
	case shut:
		return Readiness{}, false
	case at.After(now):
		return Readiness{At: at, Paused: true}, false
	}
	return Readiness{}, true
}

// start counts one that is sent, and returns how many run with it.
func (w *workers) start() int {
	if w == nil {
		return 0
	}
	return w.Start()
}

// done counts one that has ended.
func (w *workers) done() {
	if w != nil {
		w.Done()
	}
}

// accepted says that one was taken beside which so many ran.
func (w *workers) accepted(beside int) {
	if w != nil {
		w.Accepted(beside)
	}
}

// busy says that one was not.
func (w *workers) busy(now time.Time, beside int) {
	if w != nil {
		w.Busy(now, beside)
	}
}

// workersOf returns what runs on the model of a new ledger: that of the other accounts' ledgers, if there are any.
func (b *Book) workersOf(l *ledger) *workers {
	if l.law == nil || l.scope.WholeAccount() || l.scope.Model == limit.NoModel {
		return nil
	}
	if w := b.workers[crew(l.scope)]; w != nil {
		return w
	}
	return new(workers)
}

// crew is the scope that the workers of a model are known by: they do not care for accounts.
func crew(s limit.Scope) limit.Scope { return limit.Scope{Provider: s.Provider, Model: s.Model} }

// add gives a new ledger its place in the book.
func (b *Book) add(l *ledger) {
	b.ledgers[l.scope] = l
	if l.workers != nil {
		b.workers[crew(l.scope)] = l.workers
	}
}

// sweep drops the ledgers that are idle, and the workers of models that are not used any more.
func (b *Book) sweep(now time.Time) {
	used := map[*workers]bool{}
	for s, l := range b.ledgers {
		if l.idle(now) {
			b.remember(l)
			delete(b.ledgers, s)
		} else {
			used[l.workers] = true
		}
	}
	for s, w := range b.workers {
		if !used[w] && w.Idle(now) {
			delete(b.workers, s)
		}
	}
}
