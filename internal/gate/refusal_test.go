package gate

import (
	"math"
	"testing"
	"time"

	"nimsidecar/internal/limit"
)

// Every row is a request that comes at 0 s, when what its lanes may do is as the rules say.
func TestRefusalRules(t *testing.T) {
	t.Parallel()
	const (
		pacing = "pacing" // our own
		pause  = "pause"  // the upstream's
		event  = "event"  // no clock will tell
	)
	type lane struct {
		scope limit.Scope
		kind  string
		at    time.Duration // when it has a slot again
	}
	for _, test := range []struct {
		name      string
		lanes     []lane
		deadline  time.Duration // 0 = none
		announced bool
		notBefore time.Duration
		want      Reason // "" = granted
		at        time.Duration
		estimate  time.Duration
	}{
		{"a pause until the deadline", []lane{{laneA, pause, 10 * time.Second}}, 10 * time.Second, false, 0, "", 10 * time.Second, 0},
		{"a pause beyond the deadline", []lane{{laneA, pause, 11 * time.Second}}, 10 * time.Second, false, 0, UpstreamRateLimited, 0, 11 * time.Second},
		{"a pause beyond an announced one", []lane{{laneA, pause, 11 * time.Second}}, 10 * time.Second, true, 0, UpstreamRateLimited, 0, 11 * time.Second},
		{"a pause and no deadline", []lane{{laneA, pause, time.Hour}}, 0, false, 0, "", time.Hour, 0},
		{"our pacing until an announced deadline", []lane{{laneA, pacing, 10 * time.Second}}, 10 * time.Second, true, 0, "", 10 * time.Second, 0},
		{"our pacing beyond an announced deadline", []lane{{laneA, pacing, 11 * time.Second}}, 10 * time.Second, true, 0, Deadline, 0, 11 * time.Second},
		{"our pacing beyond another deadline", []lane{{laneA, pacing, 11 * time.Second}}, 10 * time.Second, false, 0, QueueTimeout, 10 * time.Second, time.Second},
		{"an event that does not come", []lane{{laneA, event, 0}}, 10 * time.Second, true, 0, QueueTimeout, 10 * time.Second, 0},
		{"now or not at all", []lane{{laneA, event, 0}}, -1, true, 0, Deadline, 0, 0},
		{"now or not at all, and our pacing", []lane{{laneA, pacing, time.Second}}, -1, true, 0, Deadline, 0, time.Second},
		{"now or not at all, and a pause", []lane{{laneA, pause, time.Second}}, -1, true, 0, UpstreamRateLimited, 0, time.Second},
		{"now, by our own setting", []lane{{laneA, pacing, time.Second}}, -1, false, 0, QueueTimeout, 0, 0},
		{"now, and there is a slot", nil, -1, true, 0, "", 0, 0},
		{"two pauses beyond the deadline", []lane{{laneA, pause, 20 * time.Second}, {laneC, pause, 15 * time.Second}}, 10 * time.Second, false, 0, UpstreamRateLimited, 0, 15 * time.Second},
		{"one of two pauses beyond it", []lane{{laneA, pause, time.Hour}, {laneC, pause, 5 * time.Second}}, 10 * time.Second, false, 0, "", 5 * time.Second, 0},
		{"a pause, and our pacing that ends first", []lane{{laneA, pause, time.Hour}, {laneC, pacing, 20 * time.Second}}, 10 * time.Second, true, 0, Deadline, 0, 20 * time.Second},
		{"our pacing, and a pause that ends first", []lane{{laneA, pacing, time.Hour}, {laneC, pause, 20 * time.Second}}, 10 * time.Second, false, 0, UpstreamRateLimited, 0, 20 * time.Second},
		{"a pause beside a lane that an event may free", []lane{{laneA, pause, time.Hour}, {laneC, event, 0}}, 10 * time.Second, true, 0, QueueTimeout, 10 * time.Second, 0},
		{"parked beyond an announced deadline", nil, 10 * time.Second, true, 11 * time.Second, Deadline, 0, 11 * time.Second},
		{"parked beyond another deadline", nil, 10 * time.Second, false, 11 * time.Second, QueueTimeout, 10 * time.Second, 0},
		{"parked, without a deadline", nil, 0, true, time.Hour, "", time.Hour, 0},
		{"parked until the deadline", nil, 10 * time.Second, true, 10 * time.Second, "", 10 * time.Second, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, Options{}, func(h *hall) {
				r := ask(normal, laneA)
				if test.lanes != nil {
					r.Lanes = nil
				}
				for _, l := range test.lanes {
					r.Lanes = append(r.Lanes, l.scope)
					at := h.start.Add(l.at)
					h.meter.rules[l.scope] = map[string]*rule{pacing: {next: at}, pause: {paused: at}, event: {atOnce: 1, open: 1}}[l.kind]
				}
				r.Announced = test.announced
				if test.deadline != 0 {
					r.Deadline = h.start.Add(test.deadline)
				}
				if test.notBefore != 0 {
					r.NotBefore = h.start.Add(test.notBefore)
				}
				v := h.enter(r)
				h.until(2 * time.Hour)
				if v.look(); !v.done || v.reason() != test.want || v.at != test.at {
					t.Fatalf("done = %t, %q at %s; want %q at %s", v.done, v.reason(), v.at, test.want, test.at)
				}
				if v.refusal != nil && v.refusal.Estimate != test.estimate {
					t.Errorf("Estimate = %s; want %s", v.refusal.Estimate, test.estimate)
				}
			})
		})
	}
}

