package hint

import (
	"net/http"
	"strings"
	"time"
)

// fieldUnits are the units of draft-ietf-httpapi-ratelimit-headers that are understood; the first is the default. Its content-bytes
// are none of ours.
var fieldUnits = map[string]Unit{"": Requests, "requests": Requests, "request": Requests, "concurrent-requests": Concurrent}

// item is a member of the draft's lists: a policy, or the state of one, each with the parameters that it may have.
type item struct {
	name      string              // of the policy; before draft 7 its quota
	quota     Told[int]           // q
	window    Told[time.Duration] // w
	unit      string              // qu
	remaining Told[int]           // r
	reset     Told[time.Duration] // t
}

// ietf adds what the fields of the IETF's draft say: RateLimit-Policy and RateLimit, and before draft 7 RateLimit-Limit, -Remaining
// and -Reset, of which the first may go on with policies (100, 100;w=60).
func ietf(signs []Sign, now time.Time, h http.Header) []Sign {
	policies, states := items(h["Ratelimit-Policy"]), items(h["Ratelimit"])
	if limits := items(h["Ratelimit-Limit"]); len(limits) > 0 {
		policies = append(policies, limits[1:]...)
		limits[0].remaining, limits[0].reset = count(only(h, "Ratelimit-Remaining")), reset(now, only(h, "Ratelimit-Reset"))
		states = append(states, limits[0])
	}
	for _, p := range policies {
		for i, s := range states {
			if s.name == p.name {
				p.remaining, p.reset = s.remaining, s.reset
				states = append(states[:i], states[i+1:]...)
				break
			}
		}
		signs = p.tell(signs)
	}
	for _, s := range states {
		signs = s.tell(signs)
	}
	return signs
}

// only returns the value of a header that comes once.
func only(h http.Header, name string) string {
	if values := h[name]; len(values) == 1 {
		return values[0]
	}
	return ""
}

// tell adds the sign of a policy.
func (p *item) tell(signs []Sign) []Sign {
	unit, known := fieldUnits[p.unit]
	if !known {
		return signs
	}
	return appended(signs, Sign{
		Unit: unit, Period: p.window.value, Limit: p.quota.or(count(p.name)), Remaining: p.remaining, Reset: p.reset,
	})
}

// items returns the first members of a field that is a list of items with parameters (RFC 9651, 3.1 and 3.3), of which each line
// holds some; nil if one of these is malformed.
func items(lines []string) []item {
	var all []item
	for _, line := range lines {
		sc := scanner{rest: line}
		for more := true; more && len(all) < MaxSigns; more = sc.takes(',') {
			i, ok := sc.item()
			if !ok {
				return nil
			}
			all = append(all, i)
		}
		if len(all) < MaxSigns && sc.rest != "" {
			return nil
		}
	}
	return all
}

// scanner takes a structured field apart. What it has read is gone from rest.
type scanner struct{ rest string }

// takes reads one character, and the blanks around it, if it comes next.
func (sc *scanner) takes(c byte) bool {
	sc.rest = strings.TrimLeft(sc.rest, " \t")
	if sc.rest == "" || sc.rest[0] != c {
		return false
	}
	sc.rest = strings.TrimLeft(sc.rest[1:], " \t")
	return true
}

// item reads a bare item and its parameters.
func (sc *scanner) item() (i item, ok bool) {
	sc.rest = strings.TrimLeft(sc.rest, " \t")
	for i.name, ok = sc.bare(); ok && sc.takes(';'); {
		key, value := sc.span(isKey), "?1" // a parameter without a value is true
		ok = key != ""
		if ok && strings.HasPrefix(sc.rest, "=") {
			sc.rest = sc.rest[1:]
			value, ok = sc.bare()
		}
		ok = ok && i.set(key, value)
	}
	return i, ok
}

// set takes over a parameter, unless it is one that is not used here. It reports whether the value can be one of it.
func (i *item) set(key, value string) bool {
	switch key {
	case "q":
		i.quota = count(value)
		return i.quota.said
	case "r":
		i.remaining = count(value)
		return i.remaining.said
	case "w":
		i.window = seconds(value)
		return i.window.said
	case "t":
		i.reset = seconds(value)
		return i.reset.said
	case "qu":
		i.unit = strings.Trim(value, `"`)
	}
	return true
}

// seconds reads a whole number of seconds.
func seconds(s string) Told[time.Duration] {
	n, ok := count(s).Get()
	if !ok || n > int(farthest/time.Second) {
		return Told[time.Duration]{}
	}
	return Tell(time.Duration(n) * time.Second)
}

// bare reads a bare item as the text that it is written in, with the quotes of a string and the colons of a byte sequence.
func (sc *scanner) bare() (text string, ok bool) {
	if sc.rest == "" {
		return "", false
	}
	switch quote := sc.rest[0]; quote {
	case '"', ':':
		for i := 1; i < len(sc.rest); i++ {
			switch sc.rest[i] {
			case quote:
				text, sc.rest = sc.rest[:i+1], sc.rest[i+1:]
				return text, true
			case '\\':
				i++
			}
		}
		return "", false
	}
	text = sc.span(isToken)
	return text, text != ""
}

// span reads as long as the characters are good.
func (sc *scanner) span(good func(rune) bool) string {
	end := strings.IndexFunc(sc.rest, func(r rune) bool { return !good(r) })
	if end < 0 {
		end = len(sc.rest)
	}
	text := sc.rest[:end]
	sc.rest = sc.rest[end:]
	return text
}

// isToken reports whether r may stand in a token, a number, a boolean or a date.
func isToken(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~:/?@", r)
}

// isKey reports whether r may stand in a parameter's key.
func isKey(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("_-.*", r)
}
