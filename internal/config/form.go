package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"nimsidecar/internal/secret"
)

// read reads a value from its text, holds it to the bounds of its setting, and only then puts it into v.
func (n *node) read(v reflect.Value, text string) error {
	if enum := n.tag.Get("enum"); enum != "" && !slices.Contains(strings.Split(enum, ","), text) {
		return errors.New("want " + strings.ReplaceAll(enum, ",", " or "))
	}
	value := reflect.New(v.Type()).Elem()
	if err := parse(value, text); err != nil {
		return err
	}
	if err := n.allows(value); err != nil {
		return err
	}
	v.Set(value)
	return nil
}

// allows holds a value to the bounds and the form of its setting.
func (n *node) allows(v reflect.Value) error {
	check := form(n.tag.Get("form"))
	switch x := v.Interface().(type) {
	case []string:
		return eachOf(x, check)
	case secret.Text:
		return credential(x)
	case []secret.Text:
		return eachOf(x, credential)
	}
	if v.Kind() == reflect.String {
		return check(v.String())
	}
	return n.bounded(v)
}

func eachOf[T any](list []T, check func(T) error) error {
	for _, x := range list {
		if err := check(x); err != nil {
			return err
		}
	}
	return nil
}

// bounded holds a number, a size or a duration to the tags min and max.
func (n *node) bounded(v reflect.Value) error {
	low, high := n.tag.Get("min"), n.tag.Get("max")
	switch {
	case low != "" && v.Int() < number(v.Type(), low), high != "" && v.Int() > number(v.Type(), high):
		if high == "" {
			return fmt.Errorf("want at least %s", low)
		}
		return fmt.Errorf("want %s to %s", low, high)
	}
	return nil
}

// number returns the value of a bound of the given type.
func number(t reflect.Type, text string) int64 {
	v := reflect.New(t).Elem()
	if err := parse(v, text); err != nil {
		panic("config: the bound " + text + ": " + err.Error())
	}
	return v.Int()
}

// form returns the check of a text by the name in a form tag.
func form(name string) func(string) error {
	switch name {
	case "address":
		return func(s string) error { _, err := ParseAddress(s); return err }
	case "segment":
		return pathSegment
	case "name":
		return plainName
	case "alias":
		return modelName
	case "host":
		return hostName
	case "origin":
		return webOrigin
	case "path":
		return apiPath
	}
	return func(string) error { return nil }
}

// reserved are the first path segments that are the sidecar's own.
const reserved = "v1 sidecar livez readyz healthz metrics"

var segments = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

func pathSegment(s string) error {
	if !segments.MatchString(s) || slices.Contains(strings.Fields(reserved), s) {
		return errors.New("want up to 64 lower-case letters, digits and hyphens, and none of " + strings.ReplaceAll(reserved, " ", ", "))
	}
	return nil
}

var names = regexp.MustCompile(`^[\w.@-]{1,64}$`)

func plainName(s string) error {
	if !names.MatchString(s) {
		return errors.New("want up to 64 letters, digits, dots, hyphens, underscores and @")
	}
	return nil
}

var models = regexp.MustCompile(`^[!-)+-~]*\*?[!-)+-~]*$`)

func modelName(s string) error {
	if s == "" || len(s) > 200 || !models.MatchString(s) {
		return errors.New("want the name of a model, up to 200 characters without blanks, with at most one *")
	}
	return nil
}

var hosts = regexp.MustCompile(`^[\w-]+(\.[\w-]+)*$`)

func hostName(s string) error {
	if _, err := netip.ParseAddr(s); err != nil && !hosts.MatchString(s) {
		return errors.New("want a host name or IP address, without scheme, port and wildcards")
	}
	return nil
}

func webOrigin(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Host == "" || u.Scheme+"://"+u.Host != s {
		return errors.New("want an origin such as https://chat.example, without a path")
	}
	return nil
}

var apiPaths = regexp.MustCompile(`^(/[\w.~%-]+)+$`)

func apiPath(s string) error {
	if !apiPaths.MatchString(s) {
		return errors.New("want a path below /v1 such as /embeddings, without a query")
	}
	return nil
}

// credential checks that a secret can travel in a header.
func credential(t secret.Text) error {
	for _, r := range t.Reveal() {
		if r <= ' ' || r > '~' {
			return errors.New("it has a character that no header can carry")
		}
	}
	return nil
}
