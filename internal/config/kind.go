package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/priority"
	"nimsidecar/internal/secret"
)

// Size is a number of bytes. Its text is a whole number with a unit: 25MB (decimal), 32MiB (binary), 4096 or 4096B.
type Size int64

// sizeUnits are the units of a Size, the largest of each family first. B comes last since all the others end in it.
func sizeUnits() []sizeUnit {
	return []sizeUnit{{"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}
}

type sizeUnit struct {
	name  string
	bytes Size
}

var errSize = errors.New("want a size such as 25MB, 32MiB or 4096")

// UnmarshalText reads a size. Letter case does not matter, and a blank may stand before the unit.
func (s *Size) UnmarshalText(text []byte) error {
	digits, unit := strings.TrimSpace(string(text)), Size(1)
	for _, u := range sizeUnits() {
		if at := len(digits) - len(u.name); at >= 0 && strings.EqualFold(digits[at:], u.name) {
			digits, unit = strings.TrimSpace(digits[:at]), u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n > math.MaxInt64/uint64(unit) {
		return errSize
	}
	*s = Size(n) * unit
	return nil
}

// String returns the size with the largest unit that divides it, decimal ones first.
func (s Size) String() string {
	for _, u := range sizeUnits() {
		if s >= u.bytes && s%u.bytes == 0 && u.bytes > 1 {
			return strconv.FormatInt(int64(s/u.bytes), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText is String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Burst is how many requests may leave at once after an idle time; 0 is automatic.
type Burst int

// maxBurst keeps a slip of the keyboard from being a burst.
const maxBurst = 1_000_000

// UnmarshalText reads auto or a number.
func (b *Burst) UnmarshalText(text []byte) error {
	if string(text) == "auto" {
		*b = 0
		return nil
	}
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 1 || n > maxBurst {
		return fmt.Errorf("want auto, or a whole number from 1 to %d", maxBurst)
	}
	*b = Burst(n)
	return nil
}

// String returns auto or the number.
func (b Burst) String() string {
	if b == 0 {
		return "auto"
	}
	return strconv.Itoa(int(b))
}

// MarshalText is String.
func (b Burst) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// none is how a user writes that there is no limit, where leaving it out would mean something else.
const none = "none"

// parse reads a value from its text into v, which must be addressable. Its errors say what is allowed and never repeat the text, which
// may be secret; only a limit's names the entry.
func parse(v reflect.Value, text string) error {
	switch p := v.Addr().Interface().(type) {
	case *limit.Rates:
		if text == none {
			*p = nil
			return nil
		}
		return p.UnmarshalText([]byte(text))
	case **priority.Class:
		class, err := priority.Parse(text)
		if err != nil {
			return errors.New("want " + priority.Allowed)
		}
		*p = &class
	case encoding.TextUnmarshaler:
		return p.UnmarshalText([]byte(text))
	case *time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return errors.New("want a duration such as 90s, 15m or 1h30m")
		}
		*p = d
	case **url.URL:
		return parseURL(p, text)
	case *bool:
		if text != "true" && text != "false" {
			return errors.New("want true or false")
		}
		*p = text == "true"
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return errors.New("want a whole number")
		}
		*p = n
	case *[]string:
		*p = fields(text)
	case *[]secret.Text:
		*p = nil
		for _, key := range fields(text) {
			*p = append(*p, secret.New(key))
		}
	case *[]Client:
		return parseClients(p, text)
	default:
		v.SetString(text)
	}
	return nil
}

// fields splits a list at commas and white space, as lists stand in variables and in files of secrets.
func fields(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
}

func parseURL(p **url.URL, text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" {
		return errors.New("want a URL such as https://integrate.api.nvidia.com/v1")
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return errors.New("want a URL without user, query and fragment: keys have settings of their own")
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
	*p = u
	return nil
}

// parseClients reads name:key,name:key.
func parseClients(p *[]Client, text string) error {
	*p = nil
	for _, entry := range fields(text) {
		name, key, found := strings.Cut(entry, ":")
		c := Client{Name: name, Key: secret.New(key)}
		if !found || plainName(name) != nil || key == "" || credential(c.Key) != nil {
			return errors.New("want a comma list of name:key")
		}
		*p = append(*p, c)
	}
	return nil
}

// show returns the text of a value, as parse reads it; a secret is *** and no value at all is "".
func show(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case limit.Rates:
		return x.String()
	case time.Duration:
		return showDuration(x)
	case *priority.Class:
		if x == nil {
			return ""
		}
		return strings.ToLower(x.String())
	case *url.URL:
		if x == nil {
			return ""
		}
		return x.String()
	case []string:
		return strings.Join(x, ",")
	case []secret.Text:
		return strings.Join(mapped(x, secret.Text.String), ",")
	}
	return fmt.Sprint(v.Interface())
}

// mapped returns f of every element.
func mapped[T, U any](list []T, f func(T) U) []U {
	all := make([]U, len(list))
	for i, x := range list {
		all[i] = f(x)
	}
	return all
}

// showDuration leaves out the zero units at the end: 15m rather than 15m0s.
func showDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// typeName is what people call a type of values.
func typeName(t reflect.Type) string {
	switch reflect.Zero(t).Interface().(type) {
	case bool:
		return "true or false"
	case int:
		return "number"
	case Burst:
		return "number or auto"
	case Size:
		return "size"
	case time.Duration:
		return "duration"
	case limit.Rates:
		return "limit"
	case *url.URL:
		return "URL"
	case *priority.Class:
		return "class"
	case []string, []secret.Text:
		return "list"
	}
	return "text"
}