func TestNewcomerBehindABlockedLineIsToldAtOnce(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, func(h *hall) {
		h.meter.rules[laneA] = &rule{paused: h.start.Add(time.Minute)}
		patient := h.enter(ask(normal, laneA))
		h.until(time.Second)
		hasty := ask(normal, laneA)
		hasty.Deadline = h.start.Add(30 * time.Second)
		v := h.enter(hasty)
		h.until(2 * time.Second)
		h.wantRefusal("the newcomer", v, time.Second, UpstreamRateLimited)
		h.wantWaiting("the patient one", patient)
		h.Drain()
	})
}

func TestOwnPacingTellsAnnouncedDeadlinesAsSoonAsTheyAreMissed(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, func(h *hall) {
		h.meter.rules[laneA] = &rule{every: 10 * time.Second}
		h.wantGrantNow("the running one", h.enter(ask(normal, laneA)))
		first := h.enter(ask(normal, laneA))
		announced := ask(normal, laneA)
		announced.Deadline, announced.Announced = h.start.Add(15*time.Second), true
		own := announced
		own.Announced = false
		v, w := h.enter(announced), h.enter(own)
		h.until(time.Minute)
		h.wantGrant("the first", first, 10*time.Second, laneA)
		h.wantRefusal("the announced one", v, 10*time.Second, Deadline) // the next slot comes at 20 s
		h.wantRefusal("the other one", w, 15*time.Second, QueueTimeout)
	})
}

func TestRetryAfterIsBoundedAndSpread(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		reason   Reason
		estimate time.Duration
		random   float64
		want     time.Duration
	}{
		{QueueFull, 10 * time.Second, 0, 10 * time.Second},
		{QueueFull, 10 * time.Second, 0.5, 11250 * time.Millisecond},
		{Displaced, time.Millisecond, 0, time.Second},
		{Displaced, time.Hour, 0, 48 * time.Second},
		{Displaced, time.Hour, math.Nextafter(1, 0), 60 * time.Second},
		{QueueTimeout, 0, 0, 48 * time.Second}, // unknown
		{Draining, 0, 0.5, time.Second},
		{Cancelled, 0, 0.5, 0},
	} {
		g := New(Options{Random: func() float64 { return test.random }})
		got := g.refusal(test.reason, test.estimate)
		// What cannot be written as a float64 may miss by a nanosecond.
		if (test.want-got.RetryAfter).Abs() > 1 || got.RetryAfter > time.Minute {
			t.Errorf("refusal(%s, %s).RetryAfter = %s; want %s", test.reason, test.estimate, got.RetryAfter, test.want)
		}
		if got.Estimate != test.estimate {
			t.Errorf("refusal(%s, %s).Estimate = %s; want it unchanged", test.reason, test.estimate, got.Estimate)
		}
	}
}

