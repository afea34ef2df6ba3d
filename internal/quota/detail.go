package quota

import (
	"time"

	"nimsidecar/internal/adapt"
)

// Confidence is how well the ceilings of a ledger are known.
type Confidence string

// The kinds of confidence.
const (
	Told      Confidence = "told"      // somebody said so, and nothing was refused yet
	Learning  Confidence = "learning"  // nothing is known, or more is being looked for
	Suspected Confidence = "suspected" // a longer window seems to be exhausted, or was met once
	Confirmed Confidence = "confirmed" // an attempt beyond it was refused
)

// Detail is a LedgerView with what stands behind its figures.
type Detail struct {
	LedgerView
	Origins    []Origin   // of each of its Windows, in the same order
	Confidence Confidence // in its ceilings
	Burst      int        // how many may leave at once; 0 = nothing is known of it
	Running    int        // attempts that are under way on the model
	Workers    int        // how many of them run at once; 0 = no bound is known

	// Ceiling is how many attempts a minute are known to be allowed, and Told how many the terms speak of; 0 = none.
	Ceiling, Told float64
}

// Origin is where the size of a window came from.
type Origin struct {
	Learned bool // else told
	Told    int  // what the terms say; 0 = nothing
}

// Details returns all ledgers, in the order of Snapshot.
func (b *Book) Details(now time.Time) []Detail {
	views := b.Snapshot(now)
	all := make([]Detail, 0, len(views))
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, v := range views {
		if l := b.ledgers[v.Scope]; l != nil {
			all = append(all, l.detail(now))
		}
	}
	return all
}

func (l *ledger) detail(now time.Time) Detail {
	d := Detail{LedgerView: l.view(now), Confidence: l.confidence(), Told: l.terms.Rates.PerMinute(), Ceiling: l.terms.Rates.PerMinute()}
	for i := range l.windows {
		if w := &l.windows[i]; w.cap(l.law, false) != unlimited {
			d.Origins = append(d.Origins, Origin{Learned: w.role != told, Told: w.rate.N})
		}
	}
	if l.workers != nil {
		d.Running = l.workers.Running()
		if n := l.workers.Ceiling(); n != unlimited {
			d.Workers = n
		}
	}
	if l.law == nil {
		for _, r := range l.terms.Rates {
			d.Burst = lesser(d.Burst, l.terms.burst(r.N))
		}
		return d
	}
	d.Burst = l.law.Burst()
	if n := l.law.Ceiling(); n != unlimited {
		for i := range l.windows {
			if w := &l.windows[i]; w.role == primary {
				d.Ceiling = float64(n) * float64(time.Minute) / float64(w.rate.Period)
			}
		}
	}
	return d
}

// confidence says how well the ceilings are known.
func (l *ledger) confidence() Confidence {
	if l.law == nil {
		return Told
	}
	view, memory := l.law.View(), l.law.Remember()
	for _, long := range memory.Long {
		if long.Tentative {
			return Suspected
		}
	}
	switch {
	case view.Suspect != 0:
		return Suspected
	case view.Ceiling == adapt.Unknown:
		return Learning
	case memory.Cold:
		return Told
	case view.Phase != "steady":
		return Learning
	}
	return Confirmed
}
