package gate

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/priority"
	"nimsidecar/internal/quota"
)

// meter is a Budget with rules so simple that a test can foresee each moment. A lane keeps its own rule and its account's; what
// has no rule is free. It counts what it is told, and keeps its promises: one hold is settled once.
type meter struct {
	t *testing.T

	mu    sync.Mutex // guards the following
	rules map[limit.Scope]*rule
	holds map[*quota.Hold]*held

	tells bool // it says what its rules are, as ledgers do

	charges, refunds, sents, observed int

	late int // words about a hold that was settled
}

// rule lets one attempt out every so often, and so many at a time.
type rule struct {
	every  time.Duration // 0 = at any time
	atOnce int           // how many may be unsettled; 0 = any number

	next, paused time.Time
	open         int
}

// held is a hold that is not settled.
type held struct {
	lane limit.Scope
	sent bool
}

func newMeter(t *testing.T) *meter {
	return &meter{t: t, rules: map[limit.Scope]*rule{}, holds: map[*quota.Hold]*held{}}
}

func (m *meter) rulesOf(lane limit.Scope) (rules []*rule) {
	for _, scope := range [...]limit.Scope{lane, lane.AccountScope()} {
		if r := m.rules[scope]; r != nil {
			rules = append(rules, r)
		}
	}
	return rules
}

// ready says whether the lane may send now.
func (m *meter) ready(lane limit.Scope) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	ready, _ := m.readyLocked(time.Now(), lane)
	return ready
}

// readyLocked says when the lane may send: now, later, or when an event tells.
func (m *meter) readyLocked(now time.Time, lane limit.Scope) (ready bool, at quota.Readiness) {
	ready = true
	for _, r := range m.rulesOf(lane) {
		switch {
		case r.atOnce > 0 && r.open >= r.atOnce:
			return false, quota.Readiness{}
		case r.paused.After(now) && r.paused.After(at.At):
			ready, at = false, quota.Readiness{At: r.paused, Paused: true}
		case r.next.After(now) && r.next.After(at.At):
			ready, at = false, quota.Readiness{At: r.next}
		}
	}
	return ready, at
}

func (m *meter) Reserve(now time.Time, lane limit.Scope, c quota.Claim) (*quota.Hold, quota.Readiness) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ready, at := m.readyLocked(now, lane); !ready && !c.Forced {
		return nil, at
	}
	for _, r := range m.rulesOf(lane) {
		r.open++
		r.next = now.Add(r.every)
	}
	m.charges++
	hold := new(quota.Hold)
	m.holds[hold] = &held{lane: lane}
	return hold, quota.Readiness{}
}

// Snapshot makes windows of the rules that let one out every so often.
func (m *meter) Snapshot(time.Time) (views []quota.LedgerView) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for scope, r := range m.rules {
		if m.tells && r.every > 0 {
			period := r.every - min(max(r.every/121, 100*time.Millisecond), 2*time.Second)
			views = append(views, quota.LedgerView{Scope: scope, Windows: []quota.WindowView{{Rate: limit.Rate{N: 1, Period: period}, Used: 1}}})
		}
	}
	return views
}

func (m *meter) Sent(_ time.Time, h *quota.Hold) {
	m.mu.Lock()
	defer m.mu.Unlock()
	held := m.holds[h]
	switch {
	case held == nil:
		m.late++
	case held.sent:
		m.t.Error("Sent is told twice")
	default:
		held.sent = true
		m.sents++
	}
}

func (m *meter) Observe(now time.Time, h *quota.Hold, o hint.Outcome) {
	m.mu.Lock()
	defer m.mu.Unlock()
	held := m.holds[h]
	if held == nil {
		m.late++
		return
	}
	m.observed++
	if r := m.rules[held.lane]; o.Refused() && r != nil {
		r.paused = now.Add(o.RetryAfter)
	}
}

func (m *meter) Settle(_ time.Time, h *quota.Hold, u quota.Use) {
	m.mu.Lock()
	defer m.mu.Unlock()
	held := m.holds[h]
	if held == nil {
		m.t.Error("a hold is settled twice")
		return
	}
	delete(m.holds, h)
	if !u.Written {
		m.refunds++
	}
	for _, r := range m.rulesOf(held.lane) {
		r.open--
		if !u.Written {
			r.next = r.next.Add(-r.every)
		}
	}
}