func TestRefusalIsAnErrorWithItsNumbers(t *testing.T) {
	t.Parallel()
	for want, refusal := range map[string]error{
		"gate: refused: queue_full: it could start in 12s": &Refusal{Reason: QueueFull, Estimate: 12 * time.Second},
		"gate: refused: draining":                          &Refusal{Reason: Draining},
	} {
		if got := refusal.Error(); got != want {
			t.Errorf("Error() = %q; want %q", got, want)
		}
	}
}

func TestEstimateFollowsThePaceAtWhichTheRoomEmpties(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	p := pace{memory: outflowMemory}
	if got := p.time(start, 5); got != 0 {
		t.Errorf("before anybody has waited: %s; want 0, unknown", got)
	}
	p.running(start, true)
	for i := range 400 { // 40 a minute for ten minutes
		p.count(at(float64(i+1) * 1.5))
	}
	wantAbout(t, "at 40 a minute, 40 waiters", p.time(at(600), 40), time.Minute)
	p.running(at(600), false) // nobody waits for an hour
	p.running(at(4200), true)
	wantAbout(t, "after an hour of an empty room", p.time(at(4200), 40), time.Minute)
	for i := range 100 { // then 10 a minute for ten minutes
		p.count(at(4200 + float64(i+1)*6))
	}
	wantAbout(t, "at 10 a minute", p.time(at(4800), 40), 4*time.Minute)
	if got := p.time(at(4800+3600), 40); got != 24*time.Hour {
		t.Errorf("after an hour in which nobody left: %s; want the bound, 24h", got)
	}
}

// wantAbout allows the twentieth that an average lags behind.
func wantAbout(t *testing.T, name string, got, want time.Duration) {
	t.Helper()
	if (got - want).Abs() > want/20 {
		t.Errorf("%s: %s; want about %s", name, got, want)
	}
}

func TestRequestsThatNeedNotWaitSayNothingOfThePace(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, func(h *hall) {
		h.meter.rules[laneA] = &rule{atOnce: 1, open: 1}
		h.enter(ask(normal, laneA))
		for range 100 {
			time.Sleep(time.Second)
			h.wantGrantNow("one on another model", h.enter(ask(normal, laneB)))
		}
		if got := h.Waiting()[0].Estimate; got != 0 {
			t.Errorf("Estimate = %s; want 0, unknown: none of those who waited has left", got)
		}
		h.Drain()
	})
}

func TestFullRoomSaysWhenToComeAgain(t *testing.T) {
	t.Parallel()
	bubble(t, Options{Capacity: 20, Random: func() float64 { return 0.4 }}, func(h *hall) {
		h.meter.rules[laneA] = &rule{every: 2 * time.Second}
		for range 21 {
			h.enter(ask(normal, laneA))
		}
		full := h.enter(ask(urgent, laneA))
		h.until(20*time.Second + 1) // 10 have left at one in 2 s, 10 are left
		for range 10 {
			h.enter(ask(low, laneA))
		}
		v := h.enter(ask(normal, laneA))
		h.until(21 * time.Second)
		h.wantRefusal("before anybody has left", full, 0, QueueFull)
		if got, want := full.refusal.RetryAfter, 48*time.Second*11/10; (got-want).Abs() > 1 || full.refusal.Estimate != 0 {
			t.Errorf("before anybody has left: RetryAfter, Estimate = %s, %s; want %s and unknown", got, full.refusal.Estimate, want)
		}
		h.wantRefusal("the newcomer", v, 20*time.Second+1, QueueFull)
		// Three LOW ones leave among the ten, by their share.
		wantAbout(t, "Estimate behind ten", v.refusal.Estimate, 28*time.Second)
		wantAbout(t, "RetryAfter", v.refusal.RetryAfter, 28*time.Second*11/10)
		h.Drain()
	})
}
