// Package priority is the four classes URGENT, HIGH, NORMAL, LOW and how a client asks for one.
package priority

import (
	"fmt"
	"net/http"
	"strings"
)

// Class says how urgent a request is. The smaller value is the more urgent one, so classes compare with <.
// The zero value is Urgent; a request that asks for nothing is Normal.
type Class uint8

// The classes, most urgent first. Their numbers are part of the contract: a client may send 0..3.
const (
	Urgent Class = iota // a person waits for it
	High                // an agent that a person watches
	Normal              // the default
	Low                 // whenever there is room
)

// Count is the number of classes: arrays indexed by Class have this length.
const Count = 4

// Allowed is what an error message tells a client that sent something else.
const Allowed = "urgent, high, normal, low or 0, 1, 2, 3"

// names holds the spelling in metrics and logs.
var names = [Count]string{"URGENT", "HIGH", "NORMAL", "LOW"}

// All returns the classes, most urgent first.
func All() [Count]Class { return [Count]Class{Urgent, High, Normal, Low} }

// String returns the class as metrics and logs spell it, such as URGENT.
func (c Class) String() string {
	if c < Count {
		return names[c]
	}
	return fmt.Sprintf("Class(%d)", uint8(c))
}

// Parse reads a class from its name in any letter case, or from its number 0..3. White space around it is ignored.
func Parse(s string) (Class, error) {
	s = strings.TrimSpace(s)
	for c, name := range names {
		if strings.EqualFold(s, name) || len(s) == 1 && s[0] == '0'+byte(c) {
			return Class(c), nil
		}
	}
	return Normal, fmt.Errorf("priority: %q is not a class: use %s", clip(s), Allowed)
}

// clipAt keeps an error message short whatever was sent.
const clipAt = 32

// clip bounds what an error repeats of a value that a stranger chose.
func clip(s string) string {
	if len(s) > clipAt {
		return s[:clipAt] + "…"
	}
	return s
}

// MarshalText writes the class in lower case, as settings files spell it.
func (c Class) MarshalText() ([]byte, error) { return []byte(strings.ToLower(c.String())), nil }

// UnmarshalText is Parse, for settings files.
func (c *Class) UnmarshalText(text []byte) error {
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*c = parsed
	return nil
}

// The request headers that carry a class.
const (
	Header      = "X-Sidecar-Priority" // strict: an unknown value is an error
	HeaderAlias = "X-Priority"         // lenient: an unknown value is ignored, since other systems use this name too
)

// FromHeader returns the class that the headers ask for; asked is false when they ask for none. An unknown or repeated
// X-Sidecar-Priority is an error that names header, value and allowed values; an unknown X-Priority counts as absent.
func FromHeader(h http.Header) (c Class, asked bool, err error) {
	if values := h[Header]; len(values) > 0 {
		if len(values) > 1 {
			return Normal, false, fmt.Errorf("header %s is given %d times: send it once", Header, len(values))
		}
		if c, err = Parse(values[0]); err != nil {
			return Normal, false, fmt.Errorf("header %s: value %q is not allowed: use %s", Header, clip(values[0]), Allowed)
		}
		return c, true, nil
	}
	if values := h[HeaderAlias]; len(values) > 0 {
		if c, err = Parse(values[0]); err == nil {
			return c, true, nil
		}
	}
	return Normal, false, nil
}

// FromServiceTier returns the class that a body's service_tier stands for: priority is High, flex is Low. Every other tier
// asks for nothing.
func FromServiceTier(tier string) (c Class, asked bool) {
	switch tier {
	case "priority":
		return High, true
	case "flex":
		return Low, true
	}
	return Normal, false
}
