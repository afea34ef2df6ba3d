package quota

import (
	"time"

	"nimsidecar/internal/adapt"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/pace"
)

// Trust is what the rates of Terms are worth.
type Trust uint8

// The kinds of trust.
const (
	Fixed   Trust = iota // they are taken as they are: nothing is learned, nothing is probed
	Promise              // never exceeded; learning works below them
	Hint                 // learning begins there, and may go up to four times that
)

// climbMost is how far learning may go beyond a hint.
const climbMost = 4

// Terms are what the attempts of a scope must keep to. The zero value is no limit: everything may leave at once until the
// upstream refuses.
type Terms struct {
	// Rates must all hold.
	Rates limit.Rates

	// Trust says whether they are learned from.
	Trust Trust

	// Burst is how many may leave at once after idleness, in each window that is spaced. Zero leaves it to BurstShare.
	Burst int

	// BurstShare, between 0 and 1, makes the burst this share of a window, at least 1: right for upstreams that count windows
	// and take a burst well. Zero is a burst of 4, safe with most token buckets.
	BurstShare float64

	// PerModel says that the upstream counts each model for itself, so that a refusal which does not say whose it is is the model's.
	PerModel bool

	// Paused lets nothing out that is not forced. Who waits keeps waiting; charges go on ageing.
	Paused bool
}

// defaultBurst is right where nothing is known of the upstream: a person's first clicks leave at once, and few token buckets are
// smaller.
const defaultBurst = 4

// burst returns how many of a window of n may leave at once.
func (t Terms) burst(n int) int {
	burst := defaultBurst
	switch {
	case t.Burst > 0:
		burst = t.Burst
	case t.BurstShare > 0:
		burst = int(t.BurstShare * float64(n)) // 0 counts as 1
	}
	return max(1, min(burst, n))
}

// most returns what learning may make of n.
func (t Terms) most(n int) int {
	if t.Trust == Hint {
		return climbMost * n
	}
	return n
}

// learned is the index of the rate that learning works on: the longest of at most a minute; -1 = nothing was said of one.
func (t Terms) learned() int {
	index := -1
	for i, r := range t.Rates {
		if r.Period <= time.Minute {
			index = i
		}
	}
	return index
}

// law returns the law that learns from the terms, or nil if nothing is to be learned.
func (t Terms) law(seed uint64) *adapt.Law {
	if t.Trust == Fixed {
		return nil
	}
	terms := adapt.Terms{Period: time.Minute, Burst: t.Burst, Share: t.BurstShare, Seed: seed}
	if i := t.learned(); i >= 0 {
		terms.Period, terms.Start, terms.Most = t.Rates[i].Period, t.Rates[i].N, t.most(t.Rates[i].N)
	}
	terms.Margin = pace.Margin(terms.Period)
	for _, r := range t.Rates {
		if i := longIndex(r.Period); i >= 0 {
			terms.Long[i] = adapt.Told{N: r.N, Most: t.most(r.N)}
		}
	}
	return adapt.New(terms)
}

// longIndex returns which of the longer windows that a law knows has the period; -1 = none.
func longIndex(period time.Duration) int {
	switch period {
	case time.Hour:
		return adapt.Hour
	case 24 * time.Hour:
		return adapt.Day
	}
	return -1
}
