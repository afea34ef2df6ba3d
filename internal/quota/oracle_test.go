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

// oracle is the book as its contract says it, by brute force: it keeps every charge for ever and looks at all of them.
type oracle struct {
	terms   func(limit.Scope) quota.Terms
	charges []*charge
}

// allows reports whether every window of a lane has room at a time, if nothing happens until then.
func (o *oracle) allows(at time.Time, l limit.Scope) bool {
	for _, s := range []limit.Scope{l, l.AccountScope()} {
		for _, r := range o.terms(s).Rates {
			used := 0
			for _, c := range o.of(s) {
				if c.sent.IsZero() || c.sent.Add(r.Period+pace.Margin(r.Period)).After(at) {
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

// world is a book and its oracle.
type world struct {
	*testing.T
	rng  *rand.Rand
	book *quota.Book
	oracle
	now time.Time
}

// reserve asks both, and compares what they say.
func (w *world) reserve(l limit.Scope) {
	before := w.book.Snapshot(w.now)
	hold, r := w.book.Reserve(w.now, l, one)
	if want := w.allows(w.now, l); (hold != nil) != want {
		w.Fatalf("Reserve(%v, %v) granted: %t; want %t", w.now.Sub(start), l, hold != nil, want)
	}
	if hold != nil {
		w.charges = append(w.charges, &charge{lane: l, hold: hold, reserved: w.now})
		return
	}
	if diff := cmp.Diff(before, w.book.Snapshot(w.now)); diff != "" {
		w.Fatalf("a failed Reserve changed the ledgers (-before +after):\n%s", diff)
	}
	switch never := !w.allows(w.now.Add(100*time.Hour), l); {
	case r.At.IsZero() != never:
		w.Fatalf("Readiness(%v, %v) = %v; want an event only: %t", w.now.Sub(start), l, r.At, never)
	case never:
	case !w.allows(r.At, l), w.allows(r.At.Add(-1), l):
		w.Fatalf("Readiness(%v, %v) = %v, which is not the first time with room", w.now.Sub(start), l, r.At.Sub(start))
	case w.rng.IntN(2) == 0:
		w.now = r.At // to the very moment
	}
}

// step does one random thing.
func (w *world) step(lanes []limit.Scope) {
	opened := w.opened()
	var c *charge
	if len(opened) > 0 {
		c = opened[w.rng.IntN(len(opened))]
	}
	switch choice := w.rng.IntN(10); {
	case choice < 5 || c == nil:
		w.reserve(lanes[w.rng.IntN(len(lanes))])
	case choice < 7:
		w.book.Sent(w.now, c.hold)
		c.sent = w.now
	case choice == 7:
		w.book.Observe(w.now, c.hold, hint.Failed(hint.FaultReset)) // says nothing about quota
		w.book.Settle(w.now, c.hold, quota.Use{Written: true})
		c.sent, c.over = w.now, true
	case choice == 8 && c.reserved.Equal(w.now): // a later one does not get back all of its spacing
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
	for seed := range uint64(8) {
		w := &world{T: t, rng: rand.New(rand.NewPCG(seed, 5)), book: newBook(l), oracle: oracle{terms: l.terms}, now: start}
		for range 500 {
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
