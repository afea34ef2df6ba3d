package scenarios

import (
	"math"
	"sync"
	"time"

	"nimsidecar/internal/gate"
	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/quota"
)

// Baselines are the simpler laws. Each keeps one pace for the account; none of them knows of models, hours or workers.
func Baselines() []Contender {
	return []Contender{
		baseline("fixed", func(n float64) law { return &fixed{bucket{rate: n}} }),
		baseline("window", func(n float64) law { return &slide{limit: int(n)} }),
		baseline("retreat", func(n float64) law { return &retreat{told: n, bucket: bucket{rate: n}} }),
		baseline("aimd", func(n float64) law { return &aimd{bucket: bucket{rate: n}} }),
		baseline("cubic", func(n float64) law { return &cubic{top: n, bucket: bucket{rate: n}} }),
	}
}

// law paces by one rule. Times never run backwards.
type law interface {
	next(now time.Time) time.Time // when one may leave; now or before is at once
	sent(now time.Time)
	verdict(now, sent time.Time, refused bool)
}

func baseline(name string, of func(perMinute float64) law) Contender {
	return Contender{name, func(told Told, _ uint64, _ *upstream) gate.Budget {
		rates := told.Model.Rates
		if len(rates) == 0 {
			rates = told.Account.Rates
		}
		return &budget{law: of(rates.PerMinute()), out: map[*quota.Hold]time.Time{}}
	}}
}

// budget makes a gate.Budget of a law.
type budget struct {
	mu  sync.Mutex // guards the following
	law law
	out map[*quota.Hold]time.Time // when it left
}

func (b *budget) Reserve(now time.Time, _ limit.Scope, c quota.Claim) (*quota.Hold, quota.Readiness) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at := b.law.next(now); !c.Forced && at.After(now) {
		return nil, quota.Readiness{At: at}
	}
	b.law.sent(now)
	h := new(quota.Hold)
	b.out[h] = now
	return h, quota.Readiness{}
}

func (b *budget) Sent(time.Time, *quota.Hold) {}

func (b *budget) Observe(now time.Time, h *quota.Hold, o hint.Outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	no := o.Refused() || o.Class == hint.WorkerExhausted
	if no || o.Class == hint.OK {
		b.law.verdict(now, b.out[h], no)
	}
}

func (b *budget) Settle(_ time.Time, h *quota.Hold, _ quota.Use) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.out, h)
}

// bucket is a token bucket of five whose rate, a minute, may change.
type bucket struct {
	rate   float64
	missed float64 // tokens that are not there
	last   time.Time
}

const bucketSize = 5

func (b *bucket) fill(now time.Time) {
	if !b.last.IsZero() {
		b.missed = max(0, b.missed-b.rate*now.Sub(b.last).Minutes())
	}
	b.last = now
}

func (b *bucket) next(now time.Time) time.Time {
	b.fill(now)
	if over := b.missed - (bucketSize - 1); over > 1e-9 {
		return now.Add(time.Duration(math.Ceil(over / b.rate * float64(time.Minute))))
	}
	return now
}

func (b *bucket) sent(now time.Time) {
	b.fill(now)
	b.missed++
}

// fixed paces as it was told, whatever happens.
type fixed struct{ bucket }

func (fixed) verdict(time.Time, time.Time, bool) {}

// slide lets out as many as it was told in any 61 seconds, at once if it can, and nothing for ten seconds after a refusal.
type slide struct {
	limit   int
	log     []time.Time
	benched time.Time
}

const (
	slideSpan = 61 * time.Second
	bench     = 10 * time.Second
)

func (s *slide) next(now time.Time) time.Time {
	at := s.benched
	if n := len(s.log); n >= s.limit {
		if free := s.log[n-s.limit].Add(slideSpan); free.After(at) {
			at = free
		}
	}
	return at
}

func (s *slide) sent(now time.Time) {
	s.log = append(s.log, now)
	if len(s.log) > 2*s.limit {
		s.log = append(s.log[:0], s.log[len(s.log)-s.limit:]...)
	}
}

func (s *slide) verdict(now, _ time.Time, refused bool) {
	if refused {
		s.benched = now.Add(bench)
	}
}

// retreat halves its pace when more than a tenth of the last minute was refused, and takes it back by a tenth of what it was told, once a
// window, while less than a fiftieth is.
type retreat struct {
	bucket
	told    float64
	log     []seen
	changed time.Time
}

type seen struct {
	at      time.Time
	refused bool
}

func (r *retreat) verdict(now, _ time.Time, refused bool) {
	r.log = append(r.log, seen{now, refused})
	for now.Sub(r.log[0].at) > window {
		r.log = r.log[1:]
	}
	no := 0
	for _, s := range r.log {
		if s.refused {
			no++
		}
	}
	share := float64(no) / float64(len(r.log))
	if now.Sub(r.changed) < window/2 {
		return
	}
	switch {
	case share > 0.10:
		r.pace(now, r.rate/2)
	case share < 0.02 && r.rate < r.told:
		r.pace(now, r.rate+r.told/10)
	}
}

func (r *retreat) pace(now time.Time, rate float64) {
	r.fill(now)
	r.rate, r.changed = min(r.told, max(1, rate)), now
}

// aimd adds one a minute each minute and takes a quarter away at a refusal, once for all that had left before.
type aimd struct {
	bucket
	grown, cut time.Time
}

func (a *aimd) sent(now time.Time) {
	if a.grown.IsZero() {
		a.grown = now
	}
	a.bucket.sent(now)
	if now.Sub(a.grown) >= window {
		a.grown = now
		a.rate++
	}
}

func (a *aimd) verdict(now, sent time.Time, refused bool) {
	if refused && sent.After(a.cut) {
		a.fill(now)
		a.rate = max(1, 0.75*a.rate)
		a.cut, a.grown = now, now
	}
}

// cubic grows as a cubic function of the minutes since the last cut: fast, slowly near the pace of that time, then fast again.
type cubic struct {
	bucket
	top float64 // pace at the last cut
	cut time.Time
}

const (
	cubicScale = 0.4
	cubicKeep  = 0.7
)

func (c *cubic) sent(now time.Time) {
	c.bucket.sent(now)
	if c.cut.IsZero() {
		c.cut = now.Add(-time.Duration(c.plateau() * float64(time.Minute)))
	}
	past := now.Sub(c.cut).Minutes() - c.plateau()
	c.rate = max(1, c.top+cubicScale*past*past*past)
}

// plateau returns how many minutes after a cut the old pace is reached.
func (c *cubic) plateau() float64 { return math.Cbrt(c.top * (1 - cubicKeep) / cubicScale) }

func (c *cubic) verdict(now, sent time.Time, refused bool) {
	if refused && sent.After(c.cut) {
		c.fill(now)
		c.top, c.cut = c.rate, now
		c.rate = max(1, cubicKeep*c.rate)
	}
}
