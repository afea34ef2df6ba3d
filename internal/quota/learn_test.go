package quota_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"nimsidecar/internal/adapt"
	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/pace"
	"nimsidecar/internal/quota"
)

var (
	served    = hint.Outcome{Class: hint.OK, Status: 200}
	broken    = hint.Outcome{Class: hint.UpstreamError, Status: 500}
	exhausted = hint.Outcome{Class: hint.WorkerExhausted, Status: 503}
	cancelled = hint.Outcome{Class: hint.Cancelled}
)

// learning returns a book that learns: its models have the rates, its accounts those of the empty model, or none.
func learning(l limits, trust quota.Trust) *quota.Book {
	return quota.New(quota.Options{Seed: 7, Terms: func(s limit.Scope) quota.Terms {
		return quota.Terms{Rates: l.rates(s), Trust: trust, BurstShare: 0.5, PerModel: true}
	}})
}

// pupil is a book with one lane, and what happens to it one thing after the other.
type pupil struct {
	*testing.T
	*quota.Book
	lane  limit.Scope
	claim quota.Claim
	now   time.Time
}

func newPupil(t *testing.T, b *quota.Book) *pupil {
	return &pupil{T: t, Book: b, lane: lane("a", "m"), claim: quota.Claim{Probe: true}, now: start}
}

// send waits until an attempt may leave, and sends it.
func (p *pupil) send() *quota.Hold {
	p.Helper()
	for {
		h, r := p.Reserve(p.now, p.lane, p.claim)
		if h != nil {
			p.Sent(p.now, h)
			return h
		}
		if !r.At.After(p.now) {
			p.Fatalf("at %v Reserve = nil, %v; want a slot, now or later", p.now.Sub(start), r.At)
		}
		p.now = r.At
	}
}

// end says what an attempt came to, and settles it.
func (p *pupil) end(h *quota.Hold, o hint.Outcome) {
	p.Observe(p.now, h, o)
	p.Settle(p.now, h, quota.Use{Written: true})
}

// retreat has attempts refused until nothing leaves but canaries.
func (p *pupil) retreat() {
	p.Helper()
	for range 10 {
		p.end(p.send(), refusal)
		if p.state() == adapt.Retreat {
			return
		}
	}
	p.Fatal("ten refusals in a row led to no retreat")
}

func (p *pupil) state() adapt.State { return view(p.Book, p.now, p.lane).State }

// changes reads what was reported, as text.
func changes(b *quota.Book) (list []string) {
	for {
		select {
		case c := <-b.Changes():
			list = append(list, fmt.Sprintf("%v %v → %v: %s", c.Scope, c.From, c.To, c.Why))
		default:
			return list
		}
	}
}

func TestStatesChangeAsTheTableSaysAndAreReportedOnce(t *testing.T) {
	t.Parallel()
	p := newPupil(t, learning(limits{"*": "40-M"}, quota.Hint))
	p.end(p.send(), served)
	p.end(p.send(), refusal)
	if got := changes(p.Book); got != nil || p.state() != adapt.Normal {
		t.Errorf("after one refusal: %v, %q; want NORMAL and no change", p.state(), got)
	}
	p.end(p.send(), refusal)
	wantChanges(t, p.Book, "p/a/m NORMAL → RETREAT: two refusals in a row")
	for range 20 { // more than the canaries that are needed
		p.end(p.send(), served)
		if p.state() != adapt.Retreat {
			break
		}
	}
	wantChanges(t, p.Book, "p/a/m RETREAT → RECOVER: the upstream serves again")
	for end := p.now.Add(20 * time.Minute); p.now.Before(end) && p.state() == adapt.Recover; {
		p.end(p.send(), served)
	}
	if got := changes(p.Book); len(got) != 1 || p.state() != adapt.Normal {
		t.Errorf("while everything is served: %v, %q; want NORMAL after one change", p.state(), got)
	}
}

// wantChanges checks what was reported since the last time.
func wantChanges(t *testing.T, b *quota.Book, want ...string) {
	t.Helper()
	if got := changes(b); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("changes = %q; want %q", got, want)
	}
}

// Nobody need read the changes: what finds no place is dropped, and the ledger goes on.
func TestChangesThatNobodyReadsAreDropped(t *testing.T) {
	t.Parallel()
	b := learning(limits{"*": "40-M"}, quota.Hint)
	p := newPupil(t, b)
	const accounts = 400
	for i := range accounts {
		p.lane = lane(fmt.Sprint("account-", i), "m")
		p.retreat()
	}
	if got := len(changes(b)); got == 0 || got >= accounts {
		t.Errorf("%d changes of %d were kept; want some, and not all", got, accounts)
	}
	p.lane = lane("another", "m")
	p.retreat()
	if got := len(changes(b)); got != 1 {
		t.Errorf("%d changes after they were read; want 1", got)
	}
}

