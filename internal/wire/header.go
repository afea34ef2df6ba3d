package wire

import (
	"net/http"
	"strings"
	"time"
)

// hopByHop are the headers that speak to the next hop only (RFC 9110, 7.6.1, and those before it), beside Proxy-*.
var hopByHop = [...]string{"Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// RemoveHopByHop deletes from h what speaks to the next hop only: Connection and the headers it names, Keep-Alive, Proxy-*, TE,
// Trailer, Transfer-Encoding, Upgrade. The keys of h must be canonical, as net/http makes them. Remove first and add credentials
// afterwards: a Connection header may name any header.
func RemoveHopByHop(h http.Header) {
	for _, value := range h["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range hopByHop {
		delete(h, name)
	}
	for name := range h {
		if strings.HasPrefix(name, "Proxy-") {
			delete(h, name)
		}
	}
}

// maxReset bounds a reset; a limit that is spent for longer is spent for good.
const maxReset = 365 * 24 * time.Hour

// FormatReset writes a duration as OpenAI's x-ratelimit-reset headers do, such as 17ms, 1s or 6m0s: rounded up to a millisecond, so
// that who waits for it does not come too early. What is not positive is 0s.
func FormatReset(d time.Duration) string {
	return roundUp(min(max(d, 0), maxReset), time.Millisecond).String()
}

// roundUp returns the next multiple of unit that is not below d.
func roundUp(d, unit time.Duration) time.Duration {
	rounded := d.Truncate(unit)
	if rounded < d {
		rounded += unit
	}
	return rounded
}
