package upstream

import (
	"net/url"
	"strings"
)

// PathError says why a path is not forwarded.
type PathError struct {
	Why string // a clause such as "it holds a backslash"
}

// Error returns Why.
func (e *PathError) Error() string { return e.Why }

// escapes are bytes that must not be hidden behind a percent sign: an upstream that decodes once more than we do would see another
// path than was checked. An escaped slash is let through, since SDKs write model ids with one so (/models/meta%2Fllama), and is
// judged as the separator that some upstreams take it for.
const escapes = "\\.%"

// separators turns every way of writing a slash into one.
var separators = strings.NewReplacer("%2F", "/", "%2f", "/")

// CheckPath refuses a path, escaped and beginning with the slash after /v1, that an upstream might take for something outside of
// /v1: dot segments, empty segments, backslashes, encoded backslashes, dots, percent signs and control characters, broken escapes.
// The error is a *PathError. A path that passes may be sent as it is.
func CheckPath(escaped string) error {
	if !strings.HasPrefix(escaped, "/") {
		return &PathError{"it must begin with a slash"}
	}
	for i := range len(escaped) {
		switch c := escaped[i]; {
		case c == '\\':
			return &PathError{"it holds a backslash"}
		case c == '%':
			if err := checkEscape(escaped[i:]); err != nil {
				return err
			}
		case !isPlain(c):
			return &PathError{"it holds a character that must be escaped"}
		}
	}
	rest := escaped[1:]
	if strings.Contains(rest, "%") { // seldom, and replacing allocates in any case
		rest = separators.Replace(rest)
	}
	for rest != "" {
		segment, after, more := strings.Cut(rest, "/")
		name, _, _ := strings.Cut(segment, ";") // a path parameter is cut off by some servers
		switch {
		case name == "." || name == "..":
			return &PathError{"it holds a dot segment"}
		case name == "":
			return &PathError{"it holds an empty segment"}
		case !more:
			return nil
		}
		rest = after
	}
	return nil
}

// isPlain reports whether a byte may stand in a path as it is (RFC 3986, 3.3; the brackets are let through by net/url).
func isPlain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("/-._~!$&'()*+,;=:@[]", c) >= 0
}

// checkEscape looks at the escape at the head of s.
func checkEscape(s string) error {
	if len(s) < 3 {
		return &PathError{"it holds a broken escape"}
	}
	decoded, err := url.PathUnescape(s[:3])
	switch {
	case err != nil:
		return &PathError{"it holds a broken escape"}
	case strings.Contains(escapes, decoded):
		return &PathError{"it hides a backslash, dot or percent sign behind an escape"}
	case decoded[0] < ' ' || decoded[0] == 0x7f:
		return &PathError{"it holds an escaped control character"}
	}
	return nil
}

// locate returns the URL of a checked path below the provider's base.
func (p *provider) locate(u *url.URL, r *Request) {
	*u = p.base
	u.RawPath = p.base.Path + r.Path
	u.Path = u.RawPath
	if strings.Contains(r.Path, "%") {
		u.Path, _ = url.PathUnescape(u.RawPath) // checked before
	}
	u.RawQuery = r.RawQuery
}