// A canary whose end says nothing of the limit lets the next one leave. Until its end nothing leaves.
func TestACanaryIsFreedHoweverItEnds(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		end  func(b *quota.Book, now time.Time, h *quota.Hold)
	}{
		{"the upstream broke", func(b *quota.Book, now time.Time, h *quota.Hold) { b.Observe(now, h, broken) }},
		{"it was cut off", func(b *quota.Book, now time.Time, h *quota.Hold) { b.Observe(now, h, hint.Failed(hint.FaultReset)) }},
		{"it was cancelled", func(b *quota.Book, now time.Time, h *quota.Hold) { b.Observe(now, h, cancelled) }},
		{"the request was wrong", func(b *quota.Book, now time.Time, h *quota.Hold) {
			b.Observe(now, h, hint.Outcome{Class: hint.ClientError, Status: 400})
		}},
		{"the workers were busy", func(b *quota.Book, now time.Time, h *quota.Hold) { b.Observe(now, h, exhausted) }},
		{"it was settled without a verdict", func(b *quota.Book, now time.Time, h *quota.Hold) { b.Settle(now, h, quota.Use{Written: true}) }},
		{"it was served", func(b *quota.Book, now time.Time, h *quota.Hold) { b.Observe(now, h, served) }},
		{"it was refused", func(b *quota.Book, now time.Time, h *quota.Hold) { b.Observe(now, h, refusal) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newPupil(t, learning(limits{"*": "40-M"}, quota.Hint))
			p.retreat()
			canary := p.send()
			wantReadiness(t, p.Book, p.now, p.lane, quota.Readiness{Paused: true})
			test.end(p.Book, p.now, canary)
			p.Settle(p.now, canary, quota.Use{Written: true})
			from := p.now
			p.end(p.send(), served)
			if waited := p.now.Sub(from); waited > time.Hour {
				t.Errorf("the next one left %v after the canary ended; want it within the longest pause, an hour", waited)
			}
		})
	}
}

// One that never left says nothing either.
func TestACanaryThatIsGivenBackIsFreed(t *testing.T) {
	t.Parallel()
	p := newPupil(t, learning(limits{"*": "40-M"}, quota.Hint))
	p.retreat()
	for range 3 {
		p.end(p.send(), broken) // to the first moment at which one may leave
		h, r := p.Reserve(p.now, p.lane, one)
		for ; h == nil; h, r = p.Reserve(p.now, p.lane, one) {
			p.now = r.At
		}
		wantReadiness(t, p.Book, p.now, p.lane, quota.Readiness{Paused: true})
		p.Settle(p.now, h, quota.Use{})
	}
	p.end(p.send(), served)
}

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

