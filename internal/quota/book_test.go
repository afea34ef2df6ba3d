package quota_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/quota"

	"github.com/google/go-cmp/cmp"
)

// start is when the clocks of these tests begin.
var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// second is a time so many seconds after the start.
func second(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }

// lane is a model of an account of the one provider of these tests.
func lane(account, model string) limit.Scope {
	return limit.Scope{Provider: "p", Account: account, Model: model}
}

// limits are terms by scope, in the syntax of the settings; of an account under its empty model. "*" is for all other models.
type limits map[string]string

// rates returns what must hold for a scope.
func (l limits) rates(s limit.Scope) limit.Rates {
	text, ok := l[s.Model]
	if !ok && !s.WholeAccount() {
		text = l["*"]
	}
	return rates(text)
}

// terms leaves no spacing in the way: a burst of the whole window.
func (l limits) terms(s limit.Scope) quota.Terms {
	return quota.Terms{Rates: l.rates(s), Burst: limit.MaxN}
}

// rates reads a limit that is well written.
func rates(text string) (r limit.Rates) {
	if err := r.UnmarshalText([]byte(text)); err != nil {
		panic(err)
	}
	return r
}

func newBook(l limits) *quota.Book { return quota.New(quota.Options{Terms: l.terms}) }

// one is a claim that only the capacity of the windows binds; ordinary is one that also keeps an even distance, and leaves something.
var (
	one      = quota.Claim{Requests: 1, Urgent: true}
	ordinary = quota.Claim{Requests: 1}
)

// reserve takes a slot that must be there.
func reserve(t *testing.T, b *quota.Book, now time.Time, l limit.Scope) *quota.Hold {
	t.Helper()
	h, r := b.Reserve(now, l, one)
	if h == nil {
		t.Fatalf("Reserve(%v, %v) = nil, %+v; want a hold", now.Sub(start), l, r)
	}
	return h
}

// send takes a slot that must be there and lets its charge age.
func send(t *testing.T, b *quota.Book, now time.Time, l limit.Scope) *quota.Hold {
	t.Helper()
	h := reserve(t, b, now, l)
	b.Sent(now, h)
	return h
}

// wantReadiness checks that a lane has to wait, until when and why.
func wantReadiness(t *testing.T, b *quota.Book, now time.Time, l limit.Scope, want quota.Readiness) {
	t.Helper()
	if h, got := b.Reserve(now, l, one); h != nil || !got.At.Equal(want.At) || got.Paused != want.Paused {
		t.Errorf("Reserve(%v, %v) = granted %t, %v, paused %t; want false, %v, %t", now.Sub(start), l, h != nil, got.At.Sub(start), got.Paused, want.At.Sub(start), want.Paused)
	}
}

// view returns the ledger of a scope.
func view(b *quota.Book, now time.Time, s limit.Scope) quota.LedgerView {
	for _, v := range b.Snapshot(now) {
		if v.Scope == s {
			return v
		}
	}
	return quota.LedgerView{}
}

func TestLaneWithoutRatesIsAlwaysReady(t *testing.T) {
	t.Parallel()
	b := quota.New(quota.Options{})
	for range 1000 {
		if h := send(t, b, start, lane("a", "m")); h.Standing() != (quota.Standing{}) {
			t.Fatalf("Standing = %+v; want zero: no limit is known", h.Standing())
		}
	}
}

func TestEveryWindowMustHold(t *testing.T) {
	t.Parallel()
	b, m := newBook(limits{"*": "2-S,3-M"}), lane("a", "m")
	send(t, b, second(0), m)
	send(t, b, second(0), m)
	wantReadiness(t, b, second(0), m, quota.Readiness{At: second(1.1)})
	send(t, b, second(1.1), m)
	wantReadiness(t, b, second(1.2), m, quota.Readiness{At: second(60.5)})
	send(t, b, second(60.5), m)
}

func TestAccountWindowBoundsItsModelsTogether(t *testing.T) {
	t.Parallel()
	b := newBook(limits{"*": "2-M", "": "3-M"})
	send(t, b, second(0), lane("a", "m"))
	send(t, b, second(1), lane("a", "m"))
	send(t, b, second(2), lane("a", "n"))
	wantReadiness(t, b, second(3), lane("a", "n"), quota.Readiness{At: second(60.5)})
	send(t, b, second(3), lane("b", "m")) // another account has windows of its own
	if got := view(b, second(3), lane("a", "n")).Charged; got != 1 {
		t.Errorf("the model was charged %d times; want 1: its account had no room for the second", got)
	}
}

func TestModelsDoNotShareTheirWindows(t *testing.T) {
	t.Parallel()
	b := newBook(limits{"*": "1-M"})
	send(t, b, start, lane("a", "m"))
	wantReadiness(t, b, start, lane("a", "m"), quota.Readiness{At: second(60.5)})
	send(t, b, start, lane("a", "n"))
}

