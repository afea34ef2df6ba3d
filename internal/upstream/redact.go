package upstream

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"nimsidecar/internal/secret"
)

// minMasked is the shortest key that is looked for: a shorter one would blank out ordinary words.
const minMasked = 6

// redactor finds the configured keys in what an upstream sends. A key is overwritten, not replaced, so that lengths that were
// announced stay true. The zero value knows no key. It is immutable once its provider is built.
type redactor struct {
	keys []secret.Text // the longest first: one may begin like another
	tail int           // length of the longest key, less one: how much of a text may be the head of a key
}

func (r *redactor) add(key secret.Text) {
	n := len(key.Reveal())
	if n < minMasked {
		return
	}
	r.keys = append(r.keys, key)
	slices.SortStableFunc(r.keys, func(a, b secret.Text) int { return cmp.Compare(len(b.Reveal()), len(a.Reveal())) })
	r.tail = max(r.tail, n-1)
}

// mask overwrites every key in b with asterisks.
func (r *redactor) mask(b []byte) {
	for _, key := range r.keys {
		text := []byte(key.Reveal())
		for rest := b; ; {
			at := bytes.Index(rest, text)
			if at < 0 {
				break
			}
			for i := range text {
				rest[at+i] = '*'
			}
			rest = rest[at+len(text):]
		}
	}
}

// maskValues does the same to a header's values, in place.
func (r *redactor) maskValues(values []string) {
	for _, key := range r.keys {
		text := key.Reveal()
		i := slices.IndexFunc(values, func(v string) bool { return strings.Contains(v, text) })
		for ; i >= 0 && i < len(values); i++ {
			values[i] = strings.ReplaceAll(values[i], text, strings.Repeat("*", len(text)))
		}
	}
}
