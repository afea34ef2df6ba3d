package quota_test

import (
	"fmt"
	"testing"
	"time"

	"nimsidecar/internal/adapt"
	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
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
		l.until(second(4*60.5), quota.Claim{Probe: true})
		if got := view(l.book, l.now, l.lane).Windows[0].Rate.N; got != want {
			t.Errorf("%s: after four windows of success the ceiling is %d; want %d", name, got, want)
		}
		l.until(second(3600), quota.Claim{Probe: true})
		for i, at := range l.left {
			got := l.between(at, at.Add(60500*time.Millisecond))
			if settled := at.After(second(5*60.5)) && at.Before(second(3500)); got > want || settled && got < want {
				t.Fatalf("%s: the window from number %d, at %v, holds %d; want %d, and never more", name, i, at.Sub(start), got, want)
			}
		}
	}
}

// Only a window that work waits for is thought to be too small, though it be nearly full.
func TestOnlyTheWindowThatBindsIsLookedBeyond(t *testing.T) {
	t.Parallel()
	for _, binding := range []string{"the account", "the model"} {
		b := quota.New(quota.Options{Terms: func(s limit.Scope) quota.Terms {
			if s.WholeAccount() == (binding == "the account") {
				return quota.Terms{Rates: rates("10-M"), Trust: quota.Promise, BurstShare: 0.5}
			}
			return quota.Terms{Rates: rates("11-M"), Trust: quota.Hint, BurstShare: 0.5}
		}})
		l := &line{T: t, book: b, lane: lane("a", "m"), now: start}
		l.until(second(3600), quota.Claim{Probe: true})
		for _, v := range b.Snapshot(l.now) {
			if v.Windows[0].Rate != v.Rates[0] {
				t.Errorf("%s binds: the ceiling of %v is %v; want %v", binding, v.Scope, v.Windows[0].Rate, v.Rates[0])
			}
		}
	}
}

// The upstream's pause is short, our own window is what keeps the lane.
func TestALaneIsPausedOnlyAsLongAsTheUpstreamHoldsIt(t *testing.T) {
	t.Parallel()
	p := newPupil(t, learning(limits{"*": "40-M"}, quota.Promise))
	holds := p.volley(40)
	p.Observe(p.now, holds[39], refusal)
	v := view(p.Book, p.now, p.lane)
	if v.PausedUntil.IsZero() || v.PausedUntil.After(second(5)) {
		t.Fatalf("after the refusal the lane is paused until %v; want a few seconds", v.PausedUntil.Sub(start))
	}
	wantReadiness(t, p.Book, p.now, p.lane, quota.Readiness{At: second(60.5)})
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