func TestOnlyAnEventBringsTheSlotOfAnOpenCharge(t *testing.T) {
	t.Parallel()
	b, m := newBook(limits{"*": "1-M"}), lane("a", "m")
	h := reserve(t, b, second(0), m)
	wantReadiness(t, b, second(500), m, quota.Readiness{})
	b.Sent(second(500), h)
	wantReadiness(t, b, second(500), m, quota.Readiness{At: second(560.5)})
}

func TestFailedReserveChangesNothing(t *testing.T) {
	t.Parallel()
	b := newBook(limits{"*": "2-M", "": "2-M"})
	send(t, b, start, lane("a", "m"))
	send(t, b, start, lane("a", "n"))
	before := b.Snapshot(second(1))
	wantReadiness(t, b, second(1), lane("a", "m"), quota.Readiness{At: second(60.5)})
	if diff := cmp.Diff(before, b.Snapshot(second(1))); diff != "" {
		t.Errorf("a failed Reserve changed the ledgers (-before +after):\n%s", diff)
	}
}

func TestForcedClaimIsGrantedAndCharged(t *testing.T) {
	t.Parallel()
	b, m := newBook(limits{"*": "1-M"}), lane("a", "m")
	send(t, b, second(0), m)
	h, _ := b.Reserve(second(10), m, quota.Claim{Requests: 1, Forced: true})
	if h == nil {
		t.Fatal("a forced claim was refused; want a hold")
	}
	if got, want := h.Standing(), (quota.Standing{Limit: 1, Reset: 60500 * time.Millisecond}); got != want {
		t.Errorf("Standing = %+v; want %+v", got, want)
	}
	b.Sent(second(10), h)
	wantReadiness(t, b, second(61), m, quota.Readiness{At: second(70.5)})
}

func TestStandingIsOfTheWindowWithTheFewestSlotsLeft(t *testing.T) {
	t.Parallel()
	b, m := newBook(limits{"*": "5-S,10-M", "": "4-H"}), lane("a", "m")
	for _, want := range []quota.Standing{{4, 3, 3602 * time.Second}, {4, 2, 3602 * time.Second}} {
		if got := send(t, b, start, m).Standing(); got != want {
			t.Errorf("Standing = %+v; want %+v", got, want)
		}
	}
}

// What is left in the end depends on how far the attempt came; calls out of turn are harmless.
func TestChargeStaysUnlessNothingWasWritten(t *testing.T) {
	t.Parallel()
	sent := func(b *quota.Book, h *quota.Hold) { b.Sent(second(1), h) }
	answered := func(b *quota.Book, h *quota.Hold) {
		b.Observe(second(2), h, hint.Outcome{Class: hint.ClientError, Status: 400})
	}
	broken := func(b *quota.Book, h *quota.Hold) { b.Observe(second(2), h, hint.Failed(hint.FaultConnect)) }
	unwritten := func(b *quota.Book, h *quota.Hold) { b.Settle(second(3), h, quota.Use{}) }
	written := func(b *quota.Book, h *quota.Hold) { b.Settle(second(3), h, quota.Use{Written: true}) }
	type call = func(*quota.Book, *quota.Hold)
	for _, test := range []struct {
		name  string
		calls []call
		kept  bool
		next  float64 // when the one slot is there again, in seconds
	}{
		{"nothing written", []call{unwritten}, false, 4},
		{"no connection", []call{broken, unwritten}, false, 4},
		{"written in part", []call{written}, true, 63.5},
		{"written in part and broken", []call{broken, written}, true, 63.5},
		{"sent", []call{sent, written}, true, 61.5},
		{"sent, whatever is said later", []call{sent, unwritten}, true, 61.5},
		{"answered before it was sent", []call{answered, written}, true, 62.5},
		{"sent after it was answered", []call{answered, sent, written}, true, 62.5},
		{"everything twice", []call{sent, sent, answered, answered, written, written, unwritten}, true, 61.5},
		{"given back twice", []call{unwritten, unwritten}, false, 4},
		{"calls after the end", []call{unwritten, sent, answered, written}, false, 4},
	} {
		b, m := newBook(limits{"*": "1-M"}), lane("a", "m")
		h := reserve(t, b, second(0), m)
		for _, c := range test.calls {
			c(b, h)
		}
		v := view(b, second(4), m)
		if got := v.Charged - v.Refunded; (got == 1) != test.kept || v.Charged != 1 {
			t.Errorf("%s: charged %d, refunded %d; want the charge kept: %t", test.name, v.Charged, v.Refunded, test.kept)
		}
		if test.next > 4 {
			wantReadiness(t, b, second(4), m, quota.Readiness{At: second(test.next)})
		}
		reserve(t, b, second(test.next), m)
	}
}

