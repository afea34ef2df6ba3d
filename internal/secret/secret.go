// Package secret is a string that never prints.
package secret

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"unique"
)

// mask is what every way of printing a set secret gives.
const mask = "***"

// Text is a secret string. Formatting with any verb, JSON, YAML, text encoding and slog give *** (or nothing when it is empty);
// only Reveal gives the content. The zero value is the empty secret. It is immutable, comparable and safe for concurrent use.
//
// The content is behind a handle and not in a string field, because fmt cannot call methods on unexported fields: printing a struct
// that holds a secret in one would show it. All that reflection finds here is an address.
type Text struct{ handle unique.Handle[string] }

// New returns s as a secret.
func New(s string) Text {
	if s == "" {
		return Text{}
	}
	return Text{unique.Make(s)}
}

// Reveal returns the content. Call it only where the content leaves for its destination, such as an Authorization header.
func (t Text) Reveal() string {
	if t.Empty() {
		return ""
	}
	return t.handle.Value()
}

// Empty reports whether there is no content.
func (t Text) Empty() bool { return t == Text{} }

// Fingerprint returns 8 hex digits that tell secrets apart without giving them away: the head of a SHA-256. The empty secret has
// the fingerprint "none".
func (t Text) Fingerprint() string {
	if t.Empty() {
		return "none"
	}
	sum := sha256.Sum256([]byte(t.Reveal()))
	return hex.EncodeToString(sum[:4])
}

// String returns *** or, for the empty secret, nothing.
func (t Text) String() string {
	if t.Empty() {
		return ""
	}
	return mask
}

// GoString is String, so that %#v does not print the content.
func (t Text) GoString() string { return t.String() }

// Format writes String for every verb and flag: %x and %q would otherwise reach into the struct.
func (t Text) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, t.String()) }

// LogValue redacts the secret in structured logs.
func (t Text) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText redacts the secret in JSON, YAML and every other text encoding.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads the secret from settings.
func (t *Text) UnmarshalText(text []byte) error {
	*t = New(string(text))
	return nil
}
