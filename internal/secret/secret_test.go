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

func TestRedactReplacesEverySecret(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, in, want string
		secrets        []string
	}{
		{"none", "no key here", "no key here", []string{key}},
		{"one", `{"error":"key ` + key + ` is bad"}`, `{"error":"key *** is bad"}`, []string{key}},
		{"twice", key + key, "******", []string{key}},
		{"several", "a" + key + "b-other-key-c", "a***b-***-c", []string{key, "other-key"}},
		{"one inside the other, the short one first", key + "-long", "***", []string{key, key + "-long"}},
		{"empty and short ones are words", "none of us", "none of us", []string{"", "of us"}},
		{"the shortest that counts", "abcdef", "***", []string{"abcdef"}},
		{"a secret that replacing would make", "aaa" + key + "bbb", "***", []string{key, "aaa***bbb"}},
	} {
		secrets := make([]secret.Text, len(tt.secrets))
		for i, s := range tt.secrets {
			secrets[i] = secret.New(s)
		}
		if got := secret.Redact([]byte(tt.in), secrets...); string(got) != tt.want {
			t.Errorf("%s: Redact(%q) = %q; want %q", tt.name, tt.in, got, tt.want)
		}
	}
}

func TestRedactDoesNotWriteToItsInput(t *testing.T) {
	t.Parallel()
	in := []byte("key " + key)
	if got := secret.Redact(in, secret.New(key)); string(in) != "key "+key || &got[0] == &in[0] {
		t.Errorf("Redact changed its input to %q", in)
	}
	clean := []byte("nothing to do")
	if got := secret.Redact(clean, secret.New(key)); &got[0] != &clean[0] {
		t.Error("Redact copied an input without secrets; want the input itself")
	}
}

func FuzzRedactLeavesNoSecret(f *testing.F) {
	f.Add([]byte("Bearer "+key), key, "other-key")
	f.Add([]byte("ababababab"), "ababab", "bababa")
	f.Add([]byte("aaa***bbb"), "a***b-", "**bbb*")
	f.Fuzz(func(t *testing.T, body []byte, one, two string) {
		got := secret.Redact(body, secret.New(one), secret.New(two))
		for _, s := range []string{one, two} {
			if len(s) >= 6 && bytes.Contains(got, []byte(s)) {
				t.Errorf("Redact(%q, %q, %q) = %q; want no secret in it", body, one, two, got)
			}
		}
	})
}

// BenchmarkRedactClean is the usual case: an error body of 1 KB, four keys, nothing to replace. Budget: 2 µs, no allocation but the
// four conversions that the compiler removes.
func BenchmarkRedactClean(b *testing.B) {
	body := bytes.Repeat([]byte("an error of the upstream, "), 40)
	keys := []secret.Text{secret.New(key + "1"), secret.New(key + "2"), secret.New(key + "3"), secret.New(key + "4")}
	b.ReportAllocs()
	for b.Loop() {
		secret.Redact(body, keys...)
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
