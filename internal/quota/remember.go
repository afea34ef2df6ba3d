package quota

import (
	"encoding/json"
	"slices"
	"time"

	"nimsidecar/internal/adapt"
	"nimsidecar/internal/limit"
)

// Learned returns what was learned since the last call, for a later Restore. It calls no one, and takes long only where much has changed.
func (b *Book) Learned(now time.Time) []Learned {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []Learned
	for _, l := range b.ledgers {
		if l.law == nil || l.law.Version() == l.remembered {
			continue
		}
		l.remembered = l.law.Version()
		state, err := json.Marshal(l.law.Remember())
		if err != nil {
			continue // a NaN, which no law makes
		}
		all = append(all, Learned{Scope: l.scope, Saved: now, State: state})
	}
	return all
}

// Restore takes over what an earlier process knew, at its start, before anything is reserved. Charges without an end count as sent now,
// the latest moment at which the earlier process can have sent them. Where charges may be missing, every window that is known counts as
// filled evenly until now. What cannot be read is passed over.
func (b *Book) Restore(now time.Time, m Memory) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, learned := range m.Learned {
		var state adapt.Memory
		l := b.ledgerFor(learned.Scope)
		if l == nil || l.law == nil || json.Unmarshal(learned.State, &state) != nil {
			continue
		}
		l.law.Restore(now, state)
		l.remembered = l.law.Version()
	}
	charges := slices.Clone(m.Charges)
	for i := range charges {
		if charges[i].Open || charges[i].At.After(now) {
			charges[i].At = now
		}
	}
	slices.SortStableFunc(charges, func(a, b Charge) int { return a.At.Compare(b.At) })
	for _, c := range charges {
		for _, s := range [...]limit.Scope{c.Scope, c.Scope.AccountScope()} {
			if l := b.ledgerFor(s); l != nil {
				l.restore(now, c.At)
			}
		}
	}
	b.lost = m.Lost
	if b.lost {
		for _, l := range b.ledgers {
			l.fill(now)
		}
	}
	b.restored = now
}

// ledgerFor returns the ledger of a scope, made if it is new; nil when there is no place for it.
func (b *Book) ledgerFor(s limit.Scope) *ledger {
	l := b.ledgers[s]
	if l == nil && len(b.ledgers) < b.maxScopes {
		l = b.newLedger(s)
		b.add(l)
	}
	return l
}

// restore adds a charge of an earlier process.
func (l *ledger) restore(now, at time.Time) {
	for i := range l.windows {
		l.windows[i].log.Restore(now, at, 1)
	}
}

// fill adds as many charges as the windows hold, evenly over the time in which they count: what an earlier process may have sent at most.
func (l *ledger) fill(now time.Time) {
	for i := range l.windows {
		w := &l.windows[i]
		n := w.cap(l.law, false)
		if n == unlimited {
			continue
		}
		missing := n - w.log.Used(now)
		if missing <= 0 {
			continue
		}
		w.log = w.empty()
		pieces := min(n, fineGrain)
		for piece := range pieces {
			at := now.Add(-w.span + w.span*time.Duration(piece+1)/time.Duration(pieces))
			w.log.Restore(now, at, n*(piece+1)/pieces-n*piece/pieces)
		}
	}
}
