package scenarios

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"nimsidecar/internal/mock/limiter"
)

// counters are the limiters that a request must pass: the one that all models share and the one of its model.
type counters struct {
	shared limiter.Limiter
	models map[string]limiter.Limiter

	chargesRefusals bool
}

func newCounters(u *Upstream) *counters {
	c := &counters{
		shared: build(u, u.Rates), models: map[string]limiter.Limiter{},
		chargesRefusals: u.Kind == limiter.FirstHit || u.Kind == limiter.Minute || u.Kind == limiter.SlidingRefusals,
	}
	for _, m := range u.Models {
		c.models[m.Name] = build(u, m.Rates)
	}
	return c
}

func build(u *Upstream, rates string) limiter.Limiter {
	kind := u.Kind
	if kind == "" || rates == "" {
		kind = limiter.None
	}
	l, err := limiter.New(limiter.Options{Kind: kind, Burst: u.Burst, Rates: limiterRates(rates)})
	if err != nil {
		panic("scenarios: " + err.Error())
	}
	return l
}

func limiterRates(rates string) []limiter.Rate {
	if rates == "" {
		return nil
	}
	r, err := limiter.ParseRates(rates)
	if err != nil {
		panic("scenarios: " + err.Error())
	}
	return r
}

// of returns the limiters that a request for the model must pass.
func (c *counters) of(model string) []limiter.Limiter {
	if l := c.models[model]; l != nil {
		return []limiter.Limiter{c.shared, l}
	}
	return []limiter.Limiter{c.shared}
}

// hit counts a request, as the kind counts, and reports whether it may pass.
func (c *counters) hit(now time.Time, model string) bool {
	all := c.of(model)
	if !c.chargesRefusals && slices.ContainsFunc(all, func(l limiter.Limiter) bool { return l.State(now).Left == 0 }) {
		return false
	}
	ok := true
	for _, l := range all {
		ok = l.Hit(now) && ok
	}
	return ok
}

// wait returns how long a request for the model would have to wait to pass; zero is not at all.
func (c *counters) wait(now time.Time, model string) (wait time.Duration) {
	for _, l := range c.of(model) {
		wait = max(wait, l.State(now).Wait)
	}
	return wait
}

// timetable is what happens to the upstream in one run, at absolute times.
type timetable struct {
	start   time.Time
	phase   time.Duration // by how much all of it is late, at random: more than lies between two probes
	changes []dated
	outage  [2]time.Time
}

type dated struct {
	at    time.Time
	rates string
}

// latest bounds how late a timetable is.
const latest = 10 * time.Minute

func newTimetable(u *Upstream, start time.Time, length time.Duration, rng *rand.Rand) *timetable {
	t := &timetable{start: start, phase: time.Duration(rng.Float64() * float64(latest))}
	for _, c := range u.Changes {
		t.changes = append(t.changes, dated{start.Add(c.At + t.phase), c.Rates})
	}
	if u.Swing.Period > 0 {
		t.changes = append(t.changes, u.Swing.changes(start, length, t.phase)...)
	}
	if u.Outage.For > 0 {
		from := start.Add(u.Outage.At + t.phase)
		t.outage = [2]time.Time{from, from.Add(u.Outage.For)}
	}
	return t
}

// changes are all whole numbers that the swing passes.
func (s Swing) changes(start time.Time, length, phase time.Duration) (changes []dated) {
	last := 0
	for at := time.Duration(0); at < length; at += time.Second {
		sin := math.Sin(2 * math.Pi * float64(at+phase) / float64(s.Period))
		n := int(math.Round(float64(s.Low+s.High)/2 + float64(s.High-s.Low)/2*sin))
		if n != last {
			changes = append(changes, dated{start.Add(at), minutely(n)})
			last = n
		}
	}
	return changes
}

// event returns when the thing happens that the scenario is about; the zero time is never.
func (t *timetable) event() time.Time {
	switch {
	case !t.outage[0].IsZero():
		return t.outage[0]
	case len(t.changes) == 1:
		return t.changes[0].at
	}
	return time.Time{}
}

// out reports whether everything is refused now.
func (t *timetable) out(now time.Time) bool {
	return !now.Before(t.outage[0]) && now.Before(t.outage[1])
}

// player makes the changes of a timetable.
type player struct {
	*timetable
	next int
}

// apply makes the changes that are due.
func (p *player) apply(now time.Time, to ...*counters) {
	for p.next < len(p.changes) && !p.changes[p.next].at.After(now) {
		for _, c := range to {
			c.shared.SetRates(limiterRates(p.changes[p.next].rates))
		}
		p.next++
	}
}

// until returns when the next change comes; the zero time is never.
func (p *player) until() time.Time {
	if p.next == len(p.changes) {
		return time.Time{}
	}
	return p.changes[p.next].at
}
