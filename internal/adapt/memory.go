package adapt

import "time"

// Memory is what is worth remembering of a law over the end of a process. It is written as JSON; what a field is missing of is not
// known. Times are the wall clock's.
type Memory struct {
	Ceiling int              `json:"ceiling,omitempty"` // 0 = none
	Cold    bool             `json:"cold,omitempty"`    // it was only said
	Best    int              `json:"best,omitempty"`    // the largest one that was used to the full
	State   State            `json:"state,omitempty"`   // NORMAL, RETREAT or RECOVER
	Credit  float64          `json:"credit"`            // probes that could be paid for
	Burst   int              `json:"burst,omitempty"`   // 0 = not known
	Strain  float64          `json:"strain,omitempty"`  // how much longer than the even pace the distance is
	Strict  bool             `json:"strict,omitempty"`  // no two may be closer than that
	Long    [LongCount]Spell `json:"long"`              // the hour and the day
	Retreat *Retreating      `json:"retreat,omitempty"` // nil in NORMAL
}

// Spell is a longer window.
type Spell struct {
	Ceiling   int       `json:"ceiling,omitempty"`   // 0 = none
	Tentative bool      `json:"tentative,omitempty"` // it was met once
	Start     time.Time `json:"start,omitzero"`      // when the running one opened
	Accepted  int       `json:"accepted,omitempty"`  // in it
}

// Retreating is an episode that was not over.
type Retreating struct {
	Since    time.Time      `json:"since"`             // of the first refusal
	Until    time.Time      `json:"until"`             // when the next canary was due
	Before   int            `json:"before"`            // the ceiling then
	Peak     int            `json:"peak"`              // the largest one of late
	Closed   bool           `json:"closed,omitempty"`  // a longer window is suspected
	Level    int            `json:"level,omitempty"`   // which: Hour or Day
	Refused  int            `json:"refused,omitempty"` // canaries
	Accepted [LongCount]int `json:"accepted"`          // in the longer windows before the first refusal
}

// Version counts what is worth remembering: Remember need not be called again while it has not changed.
func (l *Law) Version() uint64 { return l.version }

// Remember returns what another process should know.
func (l *Law) Remember() Memory {
	m := Memory{
		State: l.state, Credit: l.credit, Cold: l.cold, Best: int(l.free.best), Burst: l.burst.n, Strain: l.burst.strain, Strict: l.burst.strict,
	}
	if l.ceiling != Unknown {
		m.Ceiling = l.ceiling
	}
	for i := range l.long {
		h := &l.long[i]
		m.Long[i] = Spell{Start: h.start, Accepted: h.passed}
		if h.ceiling != Unknown {
			m.Long[i].Ceiling, m.Long[i].Tentative = h.ceiling, h.tentative
		}
	}
	if e := &l.episode; l.state != Normal {
		m.Retreat = &Retreating{
			Since: e.since, Until: l.paused, Before: e.before, Peak: e.peak, Closed: e.closed, Level: e.level, Refused: e.refused,
			Accepted: e.accepted,
		}
	}
	return m
}

// Restore takes over what an earlier process knew. Nothing of it is trusted: ceilings keep to the terms, and times lie in the past, or
// within the longest pause there is.
func (l *Law) Restore(now time.Time, m Memory) {
	if m.Ceiling > 0 {
		l.ceiling, l.cold = l.bounded(m.Ceiling), m.Cold
	}
	l.free.best = float64(max(0, m.Best))
	l.credit = within(m.Credit, 2*creditLeast, creditMost)
	if m.Burst > 0 && !l.burst.fixed {
		l.burst.n, l.burst.halved = min(m.Burst, max(1, l.ceiling)), m.Strict
		l.burst.strict, l.burst.strain = m.Strict, within(m.Strain, 0, strainMost)
	}
	for i, s := range m.Long {
		h := &l.long[i]
		if s.Ceiling > 0 {
			h.prior = h.ceiling
			h.ceiling, h.tentative = s.Ceiling, s.Tentative
			if h.most > 0 {
				h.ceiling = min(h.ceiling, h.most)
			}
		}
		h.start, h.passed = earlier(s.Start, now), max(0, s.Accepted)
	}
	if r := m.Retreat; r != nil && m.State != Normal && m.State < StateCount && l.ceiling != Unknown {
		l.state = m.State
		l.lastRefusal = earlier(r.Since, now)
		l.episode = episode{
			since: l.lastRefusal, before: l.bounded(r.Before), peak: l.bounded(r.Peak), closed: r.Closed, refused: max(0, r.Refused),
			level: min(max(r.Level, 0), LongCount-1),
		}
		for i, n := range r.Accepted {
			l.episode.accepted[i] = max(0, n)
		}
		l.episode.drain = l.episode.before / 4
		l.paused = earlier(r.Until, now.Add(longestProbe))
	}
}

// within returns x, kept between two bounds; the lower one for what is no number.
func within(x, least, most float64) float64 {
	if !(x >= least) {
		return least
	}
	return min(x, most)
}

// earlier returns the earlier of two times.
func earlier(a, b time.Time) time.Time {
	if a.After(b) {
		return b
	}
	return a
}

// Adopt takes the size of a window from the upstream's own words: period is the law's own, or that of a longer window; of others nothing
// is learned. It is evidence, not command: the promise still holds, and where the upstream falls silent learning goes on from there.
func (l *Law) Adopt(now time.Time, period time.Duration, n int) {
	if n < 1 {
		return
	}
	if period == l.terms.Period {
		if l.toldAt = now; l.ceiling != l.bounded(n) {
			l.move(now, l.bounded(n))
		}
		l.cold, l.phase = false, steady
		return
	}
	for i := range l.long {
		if h := &l.long[i]; h.period == period && (h.ceiling != n || h.tentative) {
			h.ceiling, h.plusEnd, h.tentative = n, time.Time{}, false
			if h.most > 0 {
				h.ceiling = min(n, h.most)
			}
			l.version++
		}
	}
}

// toldFor is how long the upstream's own words stand in for probing.
const toldFor = 10 * time.Minute

// told reports whether the upstream itself says how large the window is.
func (l *Law) told(now time.Time) bool { return !l.toldAt.IsZero() && now.Sub(l.toldAt) < toldFor }

// Pause lets nothing leave before a time, because the upstream said so. Further than an hour ahead is not believed at once.
func (l *Law) Pause(now, until time.Time) { l.pause(earlier(until, now.Add(longestProbe))) }
