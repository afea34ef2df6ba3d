package quota_test

import (
	"testing"
	"time"

	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/quota"
)

// refusal is NVIDIA's 429: it says nothing about when to come back.
var refusal = hint.Outcome{Class: hint.Quota, Status: 429}

// ask is a refusal that asks for so many seconds.
func ask(seconds float64) hint.Outcome {
	o := refusal
	o.Asked, o.RetryAfter = true, time.Duration(seconds*float64(time.Second))
	return o
}

// wantPause checks until when a lane is paused, in seconds after the start; 0 is not at all.
func wantPause(t *testing.T, b *quota.Book, now float64, l limit.Scope, want float64) {
	t.Helper()
	got := view(b, second(now), l).PausedUntil
	if want == 0 && !got.IsZero() || want != 0 && !got.Equal(second(want)) {
		t.Errorf("at %vs the lane is paused until %v (set: %t); want %vs", now, got.Sub(start), !got.IsZero(), want)
	}
}

// refuse sends an attempt and has it refused at once.
func refuse(t *testing.T, b *quota.Book, now float64, l limit.Scope, o hint.Outcome) {
	t.Helper()
	h := send(t, b, second(now), l)
	b.Observe(second(now), h, o)
	b.Settle(second(now), h, quota.Use{Written: true})
}

func TestRefusalPausesTheModelAndNothingElse(t *testing.T) {
	t.Parallel()
	b := newBook(limits{"*": "40-M", "": "1000-H"})
	refuse(t, b, 10, lane("a", "m"), ask(2.5))
	wantReadiness(t, b, second(11), lane("a", "m"), quota.Readiness{At: second(12.5), Paused: true})
	send(t, b, second(11), lane("a", "n"))
	send(t, b, second(11), lane("b", "m"))
	send(t, b, second(12.5), lane("a", "m"))
}

func TestHowLongARefusalPauses(t *testing.T) {
	t.Parallel()
	const at = 11.5
	for _, test := range []struct {
		name    string
		limits  limits
		sent    int // before the refused one, from 11 s on, a hundredth apart
		outcome hint.Outcome
		want    float64 // until when, the refused one being sent and refused at 11.5 s
	}{
		{"as long as it asks", limits{"*": "40-M"}, 3, ask(300), 311.5},
		{"until the window ends that the first send opened", limits{"*": "40-M"}, 3, refusal, 71.5},
		{"the same when it opened it itself", limits{"*": "40-M"}, 0, refusal, 72},
		{"not at all if it asks for nothing and windows keep the pace", limits{"*": "40-M"}, 3, ask(0), 0},
		{"the same with a window of the account only", limits{"": "40-M"}, 3, ask(0), 0},
		{"a second if nothing is known", limits{}, 3, refusal, 12.5},
		{"a second if nothing is known and it asks for nothing", limits{}, 3, ask(0), 12.5},
		{"as long as it asks if nothing is known", limits{}, 3, ask(0.5), 12},
		{"the fuller window is suspected: the minute", limits{"*": "100-S,10-M"}, 3, refusal, 71.5},
		{"the fuller window is suspected: the second", limits{"*": "4-S,1000-M"}, 3, refusal, 12.1},
		{"of equally full ones the shortest", limits{"*": "40-M", "": "40-S"}, 0, refusal, 12.6},
		{"an hour that is nearly full", limits{"*": "40-M,20-H"}, 18, refusal, 3613},
		{"no hour that is not", limits{"*": "40-M,20-H"}, 16, refusal, 71.5},
		{"a second where only an hour is known and is not nearly full", limits{"*": "1000-H"}, 3, refusal, 12.5},
		{"until the end of the account's window", limits{"*": "100-M", "": "1000-H,10-D"}, 9, refusal, 24*3600 + 13},
		{"a worker's refusal is none", limits{"*": "40-M"}, 3, hint.Outcome{Class: hint.WorkerExhausted, Status: 503, Asked: true, RetryAfter: time.Minute}, 0},
		{"an offline model is none", limits{"*": "40-M"}, 3, hint.Outcome{Class: hint.Offline, Status: 503, Asked: true, RetryAfter: time.Hour}, 0},
		{"a broken attempt is none", limits{"*": "40-M"}, 3, hint.Failed(hint.FaultReset), 0},
		{"a full queue is none", limits{"*": "40-M"}, 3, hint.Outcome{Class: hint.QueueFull, Status: 429}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b, m := newBook(test.limits), lane("a", "m")
			for i := range test.sent {
				send(t, b, second(11+float64(i)/100), m)
			}
			refuse(t, b, at, m, test.outcome)
			wantPause(t, b, at, m, test.want)
		})
	}
}

func TestPauseIsNeverShortened(t *testing.T) {
	t.Parallel()
	b, m := newBook(limits{"*": "40-M"}), lane("a", "m")
	first, second1 := send(t, b, second(0), m), send(t, b, second(0), m)
	b.Observe(second(1), first, ask(100))
	b.Observe(second(2), second1, ask(5))
	wantPause(t, b, 2, m, 101)
	h, _ := b.Reserve(second(3), m, quota.Claim{Forced: true})
	b.Observe(second(4), h, ask(7))
	wantPause(t, b, 4, m, 101)
}

