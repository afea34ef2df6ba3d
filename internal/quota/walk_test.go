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
)

// walk is a book in an arbitrary world: whatever the upstream says, what left is counted.
type walk struct {
	*testing.T
	book  *quota.Book
	rng   *rand.Rand
	now   time.Time
	told  limits
	most  int // how often what was told may be charged
	lanes []limit.Scope
	air   []*charge // without an end
	left  []*charge // that count, or may count
	mood  mood
}

// mood is how likely each verdict is, of a hundred; the rest are successes.
type mood struct{ refused, asked, broken, busy, cut, unwritten int }

var moods = []mood{
	{},
	{}, // all is well
	{refused: 100},
	{refused: 50, asked: 20, broken: 5},
	{refused: 3, broken: 3, cut: 3, unwritten: 3},
	{broken: 60, cut: 20, unwritten: 20},
	{busy: 30, refused: 5},
	{asked: 90, unwritten: 5},
}

func newWalk(t *testing.T, told limits, trust quota.Trust, seed uint64) *walk {
	w := &walk{
		T: t, book: learning(told, trust), rng: rand.New(rand.NewPCG(seed, 11)), now: start, told: told, most: 1,
		lanes: []limit.Scope{lane("a", "m"), lane("a", "n"), lane("b", "m")},
	}
	if trust == quota.Hint {
		w.most = 4
	}
	return w
}

// calm ends what is under way, successfully.
func (w *walk) calm() {
	for w.mood = (mood{}); len(w.air) > 0; w.air = w.air[1:] {
		w.finish(w.air[0])
	}
}

// step does one random thing.
func (w *walk) step() {
	if w.rng.IntN(300) == 0 {
		w.mood = moods[w.rng.IntN(len(moods))]
	}
	switch choice := w.rng.IntN(20); {
	case choice < 11:
		w.ask(w.lanes[w.rng.IntN(len(w.lanes))], quota.Claim{
			Urgent: choice == 0, High: choice == 1, Probe: choice%2 == 0, Forced: w.rng.IntN(40) == 0,
		})
	case choice < 19 && len(w.air) > 0:
		i := w.rng.IntN(len(w.air))
		c := w.air[i]
		w.air[i] = w.air[len(w.air)-1]
		w.air = w.air[:len(w.air)-1]
		w.finish(c)
	default:
		w.now = w.now.Add(time.Duration(w.rng.ExpFloat64() * float64(2*time.Second)))
	}
}

// ask asks for a slot, and mostly comes back when it is told to.
func (w *walk) ask(l limit.Scope, c quota.Claim) {
	h, r := w.book.Reserve(w.now, l, c)
	if h == nil {
		if !r.At.IsZero() && !r.At.After(w.now) {
			w.Fatalf("Reserve(%v, %v, %+v) = nil, %v; want a later time or none", w.now.Sub(start), l, c, r.At.Sub(start))
		}
		if !r.At.IsZero() && w.rng.IntN(4) > 0 {
			w.now = r.At
		}
		return
	}
	a := &charge{lane: l, hold: h, reserved: w.now}
	w.air = append(w.air, a)
	w.left = append(slices.DeleteFunc(w.left, func(c *charge) bool {
		return c.over || !c.sent.IsZero() && w.now.Sub(c.sent) > time.Hour+pace.Margin(time.Hour)
	}), a)
	if !c.Forced {
		w.check(l)
	}
	if w.rng.IntN(10) > 0 {
		w.book.Sent(w.now, h)
		a.sent = w.now
	}
}

// finish ends an attempt as the mood has it.
func (w *walk) finish(c *charge) {
	p, m := w.rng.IntN(100), w.mood
	o := served
	for _, of := range []struct {
		share   int
		outcome hint.Outcome
	}{
		{m.refused, refusal},
		{m.asked, ask(float64(w.rng.IntN(100)))},
		{m.broken, broken},
		{m.busy, exhausted},
		{m.cut, hint.Failed(hint.FaultReset)},
		{m.unwritten, cancelled},
	} {
		if p -= of.share; p < 0 {
			o = of.outcome
			break
		}
	}
	if o.Class != hint.Cancelled {
		w.book.Observe(w.now, c.hold, o)
	}
	written := o.Class != hint.Cancelled || !c.sent.IsZero()
	w.book.Settle(w.now, c.hold, quota.Use{Written: written})
	switch {
	case !written:
		c.over = true // given back
	case c.sent.IsZero():
		c.sent = w.now
	}
}

