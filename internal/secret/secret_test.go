package secret_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"nimsidecar/internal/secret"
)

const key = "nvapi-0123456789abcdef"

// holder keeps a secret where fmt may not call its methods.
type holder struct {
	hidden secret.Text
	Shown  secret.Text
	many   []secret.Text
	byName map[string]secret.Text
	behind *secret.Text
}

func TestNoWayOfPrintingShowsTheContent(t *testing.T) {
	t.Parallel()
	text := secret.New(key)
	h := holder{text, text, []secret.Text{text}, map[string]secret.Text{"a": text}, &text}
	for _, value := range []any{text, &text, h, &h, []any{h}, map[string]any{"h": h}, errors.Join(fmt.Errorf("open: %v", text))} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%t", "%c", "%08.3f", "% x", "%-40s|"} {
			if got := fmt.Sprintf(verb, value); leaks(got) {
				t.Errorf("Sprintf(%q, %T) = %s; want no trace of the secret", verb, value, got)
			}
		}
	}
}

// leaks reports whether s holds the key or its hexadecimal form.
func leaks(s string) bool {
	lower := strings.ToLower(s)
	return strings.Contains(lower, key) || strings.Contains(strings.ReplaceAll(lower, " ", ""), fmt.Sprintf("%x", key))
}

func TestEncodersAndLogsShowTheMask(t *testing.T) {
	t.Parallel()
	text := secret.New(key)
	asJSON, _ := json.Marshal(holder{Shown: text})
	asXML, _ := xml.Marshal(text)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("key", "key", text, "holder", holder{Shown: text})
	slog.New(slog.NewTextHandler(&log, nil)).Info("key", "key", text, "holder", holder{hidden: text})
	for name, got := range map[string]string{"json": string(asJSON), "xml": string(asXML), "slog": log.String()} {
		if leaks(got) || !strings.Contains(got, "***") {
			t.Errorf("%s = %s; want *** and no trace of the secret", name, got)
		}
	}
}

func TestOnlyRevealGivesTheContent(t *testing.T) {
	t.Parallel()
	var read secret.Text
	if err := read.UnmarshalText([]byte(key)); err != nil {
		t.Fatal(err)
	}
	if got := read.Reveal(); got != key {
		t.Errorf("Reveal() = %q; want what was read", got)
	}
	if read != secret.New(key) {
		t.Error("two secrets with one content differ; want them equal")
	}
	if read == secret.New(key+"x") {
		t.Error("two secrets with other contents are equal")
	}
	if got, want := read.Fingerprint(), "42df08da"; got != want { // printf nvapi-0123456789abcdef | sha256sum
		t.Errorf("Fingerprint() = %s; want %s", got, want)
	}
}

func TestTheEmptySecretPrintsNothing(t *testing.T) {
	t.Parallel()
	var read secret.Text
	_ = read.UnmarshalText(nil)
	for name, text := range map[string]secret.Text{"zero": {}, "made": secret.New(""), "read": read} {
		if !text.Empty() || text.Reveal() != "" || text.String() != "" || text != (secret.Text{}) {
			t.Errorf("%s: Empty() = %v, Reveal() = %q, String() = %q; want the zero value", name, text.Empty(), text.Reveal(), text)
		}
		if got := text.Fingerprint(); got != "none" {
			t.Errorf("%s: Fingerprint() = %q; want none", name, got)
		}
	}
	if secret.New("x").Empty() {
		t.Error("New(x).Empty() = true; want false")
	}
}

func ExampleText() {
	key := secret.New("nvapi-very-secret")
	fmt.Println(key, key.Fingerprint())
	fmt.Printf("%+v\n", struct{ Key secret.Text }{key})
	// Output:
	// *** de2c23c0
	// {Key:***}
}
