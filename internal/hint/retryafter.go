package hint

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxRetryAfter bounds what RetryAfter returns: nobody plans further ahead than a day.
const MaxRetryAfter = 24 * time.Hour

// RetryAfter returns how long an answer asks its caller to wait: retry-after-ms (OpenAI's header, milliseconds) before
// Retry-After, which may be whole or fractional seconds or an HTTP date (read against now). A negative wait and a past date are
// zero; a wait beyond MaxRetryAfter is cut to it. ok is false when neither header is there or can be understood.
func RetryAfter(now time.Time, h http.Header) (wait time.Duration, ok bool) {
	if wait, ok = number(first(h, "Retry-After-Ms"), time.Millisecond); ok {
		return wait, true
	}
	value := strings.TrimSpace(first(h, "Retry-After"))
	if wait, ok = number(value, time.Second); ok {
		return wait, true
	}
	if value == "" {
		return 0, false
	}
	for _, layout := range dateLayouts {
		if at, err := time.Parse(layout, value); err == nil {
			return min(max(at.Sub(now), 0), MaxRetryAfter), true
		}
	}
	return 0, false
}

// dateLayouts are the three forms of an HTTP-date (RFC 9110, 5.6.7), the preferred one first.
var dateLayouts = [...]string{"Mon, 02 Jan 2006 15:04:05 GMT", time.RFC850, time.ANSIC}

// number reads a count of units, within [0, MaxRetryAfter]. "Inf" and "NaN" are words, not numbers.
func number(s string, unit time.Duration) (time.Duration, bool) {
	if s == "" {
		return 0, false // the usual case: no error value is made for it
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return 0, false
	}
	if n >= float64(MaxRetryAfter)/float64(unit) {
		return MaxRetryAfter, true
	}
	return time.Duration(max(n, 0) * float64(unit)), true
}
