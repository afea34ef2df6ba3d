package hint

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// kinds are the words in a header's name for what it tells of a limit.
var kinds = [...]string{"Limit", "Remaining", "Reset"}

// row is the headers of one limit. Their names, in canonical form, are made of before, a kind and after.
type row struct {
	before, after string
	unit          Unit
	period        time.Duration // 0: the name does not tell; the dialect may
}

const (
	usual     = "X-Ratelimit-"
	anthropic = "Anthropic-Ratelimit-"
	month     = 30 * day
)

// rows are all limits that headers are known to tell of, beside those of the IETF's draft.
var rows = [...]row{
	{usual, "-Requests", Requests, 0}, // OpenAI, Azure, Groq, Nous and most others
	{usual, "-Tokens", Tokens, 0},     // and NVIDIA's newer gateway
	{usual, "-Input-Tokens", InputTokens, 0},
	{usual, "-Output-Tokens", OutputTokens, 0},
	{usual, "", Requests, 0},                     // OpenRouter
	{usual, "-Requests-1h", Requests, time.Hour}, // Nous
	{usual, "-Tokens-1h", Tokens, time.Hour},
	{usual, "-Req-Second", Requests, time.Second}, // Mistral
	{usual, "-Req-10-Second", Requests, 10 * time.Second},
	{usual, "-Req-Minute", Requests, time.Minute},
	{usual, "-Req-Month", Requests, month},
	{usual, "-Tokens-Minute", Tokens, time.Minute}, // and Cerebras
	{usual, "-Tokens-5-Minute", Tokens, 5 * time.Minute},
	{usual, "-Tokens-Month", Tokens, month},
	{usual, "-Requests-Minute", Requests, time.Minute}, // Cerebras
	{usual, "-Requests-Hour", Requests, time.Hour},
	{usual, "-Requests-Day", Requests, day}, // and SambaNova
	{usual, "-Tokens-Hour", Tokens, time.Hour},
	{usual, "-Tokens-Day", Tokens, day},
	{anthropic + "Requests-", "", Requests, time.Minute},
	{anthropic + "Tokens-", "", Tokens, time.Minute},
	{anthropic + "Input-Tokens-", "", InputTokens, time.Minute},
	{anthropic + "Output-Tokens-", "", OutputTokens, time.Minute},
}

// said are the values of a row's headers, by kind.
type said [len(kinds)]string

// signs returns what the headers say about limits. Of one that comes twice nobody knows which counts: it is left out.
func (d *dialect) signs(now time.Time, h http.Header) (signs []Sign) {
	var all [len(rows)]said
	for name, values := range h {
		if len(values) != 1 {
			continue
		}
		if row, kind, ok := find(name); ok {
			all[row][kind] = values[0]
		}
	}
	for i := range all {
		if all[i] != (said{}) {
			signs = appended(signs, d.sign(rows[i], now, all[i]))
		}
	}
	return ietf(signs, now, h)
}

// find returns which kind of which row a header is.
func find(name string) (row, kind int, ok bool) {
	for i := range rows {
		rest, begins := strings.CutPrefix(name, rows[i].before)
		rest, ends := strings.CutSuffix(rest, rows[i].after)
		if !begins || !ends {
			continue
		}
		if kind = slices.Index(kinds[:], rest); kind >= 0 {
			return i, kind, true
		}
	}
	return 0, 0, false
}

// sign returns what the headers of a row say.
func (d *dialect) sign(r row, now time.Time, v said) Sign {
	s := Sign{Unit: r.unit, Period: r.period, Limit: count(v[0]), Remaining: count(v[1]), Reset: reset(now, v[2])}
	if r.before == usual && r.period == 0 {
		s.Period = d.periods[r.after]
	}
	if d.refills && r.unit == Requests {
		s.Period = refilled(s)
	}
	return s
}

// refilled returns the period of a limit that refills steadily. OpenAI's header for the requests of a minute tells those of a day
// where the account has such a limit: of 10,000, one is back after 8.64 s. A period that is neither is not known.
func refilled(s Sign) time.Duration {
	whole := s.Reset.value.Seconds() // from empty to full
	if used := s.Limit.value - s.Remaining.value; used > 0 {
		whole *= float64(s.Limit.value) / float64(used)
	}
	switch {
	case math.Abs(whole-day.Seconds()) <= day.Seconds()/10:
		return day
	case whole > time.Hour.Seconds() || s.Reset.value > s.Period:
		return 0
	}
	return s.Period
}

// count reads a number without sign. One of more than 15 digits is nobody's limit.
func count(s string) Told[int] {
	s = strings.Trim(s, " ")
	if s == "" || len(s) > 15 || strings.Trim(s, "0123456789") != "" {
		return Told[int]{}
	}
	n, err := strconv.Atoi(s)
	if err != nil { // too large for this machine
		return Told[int]{}
	}
	return Tell(n)
}

// The sizes from which a bare number is a time rather than a distance from now.
const (
	epochSeconds = 1e9
	epochMillis  = 1e10
	absurd       = 1e15
)

// reset reads when a limit is whole again, in any form that is seen: 17ms, 6m0s, 2m59.56s, seconds, seconds or milliseconds of the
// epoch, a date of RFC 3339. What lies in the past is zero.
func reset(now time.Time, s string) Told[time.Duration] {
	if s = strings.Trim(s, " "); s == "" {
		return Told[time.Duration]{}
	}
	in, ok := bareNumber(now, s)
	if !ok {
		var err error
		if in, err = time.ParseDuration(s); err != nil {
			at, err := time.Parse(time.RFC3339, s)
			if err != nil {
				return Told[time.Duration]{}
			}
			in = at.Sub(now)
		}
	}
	if in > farthest {
		return Told[time.Duration]{}
	}
	return Tell(max(in, 0))
}

// bareNumber reads a number without a unit as the distance from now that its size makes it.
func bareNumber(now time.Time, s string) (in time.Duration, ok bool) {
	if strings.Trim(s, "+-.0123456789eE") != "" { // neither a word such as NaN
		return 0, false
	}
	n, err := strconv.ParseFloat(s, 64)
	switch {
	case err != nil || n >= absurd:
		return 0, false
	case n > epochMillis:
		return time.UnixMilli(int64(n)).Sub(now), true
	case n >= epochSeconds:
		return time.UnixMilli(int64(n * 1000)).Sub(now), true
	}
	return time.Duration(max(n, 0) * float64(time.Second)), true
}
