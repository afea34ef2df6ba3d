package upstream

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
)

// Whether a provider, and a model of it, can be used is learned from the attempts that are made anyway; nobody probes, since a probe
// would cost quota. What has failed often enough in a row is out of use, and then one request at a time tries it again. Only faults
// of the upstream count: a quota refusal, a client's mistake or its hang-up, a slow answer and time in our own queue never do.
//
// While it is out of use, requests that have nowhere else to go are held, not refused: they wait where all wait, within their own
// deadlines, and go on when one of them gets through. So a short outage passes unseen, and an upstream that comes back is not met by
// everybody at once. The request that tries hears what became of its attempt like any other; so each request still gets its own
// attempts, and its 502 when they are used up.

// unreachable is when a provider counts as one that cannot be reached. Its pauses are short: the four attempts of a request, each
// after such a pause, must be over within 10 s, and an upstream that is back must be found within as long.
var unreachable = schedule{after: 5, first: 500 * time.Millisecond, most: 2 * time.Second, jitter: 0.2}

// ailment is a class of answers that put a model out of use.
type ailment struct {
	schedule
	holds bool // its requests wait until it is over; else it only makes routes go elsewhere
}

// ailments are those classes. A model that has gone, or is offline for hours, is not worth waiting for: its requests get the answer.
var ailments = map[hint.Class]ailment{
	hint.Transient:     {schedule{after: 5, first: time.Second, most: 8 * time.Second, jitter: 0.2}, true},
	hint.UpstreamError: {schedule{after: 5, first: time.Second, most: 8 * time.Second, jitter: 0.2}, true},
	hint.Degraded:      {schedule{after: 2, first: 5 * time.Second, most: time.Minute, jitter: 0.2}, true},
	hint.Inactive:      {schedule{after: 2, first: 5 * time.Second, most: time.Minute, jitter: 0.2}, true},
	hint.Offline:       {schedule{after: 1, first: 10 * time.Minute, most: time.Hour}, false},
	hint.Gone:          {schedule{after: 1, first: 10 * time.Minute, most: time.Hour}, false},
}

// unreached are the faults after which the upstream cannot be said to be there. A connection that breaks inside an answer, or is
// silent for long, has one at its other end.
var unreached = []hint.Fault{hint.FaultConnect, hint.FaultDNS, hint.FaultTLS, hint.FaultNoResponse, hint.FaultProtocol}

// maxAiling bounds the models that a provider remembers as failing, since clients choose their names.
const maxAiling = 1000

// breaker is the state of one provider.
type breaker struct {
	failing atomic.Bool // anything below is not zero: while it is false, as nearly always, nobody needs the lock

	mu     sync.Mutex // guards the following
	whole  pause
	models map[string]*pause
}

// held returns until when an attempt on the model must wait; zero = it may begin.
func (b *breaker) held(now time.Time, model string) (until time.Time) {
	if !b.failing.Load() {
		return time.Time{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.heldLocked(now, model)
}

func (b *breaker) heldLocked(now time.Time, model string) (until time.Time) {
	if b.whole.out(now) {
		until = b.whole.until
	}
	if p := b.models[model]; p != nil && ailments[p.cause.class].holds && p.out(now) && p.until.After(until) {
		until = p.until
	}
	return until
}

// enter notes that an attempt begins. Without force it reports false, and changes nothing, where one must not.
func (b *breaker) enter(now time.Time, model string) bool {
	if !b.failing.Load() {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.heldLocked(now, model).IsZero() {
		return false
	}
	b.whole.enter(now)
	if p := b.models[model]; p != nil {
		p.enter(now)
	}
	return true
}

// down reports whether provider or model is out of use, for a route that has other targets.
func (b *breaker) down(now time.Time, model string) bool {
	if !b.failing.Load() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.models[model]
	return b.whole.out(now) || p != nil && p.out(now)
}

// change is what an outcome has changed.
type change struct {
	wholeOut, modelOut   time.Duration // out of use for that long from now on; 0 = not by this
	wholeBack, modelBack bool
}

// note remembers what an attempt came to.
func (b *breaker) note(now, began time.Time, model string, o hint.Outcome) (c change) {
	ill, ails := ailments[o.Class]
	why := cause{o.Class, o.Fault}
	lost := o.Class == hint.Broken
	if o.Class == hint.Cancelled || lost && !slices.Contains(unreached, o.Fault) || !lost && !ails && !b.failing.Load() {
		return change{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch random := rand.Float64(); {
	case lost:
		if b.whole.fail(now, began, why, unreachable, random) {
			c.wholeOut = b.whole.span
		}
	case ails:
		c.wholeBack = b.whole.succeed()
		if p := b.modelLocked(model); p.fail(now, began, why, ill.schedule, random) {
			c.modelOut = p.span
		}
	default:
		c.wholeBack = b.whole.succeed()
		if p := b.models[model]; p != nil {
			c.modelBack = p.succeed()
			delete(b.models, model)
		}
	}
	b.failing.Store(b.whole.failures > 0 || len(b.models) > 0)
	return c
}

func (b *breaker) modelLocked(model string) *pause {
	p := b.models[model]
	if p == nil {
		if b.models == nil || len(b.models) >= maxAiling {
			b.models = make(map[string]*pause)
		}
		p = new(pause)
		b.models[model] = p
	}
	return p
}

// Held returns until when an attempt on the lane must wait, since its provider cannot be reached or its model fails; the zero time
// says that it may begin. It looks only: see Enter.
func (t *Table) Held(now time.Time, lane limit.Scope) time.Time {
	if p := t.providers[lane.Provider]; p != nil {
		return p.breaker.held(now, lane.Model)
	}
	return time.Time{}
}

// Enter must be called right before an attempt on a lane that Held let through, by whoever lets requests out. It reports false where
// another request has come first, which tries now whether the lane is back in use: then ask Held again. An attempt that is made
// without it is an additional one, no more.
func (t *Table) Enter(now time.Time, lane limit.Scope) bool {
	p := t.providers[lane.Provider]
	return p == nil || p.breaker.enter(now, lane.Model)
}

// note takes in what an attempt says of its provider and model, and logs what that changes. A pooled connection that was dead already
// says nothing, nor does a request that was not sent.
func (t *Table) note(a *Answer) {
	if a.attempt.began.IsZero() || a.Reused && a.Outcome.Fault == hint.FaultNoResponse {
		return
	}
	p := a.attempt.provider
	c := p.breaker.note(time.Now(), a.attempt.began, a.model, a.Outcome)
	if c == (change{}) {
		return
	}
	log := func(level slog.Level, message string, attrs ...slog.Attr) {
		t.logger.LogAttrs(context.Background(), level, message, append(attrs, slog.String("provider", p.name))...)
	}
	why := slog.String("reason", cause{a.Outcome.Class, a.Outcome.Fault}.String())
	if c.wholeOut > 0 {
		log(slog.LevelWarn, "provider cannot be reached", why, slog.Duration("for", c.wholeOut))
	}
	if c.modelOut > 0 {
		log(slog.LevelWarn, "model fails", slog.String("model", a.model), why, slog.Duration("for", c.modelOut))
	}
	if c.wholeBack {
		log(slog.LevelInfo, "provider is back")
	}
	if c.modelBack {
		log(slog.LevelInfo, "model is back", slog.String("model", a.model))
	}
}
