package limiter

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Rate is one limit: at most N hits in a Period. A Rate without a Period is a cap on what runs at the same time.
type Rate struct {
	// N is how many; a usable Rate has 1 to a thousand million.
	N int
	// Period is the length of the window: a second, a minute, an hour or a day. Zero is no window but a cap.
	Period time.Duration
}

const maxN = 1_000_000_000

// day is the longest window of a limit.
const day = 24 * time.Hour

// units are the periods of the limit syntax.
var units = [...]struct {
	letter string
	period time.Duration
}{{"S", time.Second}, {"M", time.Minute}, {"H", time.Hour}, {"D", day}}

// String returns the Rate as ParseRates reads it: "40-M", or "8" for a cap.
func (r Rate) String() string {
	n := strconv.Itoa(r.N)
	for _, u := range units {
		if u.period == r.Period {
			return n + "-" + u.letter
		}
	}
	return n
}

// ParseRates reads a comma list of limits that must all hold: "40-M,1000-H", with S, M, H or D for the period, or "8" for a
// cap on what runs at once. Two limits of one period become the stricter one, as in NVIDIA's limiter; unlike there, a
// malformed entry is an error.
func ParseRates(list string) ([]Rate, error) {
	var rates []Rate
	for entry := range strings.SplitSeq(list, ",") {
		r, err := parseRate(strings.TrimSpace(entry))
		if err != nil {
			return nil, fmt.Errorf("limit %q: %w", entry, err)
		}
		rates = addStricter(rates, r)
	}
	return rates, nil
}

var (
	errSyntax = errors.New("want N-S, N-M, N-H or N-D (such as 40-M), or N alone for a cap on what runs at once")
	errN      = fmt.Errorf("want a number from 1 to %d", maxN)
)

func parseRate(entry string) (Rate, error) {
	digits, letter, windowed := strings.Cut(entry, "-")
	n, err := strconv.ParseUint(digits, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange), err == nil && (n < 1 || n > maxN):
		return Rate{}, errN
	case err != nil:
		return Rate{}, errSyntax
	case !windowed:
		return Rate{N: int(n)}, nil
	}
	for _, u := range units {
		if strings.EqualFold(letter, u.letter) {
			return Rate{N: int(n), Period: u.period}, nil
		}
	}
	return Rate{}, errSyntax
}

func addStricter(rates []Rate, r Rate) []Rate {
	for i := range rates {
		if rates[i].Period == r.Period {
			rates[i].N = min(rates[i].N, r.N)
			return rates
		}
	}
	return append(rates, r)
}
