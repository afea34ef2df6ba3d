package quota_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/pace"
	"nimsidecar/internal/quota"

	"github.com/google/go-cmp/cmp"
)

// charge is what the oracle remembers of a slot.
type charge struct {
	lane     limit.Scope
	hold     *quota.Hold
	reserved time.Time
	sent     time.Time // zero while it is open
	over     bool
}

// oracle is the capacity of a book as its contract says it, by brute force: it keeps every charge for ever and looks at all of them.
// How the slots are shared out it does not know.
type oracle struct {
	terms   func(limit.Scope) quota.Terms
	charges []*charge
}

// grain is what a window of a period may forget later than it could, so that its log stays short.
func grain(period time.Duration) time.Duration {
	if period > time.Minute {
		return period / 240
	}
	return period / 6000
}

// allows reports whether every window of a lane has room at a time, if nothing happens until then. To a strict one each charge counts
// for no longer than it must, to one that is not for as long as it may.
func (o *oracle) allows(at time.Time, l limit.Scope, strict bool) bool {
	for _, s := range []limit.Scope{l, l.AccountScope()} {
		for _, r := range o.terms(s).Rates {
			counts := r.Period + pace.Margin(r.Period)
			if !strict {
				counts += grain(r.Period)
			}
			used := 0
			for _, c := range o.of(s) {
				if c.sent.IsZero() || c.sent.Add(counts).After(at) {
					used++
				}
			}
			if used >= r.N {
				return false
			}
		}
	}
	return true
}

// of returns the charges of a scope.
func (o *oracle) of(s limit.Scope) (charges []*charge) {
	for _, c := range o.charges {
		if c.lane == s || c.lane.AccountScope() == s {
			charges = append(charges, c)
		}
	}
	return charges
}

// opened returns the open charges that are not over.
func (o *oracle) opened() []*charge {
	return slices.DeleteFunc(slices.Clone(o.charges), func(c *charge) bool { return !c.sent.IsZero() || c.over })
}

// longest returns how long a charge may count on a lane, and how much later than it could it may be forgotten.
func (o *oracle) longest(l limit.Scope) (longest, coarsest time.Duration) {
	for _, s := range []limit.Scope{l, l.AccountScope()} {
		for _, r := range o.terms(s).Rates {
			coarsest = max(coarsest, grain(r.Period))
			longest = max(longest, r.Period+pace.Margin(r.Period)+grain(r.Period))
		}
	}
	return longest, coarsest
}

// world is a book and its oracle.
type world struct {
	*testing.T
	rng  *rand.Rand
	book *quota.Book
	oracle
	now time.Time
}

// ask asks for a slot. It fails if there is more than the oracle allows, or if a refusal leaves a trace.
func (w *world) ask(l limit.Scope, c quota.Claim) (granted bool, r quota.Readiness) {
	before := w.book.Snapshot(w.now)
	hold, r := w.book.Reserve(w.now, l, c)
	if hold != nil {
		if !w.allows(w.now, l, true) {
			w.Fatalf("Reserve(%v, %v, %+v) granted a slot that no window has", w.now.Sub(start), l, c)
		}
		w.charges = append(w.charges, &charge{lane: l, hold: hold, reserved: w.now})
		return true, r
	}
	if diff := cmp.Diff(before, w.book.Snapshot(w.now)); diff != "" {
		w.Fatalf("a failed Reserve changed the ledgers (-before +after):\n%s", diff)
	}
	if !r.At.IsZero() && !r.At.After(w.now) {
		w.Fatalf("Reserve(%v, %v, %+v) = nil, %v; want a later time or none", w.now.Sub(start), l, c, r.At.Sub(start))
	}
	return false, r
}