func TestRefusalsOfOneVolleyAreOneEvent(t *testing.T) {
	t.Parallel()
	b, m := quota.New(quota.Options{}), lane("a", "m")
	var volley []*quota.Hold
	for range 10 {
		volley = append(volley, send(t, b, second(0), m))
	}
	late := reserve(t, b, second(0), m) // not even written when the first verdict comes
	b.Observe(second(1), volley[0], refusal)
	wantPause(t, b, 1, m, 2)
	for _, h := range volley[1:8] {
		b.Observe(second(1.5), h, refusal)
	}
	b.Observe(second(1.5), late, refusal)
	wantPause(t, b, 1.5, m, 2)
	b.Observe(second(3), volley[8], refusal) // even after the pause
	wantPause(t, b, 3, m, 0)
	b.Observe(second(3), volley[9], ask(4)) // but what it asks for itself is done
	wantPause(t, b, 3, m, 7)
	if v := view(b, second(3), m); v.Refusals != 11 || !v.LastRefusal.Equal(second(3)) {
		t.Errorf("Refusals, LastRefusal = %d, %v; want 11, 3s", v.Refusals, v.LastRefusal.Sub(start))
	}
}

func TestOnlyTheFirstVerdictBeforeTheEndCounts(t *testing.T) {
	t.Parallel()
	b, m := quota.New(quota.Options{}), lane("a", "m")
	twice, late := send(t, b, second(0), m), send(t, b, second(0), m)
	b.Observe(second(1), twice, ask(2))
	b.Observe(second(1), twice, ask(50))
	b.Settle(second(1), late, quota.Use{Written: true})
	b.Observe(second(1), late, ask(50))
	wantPause(t, b, 1, m, 3)
	if got := view(b, second(1), m).Refusals; got != 1 {
		t.Errorf("Refusals = %d; want 1", got)
	}
}

func TestPauseDoublesUntilASuccessThatLeftAfterTheRefusal(t *testing.T) {
	t.Parallel()
	b, m := quota.New(quota.Options{}), lane("a", "m")
	now := 0.0
	old := send(t, b, second(now), m)
	for i, want := range []float64{1, 2, 4, 8, 16, 32, 60, 60} {
		refuse(t, b, now, m, refusal)
		wantPause(t, b, now, m, now+want)
		if now += want; i == 4 {
			b.Observe(second(now), old, hint.Outcome{Class: hint.OK, Status: 200}) // left before: proves nothing
		}
	}
	other := send(t, b, second(now), m)
	b.Observe(second(now), other, hint.Outcome{Class: hint.Transient, Status: 502}) // no success
	refuse(t, b, now, m, refusal)
	wantPause(t, b, now, m, now+60)

	now += 60
	b.Observe(second(now), send(t, b, second(now), m), hint.Outcome{Class: hint.OK, Status: 200})
	refuse(t, b, now, m, refusal)
	wantPause(t, b, now, m, now+1)
}

// An early refusal of a large body: the upstream has counted it, so it opens a window although it was not wholly written.
func TestRefusalBeforeTheBodyIsWrittenKnowsTheWindow(t *testing.T) {
	t.Parallel()
	b, m := newBook(limits{"*": "40-M"}), lane("a", "m")
	h := reserve(t, b, second(0), m)
	b.Observe(second(5), h, refusal)
	wantPause(t, b, 5, m, 65.5)
}

func TestVerdictThatComesAfterItsWindowPausesAMoment(t *testing.T) {
	t.Parallel()
	b, m := newBook(limits{"*": "40-M"}), lane("a", "m")
	h := send(t, b, second(0), m)
	b.Observe(second(300), h, refusal)
	wantPause(t, b, 300, m, 301)
}

func TestRetryAfterZeroDoesNotBreakThePace(t *testing.T) {
	t.Parallel()
	b := quota.New(quota.Options{Terms: func(s limit.Scope) quota.Terms {
		return quota.Terms{Rates: limit.Rates{{N: 40, Period: time.Minute}}, Burst: 1}
	}})
	m := lane("a", "m")
	refuse(t, b, 0, m, ask(0))
	for _, test := range []struct {
		name  string
		claim quota.Claim
		want  time.Duration
	}{
		{"at the pace of a bucket", one, 60500 * time.Millisecond * 100 / (40 * 102)},
		{"at the even distance of 40 in a window", ordinary, 60500 * time.Millisecond / 40},
	} {
		h, r := b.Reserve(second(0), m, test.claim)
		if got := r.At.Sub(start).Round(time.Microsecond); h != nil || r.Paused || got != test.want.Round(time.Microsecond) {
			t.Errorf("%s: Reserve = granted %t, %v, paused %t; want false, %v, false", test.name, h != nil, got, r.Paused, test.want)
		}
	}
}