// check fails if more is charged than a window may hold.
func (w *walk) check(l limit.Scope) {
	for _, s := range []limit.Scope{l, l.AccountScope()} {
		for _, r := range w.told.rates(s) {
			if got := w.counted(s, r.Period); got > w.most*r.N {
				w.Fatalf("at %v %v has %d charges in %v; want at most %d times %d", w.now.Sub(start), s, got, r.Period, w.most, r.N)
			}
		}
	}
}

// counted returns how many charges of a scope count in a period at present.
func (w *walk) counted(s limit.Scope, period time.Duration) (n int) {
	span := period + pace.Margin(period)
	for _, c := range w.left {
		if (c.lane == s || c.lane.AccountScope() == s) && !c.over && (c.sent.IsZero() || c.sent.Add(span).After(w.now)) {
			n++
		}
	}
	return n
}

// A promise is kept and a hint is exceeded four times at most, whatever the upstream says: nothing is granted, unless it is forced, that
// would make more charges count than that, in any of the windows that somebody told of, of the model or of its account.
func TestNoVerdictsLeadBeyondWhatWasTold(t *testing.T) {
	t.Parallel()
	for _, told := range []limits{{"m": "6-S,10-M,100-H", "n": "8-M", "": "15-M,120-H"}, {"*": "5-M"}} {
		for name, trust := range trusts() {
			t.Run(name+" "+told["*"], func(t *testing.T) {
				t.Parallel()
				for seed := range uint64(10) {
					w := newWalk(t, told, trust, seed)
					for range 3000 {
						w.step()
					}
				}
			})
		}
	}
}

// Whatever the upstream has said, a lane on which nothing is under way has room again within a day, the longest window there is.
func TestNoVerdictsCloseALaneForGood(t *testing.T) {
	t.Parallel()
	for name, trust := range trusts() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(40) {
				w := newWalk(t, limits{"*": "10-M"}, trust, seed)
				for range 1000 {
					w.step()
				}
				w.calm()
				for _, l := range w.lanes {
					line := &line{T: t, book: w.book, lane: l, now: w.now}
					if got := line.wait(ordinary); got > 24*time.Hour+10*time.Minute {
						t.Errorf("seed %d: %v has room after %v; want it within a day", seed, l, got)
					}
				}
			}
		})
	}
}

// An upstream that refuses at random leaves ceilings of the model and of its account that are both too low. While only the one model is
// used nothing tells which of the two is right, and each stands in the way of the other's probes. Both must rise all the same.
func TestTwoCeilingsThatBindTogetherBothRise(t *testing.T) {
	t.Parallel()
	const want = 590 // an hour, of 10 in each 60.5 s
	low := 0
	for seed := range uint64(16) {
		w := newWalk(t, limits{"*": "10-M"}, quota.Promise, seed)
		w.lanes = w.lanes[:2] // of one account
		for w.now.Before(second(5 * 3600)) {
			w.mood = mood{refused: 20}
			w.step()
		}
		w.calm()
		model, account := view(w.book, w.now, lane("a", "m")), view(w.book, w.now, lane("a", ""))
		if len(model.Windows) != 1 || len(account.Windows) != 1 || max(model.Windows[0].Rate.N, account.Windows[0].Rate.N) > 5 {
			continue // one of the two is known to take much, or an hour is suspected: that is another story
		}
		low++
		l := &line{T: t, book: w.book, lane: lane("a", "m"), now: w.now}
		l.until(w.now.Add(25*time.Hour), quota.Claim{Probe: true})
		if got := l.between(l.now.Add(-time.Hour), l.now); got < want {
			t.Errorf("seed %d: from ceilings of %v and %v, after a day of success %d are sent in an hour; want %d",
				seed, model.Windows[0].Rate, account.Windows[0].Rate, got, want)
		}
	}
	if low < 3 {
		t.Errorf("%d walks ended with two low ceilings; want at least 3, or the test shows nothing", low)
	}
}