// urgent asks for a slot that is there whenever the capacity is, and for the time at which it will be.
func (w *world) urgent(l limit.Scope) {
	granted, r := w.ask(l, one)
	if !granted && w.allows(w.now, l, false) {
		w.Fatalf("Reserve(%v, %v) of an urgent claim = nil, %v; want a slot: every window has room", w.now.Sub(start), l, r.At.Sub(start))
	}
	if granted {
		return
	}
	_, coarsest := w.longest(l)
	switch never := !w.allows(w.now.Add(100*time.Hour), l, true); {
	case r.At.IsZero() != never:
		w.Fatalf("Readiness(%v, %v) = %v; want an event only: %t", w.now.Sub(start), l, r.At, never)
	case never:
	case !w.allows(r.At, l, true), w.allows(r.At.Add(-coarsest-1), l, true):
		w.Fatalf("Readiness(%v, %v) = %v, which is not the first time with room", w.now.Sub(start), l, r.At.Sub(start))
	case w.rng.IntN(2) == 0:
		w.now = r.At // to the very moment
	}
}

// patient asks for a slot that must keep an even distance and leave some for urgent ones. If it is determined to have it, it comes back
// whenever it is told to: then it must have it when all that is charged now has left, at the latest.
func (w *world) patient(l limit.Scope, c quota.Claim) {
	determined := w.rng.IntN(2) == 0
	longest, _ := w.longest(l)
	for latest := w.now.Add(longest); ; {
		granted, r := w.ask(l, c)
		if granted || !determined || r.At.IsZero() {
			return
		}
		if r.At.After(latest) {
			w.Fatalf("Reserve(%v, %v, %+v) = nil, %v; want a slot by %v", w.now.Sub(start), l, c, r.At.Sub(start), latest.Sub(start))
		}
		w.now = r.At
	}
}

// step does one random thing.
func (w *world) step(lanes []limit.Scope) {
	opened := w.opened()
	var c *charge
	if len(opened) > 0 {
		c = opened[w.rng.IntN(len(opened))]
	}
	l := lanes[w.rng.IntN(len(lanes))]
	switch choice := w.rng.IntN(12); {
	case choice < 4 || c == nil:
		w.urgent(l)
	case choice < 7:
		w.patient(l, quota.Claim{High: choice == 4, Probe: choice == 5})
	case choice < 9:
		w.book.Sent(w.now, c.hold)
		c.sent = w.now
	case choice == 9:
		w.book.Observe(w.now, c.hold, hint.Failed(hint.FaultReset)) // says nothing about quota
		w.book.Settle(w.now, c.hold, quota.Use{Written: true})
		c.sent, c.over = w.now, true
	case choice == 10 && c.reserved.Equal(w.now): // a later one does not get back all of its spacing
		w.book.Settle(w.now, c.hold, quota.Use{})
		w.charges = slices.DeleteFunc(w.charges, func(other *charge) bool { return other == c })
	default:
		w.now = w.now.Add(time.Duration(w.rng.ExpFloat64() * float64(5*time.Second)))
	}
}

func TestBookAgreesWithTheOracleOnRandomWalks(t *testing.T) {
	t.Parallel()
	l := limits{"m": "3-S,8-M", "n": "5-M,60-H", "": "4-S,12-M"}
	lanes := []limit.Scope{lane("a", "m"), lane("a", "n"), lane("b", "m")}
	for seed := range uint64(6) {
		w := &world{T: t, rng: rand.New(rand.NewPCG(seed, 5)), book: newBook(l), oracle: oracle{terms: l.terms}, now: start}
		for range 400 {
			w.step(lanes)
		}
		scopes := append(slices.Clone(lanes), lane("a", ""), lane("b", ""))
		for _, s := range scopes {
			w.neverMore(s)
			v := view(w.book, w.now, s)
			if kept := len(w.of(s)); v.Charged-v.Refunded != uint64(kept) {
				t.Errorf("%v: charged %d, refunded %d; want a difference of %d", s, v.Charged, v.Refunded, kept)
			}
		}
	}
}

// neverMore checks the windows that begin at each send of a scope: the fullest ones do.
func (w *world) neverMore(s limit.Scope) {
	charges := w.of(s)
	for _, r := range w.terms(s).Rates {
		for _, from := range charges {
			inside := 0
			for _, c := range charges {
				if !c.sent.Before(from.sent) && c.sent.Before(from.sent.Add(r.Period+pace.Margin(r.Period))) {
					inside++
				}
			}
			if !from.sent.IsZero() && inside > r.N {
				w.Fatalf("%v: the window from %v holds %d sent charges; want at most %v", s, from.sent.Sub(start), inside, r)
			}
		}
	}
}