// step does one random thing.
func (w *walk) step() {
	if w.rng.IntN(300) == 0 {
		w.mood = moods[w.rng.IntN(len(moods))]
	}
	switch choice := w.rng.IntN(20); {
	case choice < 11:
		w.ask(w.lanes[w.rng.IntN(len(w.lanes))], quota.Claim{Urgent: choice == 0, High: choice == 1, Probe: choice%2 == 0})
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
	w.check(l)
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

// A promise is kept and a hint is exceeded four times at most, whatever the upstream says: at no time do more charges count than that, in
// any of the windows that somebody told of, of the model or of its account.
func TestNoVerdictsLeadBeyondWhatWasTold(t *testing.T) {
	t.Parallel()
	for _, told := range []limits{{"m": "6-S,10-M,100-H", "n": "8-M", "": "15-M,120-H"}, {"*": "5-M"}} {
		for name, trust := range trusts() {
			t.Run(name+" "+told["*"], func(t *testing.T) {
				t.Parallel()
				most := 1
				if trust == quota.Hint {
					most = 4
				}
				for seed := range uint64(10) {
					w := &walk{
						T: t, book: learning(told, trust), rng: rand.New(rand.NewPCG(seed, 11)), now: start, told: told, most: most,
						lanes: []limit.Scope{lane("a", "m"), lane("a", "n"), lane("b", "m")},
					}
					for range 3000 {
						w.step()
					}
				}
			})
		}
	}
}

// A refusal that says when to come back is believed, but not that there is room beyond the promise.
func TestAPromiseHoldsWhenTheUpstreamAsksToComeBackSoon(t *testing.T) {
	t.Parallel()
	p := newPupil(t, quota.New(quota.Options{Terms: func(s limit.Scope) quota.Terms {
		return quota.Terms{Rates: limits{"*": "5-M"}.rates(s), Trust: quota.Promise, Burst: 5}
	}}))
	p.claim.Urgent = true
	for range 3 {
		p.end(p.send(), served)
	}
	for range 5 {
		p.end(p.send(), ask(0.5))
		if used := view(p.Book, p.now, p.lane).Windows[0].Used; used > 5 {
			t.Fatalf("at %v the window holds %d; want the promised 5 at most", p.now.Sub(start), used)
		}
	}
}

// An upstream that takes everything is found to do so, up to four times what it was hinted to take.
func TestLearningClimbsToFourTimesAHint(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{"fixed": 10, "promise": 10, "hint": 40} {
		l := &line{T: t, book: even("10-M", trusts()[name]), lane: lane("a", "m"), now: start}
		l.until(second(3600), quota.Claim{Probe: true})
		if got := view(l.book, l.now, l.lane).Windows[0].Rate.N; got != want {
			t.Errorf("%s: after an hour of success the ceiling is %d; want %d", name, got, want)
		}
		if got := l.between(second(3000), second(3060.5)); got < want-1 || got > want {
			t.Errorf("%s: %d leave in a window; want %d", name, got, want)
		}
	}
}

// What is fixed stays as it is: of refusals only the pause is left, and busy workers bound nothing.
func TestFixedTermsLearnNothing(t *testing.T) {
	t.Parallel()
	p := newPupil(t, learning(limits{"*": "10-M,1000-H", "": "20-M"}, quota.Fixed))
	for range 50 {
		p.end(p.send(), refusal)
		p.end(p.send(), exhausted)
	}
	for range 200 {
		p.end(p.send(), served)
	}
	p.now = p.now.Add(2 * time.Hour)
	for i := range 10 {
		h, r := p.Reserve(p.now, p.lane, one)
		if h == nil && i < 5 {
			t.Fatalf("number %d of a burst of 5 = nil, %+v; want a slot: nothing is running or paused", i, r)
		}
		if h != nil {
			p.Sent(p.now, h)
		}
	}
	for _, s := range []limit.Scope{p.lane, p.lane.AccountScope()} {
		v := view(p.Book, p.now, s)
		for i, w := range v.Windows {
			if w.Rate != v.Rates[i] {
				t.Errorf("%v: window %d holds %v; want %v", s, i, w.Rate, v.Rates[i])
			}
		}
		if v.State != adapt.Normal {
			t.Errorf("%v: %v; want NORMAL", s, v.State)
		}
	}
	if got := p.Summary("p"); got.Ledgers != 0 || got.InFlight != 0 {
		t.Errorf("Summary = %+v; want nothing learned", got)
	}
	if got := p.Learned(p.now); got != nil {
		t.Errorf("Learned = %v; want nothing to remember", got)
	}
	wantChanges(t, p.Book)
}

// An upstream that refuses at random leaves ceilings of the model and of its account that are both too low. While only the one model is
// used nothing tells which of the two is right, and each stands in the way of the other's probes. Both must rise all the same.
func TestTwoCeilingsThatBindTogetherBothRise(t *testing.T) {
	t.Parallel()
	low := 0
	for seed := range uint64(30) {
		w := &walk{
			T: t, book: learning(limits{"*": "40-M"}, quota.Promise), rng: rand.New(rand.NewPCG(seed, 13)), now: start,
			told: limits{"*": "40-M"}, most: 1, lanes: []limit.Scope{lane("a", "m"), lane("a", "n")}, mood: mood{refused: 20},
		}
		for w.now.Before(second(5 * 3600)) {
			w.step()
			w.mood = mood{refused: 20}
		}
		for w.mood = (mood{}); len(w.air) > 0; w.air = w.air[1:] {
			w.finish(w.air[0])
		}
		model, account := view(w.book, w.now, lane("a", "m")), view(w.book, w.now, lane("a", ""))
		if len(model.Windows) != 1 || len(account.Windows) != 1 || max(model.Windows[0].Rate.N, account.Windows[0].Rate.N) > 20 {
			continue // one of the two is known to take much, or an hour is suspected: that is another story
		}
		low++
		l := &line{T: t, book: w.book, lane: lane("a", "m"), now: w.now}
		l.until(w.now.Add(12*time.Hour), quota.Claim{Probe: true})
		if got := l.between(l.now.Add(-time.Hour), l.now); got < 39*60 {
			t.Errorf("seed %d: from ceilings of %v and %v, after half a day of success %d are sent in an hour; want %d",
				seed, model.Windows[0].Rate, account.Windows[0].Rate, got, 39*60)
		}
	}
	if low < 5 {
		t.Errorf("%d walks ended with two low ceilings; want at least 5, or the test shows nothing", low)
	}
}
