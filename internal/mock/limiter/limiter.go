package limiter

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Limiter says of each hit whether it may pass. Every time passed in must not lie before the one passed in last. A Limiter
// is not safe for concurrent use: whoever owns it holds a lock.
type Limiter interface {
	// Hit counts one request at now, as the kind counts, and reports whether it may pass.
	Hit(now time.Time) bool
	// Done says that a hit that was let through has ended. Only the cap on what runs at once needs it; it must be called
	// exactly once for each such hit there, and does nothing elsewhere.
	Done()
	// SetRates changes the limits for the hits to come; they must have passed Options.Check. What has been counted stays
	// counted as far as the kind's upstream would still know of it.
	SetRates(rates []Rate)
	// State returns what a response header could say at now. It counts nothing.
	State(now time.Time) State
}

// State is what a limiter could tell its caller: of several limits the one with the least room left.
type State struct {
	// Rate is that limit.
	Rate Rate
	// Left is how many more hits would pass now.
	Left int
	// Reset is the time until that limit is whole again.
	Reset time.Duration
	// Wait is the time until a hit would pass all limits, zero if it would pass now or if time alone does not help.
	Wait time.Duration
}

// tighter joins the states of two limits that must both hold.
func (s State) tighter(t State) State {
	wait := max(s.Wait, t.Wait)
	if t.Left < s.Left || t.Left == s.Left && t.Reset > s.Reset {
		s = t
	}
	s.Wait = wait
	return s
}

// A Kind names the way in which an upstream counts.
type Kind string

// The kinds. The package comment compares them.
const (
	// FirstHit is NVIDIA's: a fixed window that opens at the first hit after the last one expired, is never extended, and
	// counts refused hits too. A limit of another text is another counter, which is how NVIDIA's are keyed: a changed limit
	// begins at zero, and the old one, put back in time, is found as full as it was.
	FirstHit Kind = "nvidia"
	// Minute is a fixed window aligned to the clock, whatever its period; refused hits count.
	Minute Kind = "minute"
	// Sliding is a log of the hits that passed: at most N in any period.
	Sliding Kind = "sliding"
	// SlidingRefusals is a sliding log that holds the refused hits as well.
	SlidingRefusals Kind = "sliding-refusals"
	// Bucket is a token bucket: N a period, refilled continuously, of Burst tokens.
	Bucket Kind = "bucket"
	// InFlight is a cap on what runs at the same time.
	InFlight Kind = "inflight"
	// None lets everything pass.
	None Kind = "none"
)

// Kinds returns every kind, for messages and help texts.
func Kinds() []Kind {
	return []Kind{FirstHit, Minute, Sliding, SlidingRefusals, Bucket, InFlight, None}
}

// Options describe a Limiter. The zero value is of no kind; Check refuses it.
type Options struct {
	// Kind is how to count.
	Kind Kind
	// Rates are the limits, which must all hold. None of them means that everything passes.
	Rates []Rate
	// Burst is the size of a bucket in tokens, and means nothing to the other kinds. Zero is the N of each rate.
	Burst int
}

// Check returns why New could not build such a Limiter, or nil.
func (o Options) Check() error {
	if !slices.Contains(Kinds(), o.Kind) {
		return fmt.Errorf("unknown kind %q, want one of %s", o.Kind, join(Kinds()))
	}
	if o.Burst < 0 {
		return fmt.Errorf("burst %d is negative", o.Burst)
	}
	if o.Kind == InFlight {
		return checkCap(o.Rates)
	}
	for i, r := range o.Rates {
		if r.Period <= 0 {
			return fmt.Errorf("limit %s has no period, want N-S, N-M, N-H or N-D", r)
		}
		if slices.ContainsFunc(o.Rates[:i], func(other Rate) bool { return other.Period == r.Period }) {
			return fmt.Errorf("limit %s: there is another one of that period", r)
		}
		burst, most := int64(burstOf(r, o.Burst)), maxLevel/int64(r.Period)
		if o.Kind == Bucket && burst > most {
			return fmt.Errorf("limit %s: a bucket of %d tokens is too large, want a burst of at most %d", r, burst, most)
		}
	}
	return nil
}

func checkCap(rates []Rate) error {
	if len(rates) > 1 {
		return errors.New("only one cap can hold on what runs at once")
	}
	for _, r := range rates {
		if r.Period != 0 {
			return fmt.Errorf("limit %s: a cap on what runs at once is a plain number such as 8", r)
		}
	}
	return nil
}

func join(kinds []Kind) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = string(k)
	}
	return strings.Join(names, ", ")
}

// New returns an empty Limiter of the given kind, or the error of Check.
func New(o Options) (Limiter, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	l := build(o)
	l.SetRates(o.Rates)
	return l, nil
}

func build(o Options) Limiter {
	switch o.Kind {
	case FirstHit:
		return &fixed{counters: map[Rate]*counter{}}
	case Minute:
		return &fixed{counters: map[Rate]*counter{}, aligned: true}
	case Sliding:
		return &sliding{}
	case SlidingRefusals:
		return &sliding{refusals: true}
	case Bucket:
		return &bucket{burst: o.Burst}
	case InFlight:
		return &inflight{}
	}
	return open{}
}

// windowed is embedded by the kinds to which it does not matter when a hit ends.
type windowed struct{}

func (windowed) Done() {}

// open is the kind None.
type open struct{ windowed }

func (open) Hit(time.Time) bool    { return true }
func (open) SetRates([]Rate)       {}
func (open) State(time.Time) State { return State{Left: maxN} }
