package quota

import (
	"time"

	"nimsidecar/internal/adapt"
)

// Summary is what was learned of a provider, over all its ledgers.
type Summary struct {
	Ledgers int // with a law

	// Rate is what pacing now uses, in attempts a minute, of the scopes that have a ceiling: of each account no more than its own.
	Rate float64

	// Ceilings are the smallest confirmed ceilings of the windows that are learned (a minute, as a rule), of an hour and of a day; 0 = none is
	// known.
	Ceilings [1 + adapt.LongCount]int

	States   [adapt.StateCount]int // ledgers in each state
	Credit   float64               // the smallest
	Burst    int                   // the smallest
	InFlight int                   // the smallest ceiling of what runs at once on a model, 0 = none is known
	Probes   adapt.Probes          // of all
	Models   uint64                // refusals put down to a model
	Accounts uint64                // and to an account
}

// Worst returns the worst state of a ledger: RETREAT, then RECOVER.
func (s *Summary) Worst() adapt.State {
	for _, state := range [...]adapt.State{adapt.Retreat, adapt.Recover} {
		if s.States[state] > 0 {
			return state
		}
	}
	return adapt.Normal
}

// Summary returns what was learned of a provider.
func (b *Book) Summary(provider string) Summary {
	b.mu.Lock()
	defer b.mu.Unlock()
	var s Summary
	if gone := b.gone[provider]; gone != nil {
		s = *gone
	}
	perAccount := map[string]rates{}
	for scope, l := range b.ledgers {
		if scope.Provider == provider && l.law != nil {
			s.add(l)
			perAccount[scope.Account] = perAccount[scope.Account].with(l)
		}
	}
	for _, r := range perAccount {
		s.Rate += r.together()
	}
	for scope, w := range b.workers {
		if n := w.Ceiling(); scope.Provider == provider && n != unlimited {
			s.InFlight = lesser(s.InFlight, n)
		}
	}
	return s
}

// remember keeps the counts of a ledger that is dropped: they must not fall.
func (b *Book) remember(l *ledger) {
	if l.law == nil {
		return
	}
	if b.gone[l.scope.Provider] == nil {
		b.gone[l.scope.Provider] = new(Summary)
	}
	b.gone[l.scope.Provider].count(l, l.law.View())
}

// count adds what only grows.
func (s *Summary) count(l *ledger, v adapt.View) {
	s.Probes.Raised += v.Probes.Raised
	s.Probes.Confirmed += v.Probes.Confirmed
	s.Probes.Idle += v.Probes.Idle
	if l.scope.WholeAccount() {
		s.Accounts += l.blamed
	} else {
		s.Models += l.blamed
	}
}

func (s *Summary) add(l *ledger) {
	v := l.law.View()
	s.count(l, v)
	s.States[v.State]++
	if s.Ledgers == 0 || v.Credit < s.Credit {
		s.Credit = v.Credit
	}
	s.Burst = lesser(s.Burst, v.Burst)
	s.Ledgers++
	for i, n := range [...]int{v.Ceiling, v.Long[adapt.Hour], v.Long[adapt.Day]} {
		if n != unlimited {
			s.Ceilings[i] = lesser(s.Ceilings[i], n)
		}
	}
}

// rates is how many attempts a minute the ledgers of one account allow; 0 = they have no ceiling.
type rates struct{ models, account float64 }

// with returns the rates with those of one more ledger.
func (r rates) with(l *ledger) rates {
	n := l.law.Cap(true)
	if n == unlimited {
		return r
	}
	for i := range l.windows {
		if w := &l.windows[i]; w.role == primary {
			rate := float64(n) * float64(time.Minute) / float64(w.span)
			if l.scope.WholeAccount() {
				r.account = rate
			} else {
				r.models += rate
			}
		}
	}
	return r
}

// together returns what all of them allow.
func (r rates) together() float64 { return lesser(r.models, r.account) }

// lesser returns the smaller of two numbers of which 0 says nothing.
func lesser[T int | float64](a, b T) T {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
