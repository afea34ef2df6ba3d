package quota_test

import (
	"math"
	"testing"
	"time"

	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/quota"

	"github.com/google/go-cmp/cmp"
)

func TestSnapshotShowsEveryLedgerAccountsFirst(t *testing.T) {
	t.Parallel()
	b := newBook(limits{"m": "2-S,40-M"})
	send(t, b, second(0), lane("b", "m"))
	send(t, b, second(0), lane("a", "m"))
	b.Settle(second(1), reserve(t, b, second(1), lane("a", "m")), quota.Use{})
	refuse(t, b, 2, lane("a", "m"), ask(3))
	rates := limit.Rates{{N: 2, Period: time.Second}, {N: 40, Period: time.Minute}}
	want := []quota.LedgerView{
		{Scope: lane("a", ""), LastRefusal: second(2), Refusals: 1, Charged: 3, Refunded: 1},
		{
			Scope: lane("a", "m"), Rates: rates, Windows: []quota.WindowView{{rates[0], 1, second(3.1)}, {rates[1], 2, second(62.5)}},
			PausedUntil: second(5), LastRefusal: second(2), Refusals: 1, Charged: 3, Refunded: 1,
		},
		{Scope: lane("b", ""), Charged: 1},
		{Scope: lane("b", "m"), Rates: rates, Windows: []quota.WindowView{{rates[0], 0, second(2)}, {rates[1], 1, second(60.5)}}, Charged: 1},
	}
	if diff := cmp.Diff(want, b.Snapshot(second(2))); diff != "" {
		t.Errorf("Snapshot differs (-want +got):\n%s", diff)
	}
	if got := view(b, second(5), lane("a", "m")).PausedUntil; !got.IsZero() {
		t.Errorf("PausedUntil = %v after the pause; want zero", got)
	}
}

func TestTokensAreTheSlotsThatCouldBeTakenNow(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		limits limits
		use    func(b *quota.Book)
		want   float64
	}{
		{"no ledger yet", limits{"*": "40-M"}, func(*quota.Book) {}, 0},
		{"two models", limits{"m": "5-M", "n": "9-M"}, func(b *quota.Book) {
			send(t, b, start, lane("a", "m"))
			send(t, b, start, lane("a", "n"))
		}, 4 + 8},
		{"two accounts", limits{"m": "5-M"}, func(b *quota.Book) {
			send(t, b, start, lane("a", "m"))
			send(t, b, start, lane("b", "m"))
		}, 4 + 4},
		{"the tightest window", limits{"m": "5-S,40-M"}, func(b *quota.Book) { send(t, b, start, lane("a", "m")) }, 4},
		{"no more than the account holds", limits{"m": "5-M", "n": "9-M", "": "7-M"}, func(b *quota.Book) {
			send(t, b, start, lane("a", "m"))
			send(t, b, start, lane("a", "n"))
		}, 5},
		{"a limit of the account only", limits{"": "7-M"}, func(b *quota.Book) { send(t, b, start, lane("a", "m")) }, 6},
		{"none of a paused model", limits{"m": "5-M", "n": "9-M"}, func(b *quota.Book) {
			send(t, b, start, lane("a", "n"))
			refuse(t, b, 0, lane("a", "m"), refusal)
		}, 8},
		{"unlimited models do not count", limits{"m": "5-M"}, func(b *quota.Book) {
			send(t, b, start, lane("a", "m"))
			send(t, b, start, lane("a", "o"))
		}, 4},
		{"another provider's do not count", limits{"m": "5-M"}, func(b *quota.Book) {
			send(t, b, start, limit.Scope{Provider: "q", Account: "a", Model: "m"})
		}, 0},
	} {
		b := newBook(test.limits)
		test.use(b)
		if got := b.Tokens(start, "p"); got != test.want {
			t.Errorf("%s: Tokens = %v; want %v", test.name, got, test.want)
		}
	}
}

// What pacing uses is the sum of what the models of an account may use, and no more than the account may; of several accounts the sum.
func TestSummaryRateIsWhatTheAccountsAllow(t *testing.T) {
	t.Parallel()
	const perSlot = 60 / 60.5 // of a window, a minute
	for _, test := range []struct {
		name   string
		limits limits
		want   float64
	}{
		{"nothing is known", nil, 0},
		{"models", limits{"m": "10-M", "n": "20-M"}, 2 * 30 * perSlot},
		{"a model beside one without a limit", limits{"m": "10-M"}, 2 * 10 * perSlot},
		{"the account alone", limits{"": "25-M"}, 2 * 25 * perSlot},
		{"models that may do more than their account", limits{"m": "10-M", "n": "20-M", "": "25-M"}, 2 * 25 * perSlot},
		{"models that may do less", limits{"m": "10-M", "n": "20-M", "": "40-M"}, 2 * 30 * perSlot},
	} {
		b := learning(test.limits, quota.Promise)
		for _, account := range []string{"a", "b"} {
			send(t, b, start, lane(account, "m"))
			send(t, b, start, lane(account, "n"))
		}
		if got := b.Summary("p").Rate; math.Abs(got-test.want) > 1e-9 {
			t.Errorf("%s: Rate = %v; want %v", test.name, got, test.want)
		}
	}
}

func TestRefusedIsTheShareOfTheLastMinute(t *testing.T) {
	t.Parallel()
	b := newBook(nil)
	for _, step := range []struct {
		name     string
		at       float64
		provider string
		outcomes []hint.Outcome
		want     float64
	}{
		{"no answer yet", 0, "p", nil, 0},
		{"one of four", 5, "p", []hint.Outcome{{Status: 200}, {Status: 200}, {Status: 502, Class: hint.Transient}, ask(0.001)}, 0.25},
		{"no answer is none", 10, "p", []hint.Outcome{hint.Failed(hint.FaultReset)}, 0.25},
		{"another provider's are its own", 15, "q", []hint.Outcome{ask(0.001)}, 0.25},
		{"one of two, when the first four have left", 70, "p", []hint.Outcome{{Status: 200}, ask(0.001)}, 0.5},
		{"all have left", 200, "p", nil, 0},
	} {
		for _, o := range step.outcomes {
			h, _ := b.Reserve(second(step.at), limit.Scope{Provider: step.provider, Account: "a", Model: "m"}, quota.Claim{Forced: true})
			b.Observe(second(step.at), h, o)
		}
		if got := b.Refused(second(step.at), "p"); got != step.want {
			t.Errorf("%s: Refused = %v; want %v", step.name, got, step.want)
		}
	}
}