// hall is a gate in a bubble, with its Run running, and a meter behind it.
type hall struct {
	*Gate
	t     *testing.T
	meter *meter
	start time.Time
	stop  func() // ends Run and waits for it
}

// bubble runs f in a bubble. The budget is a meter without rules, and Random is 0, where o names none.
func bubble(t *testing.T, o Options, f func(h *hall)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := newMeter(t)
		if o.Budget == nil {
			o.Budget = m
		}
		if o.Random == nil {
			o.Random = func() float64 { return 0 }
		}
		h := &hall{Gate: New(o), t: t, meter: m, start: time.Now()}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- h.Run(ctx) }()
		h.stop = sync.OnceFunc(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("Run = %v; want nil", err)
			}
		})
		defer h.stop()
		f(h)
		synctest.Wait()
	})
}

// The lanes of the tests: two models of an account, and the first of them with another account.
var (
	laneA = limit.Scope{Provider: "nvidia", Account: "1", Model: "a"}
	laneB = limit.Scope{Provider: "nvidia", Account: "1", Model: "b"}
	laneC = limit.Scope{Provider: "nvidia", Account: "2", Model: "a"}
)

// ask is a request of the class for the lanes.
func ask(c priority.Class, lanes ...limit.Scope) Request {
	return Request{Class: c, Lanes: lanes, Claim: quota.Claim{Requests: 1}}
}

// verdict is what became of a ticket, as far as the test has looked.
type verdict struct {
	ticket *Ticket
	comes  chan decision // of capacity 1
	done   bool
	decision
}

// decision is the end of a wait, and when it was.
type decision struct {
	at      time.Duration // since the start
	grant   *Grant
	refusal *Refusal
}

// look takes note of a decision that has come.
func (v *verdict) look() *verdict {
	select {
	case v.decision = <-v.comes:
		v.done = true
	default:
	}
	return v
}

// enter enqueues a request and watches what becomes of it.
func (h *hall) enter(r Request) *verdict { return h.watch(h.Enqueue(r)) }

// watch notes when the ticket is decided, and takes the result.
func (h *hall) watch(ticket *Ticket) *verdict {
	v := &verdict{ticket: ticket, comes: make(chan decision, 1)}
	go func() {
		<-ticket.Decided()
		grant, refusal := ticket.Result()
		v.comes <- decision{time.Since(h.start), grant, refusal}
	}()
	return v
}

// until lets time pass until d after the start, and lets all that happens then happen.
func (h *hall) until(d time.Duration) {
	time.Sleep(time.Until(h.start.Add(d)))
	synctest.Wait()
}

// reason is why it was refused; "" if it was not.
func (v *verdict) reason() Reason {
	if v.refusal == nil {
		return ""
	}
	return v.refusal.Reason
}

// wantGrant reports if v was not granted at exactly that time on that lane.
func (h *hall) wantGrant(name string, v *verdict, at time.Duration, lane limit.Scope) {
	h.t.Helper()
	switch v.look(); {
	case !v.done:
		h.t.Errorf("%s still waits; want a grant at %s", name, at)
	case v.grant == nil:
		h.t.Errorf("%s is refused (%s) at %s; want a grant at %s", name, v.reason(), v.at, at)
	case v.at != at || v.grant.Lane() != lane:
		h.t.Errorf("%s is granted %s at %s; want %s at %s", name, v.grant.Lane(), v.at, lane, at)
	}
}

// wantRefusal reports if v was not refused for that reason at exactly that time.
func (h *hall) wantRefusal(name string, v *verdict, at time.Duration, reason Reason) {
	h.t.Helper()
	if v.look(); !v.done || v.at != at || v.reason() != reason {
		h.t.Errorf("%s: done = %t, %q at %s; want %q at %s", name, v.done, v.reason(), v.at, reason, at)
	}
}

// wantWaiting reports if v was decided.
func (h *hall) wantWaiting(name string, v *verdict) {
	h.t.Helper()
	if v.look().done {
		h.t.Errorf("%s is decided at %s (refused: %q); want it to wait", name, v.at, v.reason())
	}
}