func TestHoldThatIsNeverSettledCostsItsSlotOnly(t *testing.T) {
	t.Parallel()
	b, m := newBook(limits{"*": "2-M"}), lane("a", "m")
	reserve(t, b, start, m) // forgotten before it was sent
	for i := range 5 {
		at := float64(i) * 60.5
		send(t, b, second(at), m) // forgotten after
		wantReadiness(t, b, second(at), m, quota.Readiness{At: second(at + 60.5)})
	}
}

func TestHoldKnowsItsLane(t *testing.T) {
	t.Parallel()
	if got, want := send(t, newBook(nil), start, lane("a", "m")).Lane(), lane("a", "m"); got != want {
		t.Errorf("Lane() = %v; want %v", got, want)
	}
}

func TestBurstAfterIdleness(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		quota.Terms
		rates                string
		normal, high, urgent int // how many of them leave at once, an idle ledger each
	}{
		{"four by default", quota.Terms{}, "40-M", 4, 4, 4},
		{"a small window, of which one is kept", quota.Terms{}, "3-M", 2, 2, 3},
		{"a share", quota.Terms{BurstShare: 0.5}, "41-M", 20, 20, 20},
		{"a share of at least one", quota.Terms{BurstShare: 0.1}, "5-M", 1, 1, 1},
		{"fixed", quota.Terms{Burst: 7, BurstShare: 0.5}, "40-M", 7, 7, 7},
		{"never more than the window, of which two are kept, and one more from NORMAL", quota.Terms{Burst: math.MaxInt}, "40-M", 37, 38, 40},
		{"of each short window", quota.Terms{BurstShare: 0.5}, "10-S,40-M", 5, 5, 5},
		{"an hour alone is spaced", quota.Terms{}, "1000-H", 4, 4, 4},
		{"an hour behind a minute is not", quota.Terms{Burst: 30}, "40-M,1000-H", 30, 30, 30},
		{"half of an hour behind a second is free", quota.Terms{BurstShare: 1}, "50-S,60-H", 30, 30, 50},
	} {
		for _, of := range []struct {
			class string
			claim quota.Claim
			want  int
		}{{"NORMAL", ordinary, test.normal}, {"HIGH", quota.Claim{High: true}, test.high}, {"URGENT", one, test.urgent}} {
			terms := test.Terms
			terms.Rates = rates(test.rates)
			b := quota.New(quota.Options{Terms: func(s limit.Scope) quota.Terms {
				if s.WholeAccount() {
					return quota.Terms{}
				}
				return terms
			}})
			got := 0
			for {
				h, _ := b.Reserve(start, lane("a", "m"), of.claim)
				if h == nil {
					break
				}
				b.Sent(start, h)
				got++
			}
			if got != of.want {
				t.Errorf("%s: %d %s left at once; want %d", test.name, got, of.class, of.want)
			}
		}
	}
}

func TestBookIsBoundedWhateverModelsAreAskedFor(t *testing.T) {
	t.Parallel()
	b := quota.New(quota.Options{Terms: limits{"*": "10-M", "": "1000-M"}.terms, MaxScopes: 100})
	for i := range 98 { // and the account's own: there is no place for a whole lane more
		send(t, b, second(0), lane("a", fmt.Sprint("model-", i)))
	}
	send(t, b, second(1), lane("a", "model-97"))
	wantReadiness(t, b, second(2), lane("a", "new"), quota.Readiness{At: second(3)})
	wantReadiness(t, b, second(2.5), lane("a", "new"), quota.Readiness{At: second(3)}) // there is no second look so soon
	if h, _ := b.Reserve(second(2), lane("a", "new"), quota.Claim{Forced: true}); h == nil {
		t.Error("a forced claim was refused by a full book; want a hold")
	}
	if got := len(b.Snapshot(second(2))); got != 99 {
		t.Errorf("there are %d ledgers; want 99", got)
	}
	send(t, b, second(60.6), lane("a", "new"))
	if got := len(b.Snapshot(second(60.6))); got != 3 {
		t.Errorf("%d ledgers are left; want 3: the account's, the new one and the one with a charge", got)
	}
}

func TestPausedLedgerIsNeverDropped(t *testing.T) {
	t.Parallel()
	b := quota.New(quota.Options{MaxScopes: 4})
	h := send(t, b, second(0), lane("a", "m"))
	b.Observe(second(0), h, hint.Outcome{Class: hint.Quota, Status: 429, Asked: true, RetryAfter: time.Hour})
	for i := range 20 {
		send(t, b, second(float64(2*i)), lane("a", fmt.Sprint(i)))
	}
	wantReadiness(t, b, second(100), lane("a", "m"), quota.Readiness{At: second(3600), Paused: true})
}
