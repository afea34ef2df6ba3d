package hint

import (
	"fmt"
	"time"
)

// MaxSigns is the most signs that an Outcome holds. What an answer says beyond that is not read.
const MaxSigns = 8

// farthest bounds the periods and resets that are believed: nobody's window is longer than a year.
const farthest = 366 * 24 * time.Hour

// Unit is what a limit counts. The zero value is Requests.
type Unit uint8

// The units of limits.
const (
	Requests     Unit = iota // requests in a period
	Tokens                   // LLM tokens, those read and those written together
	InputTokens              // LLM tokens read
	OutputTokens             // LLM tokens written
	Concurrent               // requests at a time; such a limit needs no period
	unitCount
)

// unitNames are the words of logs and metrics.
var unitNames = [unitCount]string{"requests", "tokens", "input_tokens", "output_tokens", "concurrent"}

// String returns the word of logs and metrics, such as input_tokens.
func (u Unit) String() string {
	if u < unitCount {
		return unitNames[u]
	}
	return "unknown"
}

// OfTokens reports whether the limit counts LLM tokens of any kind, so that a refusal by it says nothing about the rate of requests.
func (u Unit) OfTokens() bool { return u == Tokens || u == InputTokens || u == OutputTokens }

// Reach is what a limit is counted for. The zero value was not said.
type Reach uint8

// The reaches of limits.
const (
	ReachUnsaid  Reach = iota
	ReachModel         // one model of the account
	ReachAccount       // the whole account, whatever the model
)

// Told is a number that an answer may leave out. The zero value was left out: it cannot be taken for the number zero, which is a
// limit like any other, and which some providers tell of a model that is not part of the plan. It is comparable.
type Told[T int | time.Duration] struct {
	value T
	said  bool
}

// Tell returns v as a number that was said.
func Tell[T int | time.Duration](v T) Told[T] { return Told[T]{value: v, said: true} }

// Get returns the number; ok is false, and v zero, when it was left out.
func (t Told[T]) Get() (v T, ok bool) { return t.value, t.said }

// Or returns the number, or v when it was left out.
func (t Told[T]) Or(v T) T {
	if t.said {
		return t.value
	}
	return v
}

// String returns the number, or - when it was left out.
func (t Told[T]) String() string {
	if !t.said {
		return "-"
	}
	return fmt.Sprint(t.value)
}

// or returns t, or the other number where t was left out.
func (t Told[T]) or(other Told[T]) Told[T] {
	if t.said {
		return t
	}
	return other
}

// agrees reports whether both can be the same number.
func (t Told[T]) agrees(other Told[T]) bool { return !t.said || !other.said || t == other }

// Sign is what an answer says about one limit. It is evidence, not command: it comes from outside, may be wrong, and may speak of
// other users of the same account. What could not be understood is left out, never guessed. The zero value says nothing. It is a
// comparable value.
type Sign struct {
	Unit   Unit          // what is counted
	Reach  Reach         // for whom
	Period time.Duration // over which, at most a year; 0 = not said. A month is 30 days

	// Limit is how much a period allows, Remaining what is left of it, never more than Limit. Neither is negative. Where Limit is
	// told to be zero, Remaining is too.
	Limit, Remaining Told[int]
	// Reset is how long from now on it takes until the limit is whole again: at least zero, at most a year.
	Reset Told[time.Duration]

	// Blamed means that the answer itself names this limit as the one that refused, whatever Remaining says: what is left of a
	// limit in tokens may be less than what was asked for.
	Blamed bool
}

// spent reports whether the limit refuses whatever comes.
func (s Sign) spent() bool { return s.Blamed || s.Remaining == Tell(0) }

// outweighs reports whether, of two limits that may both have refused, s explains it better than t: the one that the answer names,
// else the one that lasts longer.
func (s Sign) outweighs(t Sign) bool {
	if s.Blamed != t.Blamed {
		return s.Blamed
	}
	return s.Reset.or(Tell(s.Period)).value > t.Reset.or(Tell(t.Period)).value
}

// sane returns s without what contradicts itself.
func (s Sign) sane() Sign {
	switch limit, limited := s.Limit.Get(); {
	case limited && limit == 0:
		s.Remaining = Tell(0)
	case limited && s.Remaining.value > limit:
		s.Remaining = Told[int]{}
	}
	return s
}

// appended adds s to signs, if it says anything and there is room.
func appended(signs []Sign, s Sign) []Sign {
	if says := s.Limit.said || s.Remaining.said || s.Reset.said || s.Blamed; !says || len(signs) == MaxSigns {
		return signs
	}
	if signs == nil {
		signs = make([]Sign, 0, MaxSigns/2) // most dialects tell of two to four limits
	}
	return append(signs, s.sane())
}

// merged adds what the body of an answer says: to the sign of a header that speaks of the same limit, else as a sign of its own.
// Where there is no room the last one gives way, since the body explains the refusal.
func merged(signs []Sign, s Sign) []Sign {
	for _, period := range [...]time.Duration{s.Period, 0} {
		for i := range signs {
			h := &signs[i]
			if h.Unit != s.Unit || s.Period != 0 && h.Period != period || !h.Limit.agrees(s.Limit) {
				continue
			}
			h.Reach, h.Period, h.Blamed = max(h.Reach, s.Reach), max(h.Period, s.Period), h.Blamed || s.Blamed
			h.Limit, h.Remaining, h.Reset = h.Limit.or(s.Limit), h.Remaining.or(s.Remaining), h.Reset.or(s.Reset)
			*h = h.sane()
			return signs
		}
	}
	return appended(signs[:min(len(signs), MaxSigns-1)], s)
}
