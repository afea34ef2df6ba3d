// Package limit is the words of a limit: Rate (`40-M`), Scope (provider, account, model), and their syntax.
package limit

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Rate is one window of a limit: at most N requests in any Period. The zero value allows nothing and is not a valid rate.
type Rate struct {
	N      int
	Period time.Duration
}

// MaxN is the largest number a rate may have. A ledger remembers each charge of a window, so N bounds its memory.
const MaxN = 1_000_000

// units are the periods of NVIDIA's rate syntax, shortest first.
var units = [...]struct {
	letter byte
	period time.Duration
}{
	{'S', time.Second},
	{'M', time.Minute},
	{'H', time.Hour},
	{'D', 24 * time.Hour},
}

// Allowed is what an error message tells somebody who wrote something else.
const Allowed = "N-S, N-M, N-H or N-D (requests a second, minute, hour, day), several joined by commas, such as 40-M,1000-H"

// String returns the rate in the syntax that Parse reads. A period that the syntax lacks is written as a duration.
func (r Rate) String() string {
	for _, u := range units {
		if u.period == r.Period {
			return strconv.Itoa(r.N) + "-" + string(u.letter)
		}
	}
	return fmt.Sprintf("%d/%s", r.N, r.Period)
}

// PerMinute returns the rate in requests a minute.
func (r Rate) PerMinute() float64 {
	if r.Period <= 0 {
		return 0
	}
	return float64(r.N) * float64(time.Minute) / float64(r.Period)
}

// Rates is a limit: all of its rates must hold. At most one rate a period, shortest period first. Nil is no limit.
type Rates []Rate

// String returns the list in the syntax that Parse reads, and "none" for no limit.
func (rs Rates) String() string {
	if len(rs) == 0 {
		return "none"
	}
	parts := make([]string, len(rs))
	for i, r := range rs {
		parts[i] = r.String()
	}
	return strings.Join(parts, ",")
}

// PerMinute returns the steepest pace that all rates allow in the long run, in requests a minute; 0 for no limit.
func (rs Rates) PerMinute() float64 {
	lowest := 0.0
	for i, r := range rs {
		if rpm := r.PerMinute(); i == 0 || rpm < lowest {
			lowest = rpm
		}
	}
	return lowest
}

// SyntaxError tells where a limit could not be read.
type SyntaxError struct {
	Input  string // the whole list
	Offset int    // byte in Input at which the bad entry begins
	Entry  string // the bad entry
	Why    string // what is wrong with it, for a person
}

// Error names the entry, what is wrong with it and what is allowed.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("limit %q: %s: use %s", e.Entry, e.Why, Allowed)
}

// Parse reads a comma list of rates such as "40-M,1000-H". Letters may be lower case and blanks may surround an entry. Of two
// rates with one period the stricter stays, since both must hold. Every error is a *SyntaxError. Unlike NVIDIA's own parser it
// skips nothing: a limit that is not understood must not silently be no limit.
func Parse(s string) (Rates, error) {
	var strictest [len(units)]int
	offset := 0
	for raw := range strings.SplitSeq(s, ",") {
		entry := strings.TrimSpace(raw)
		n, unit, why := parseEntry(entry)
		if why != "" {
			at := offset + strings.Index(raw, entry)
			return nil, &SyntaxError{Input: s, Offset: at, Entry: entry, Why: why}
		}
		if strictest[unit] == 0 || n < strictest[unit] {
			strictest[unit] = n
		}
		offset += len(raw) + 1
	}
	var rates Rates
	for unit, n := range strictest {
		if n > 0 {
			rates = append(rates, Rate{N: n, Period: units[unit].period})
		}
	}
	return rates, nil
}

// parseEntry reads one rate; why is empty when it is good.
func parseEntry(entry string) (n, unit int, why string) {
	if entry == "" {
		return 0, 0, "an entry is empty"
	}
	number, letter, found := strings.Cut(entry, "-")
	if !found {
		return 0, 0, "there is no unit"
	}
	n, err := strconv.Atoi(number)
	if err != nil || number[0] == '+' {
		return 0, 0, fmt.Sprintf("%q is not a whole number", number)
	}
	if n < 1 || n > MaxN {
		return 0, 0, fmt.Sprintf("%d is not between 1 and %d", n, MaxN)
	}
	for i, u := range units {
		if len(letter) == 1 && letter[0]&^0x20 == u.letter {
			return n, i, ""
		}
	}
	return 0, 0, fmt.Sprintf("%q is not a unit", letter)
}

// MarshalText writes the list as String does; no limit is the empty text.
func (rs Rates) MarshalText() ([]byte, error) {
	if len(rs) == 0 {
		return nil, nil
	}
	return []byte(rs.String()), nil
}

// UnmarshalText is Parse, for settings; the empty text is no limit.
func (rs *Rates) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*rs = nil
		return nil
	}
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*rs = parsed
	return nil
}
