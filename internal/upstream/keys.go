package upstream

import (
	"errors"
	"strings"
	"sync"
	"time"

	"nimsidecar/internal/hint"
)

const (
	// benchTime is how long a refused credential stays out of use before one request may try it again: long enough not to be
	// locked out for guessing, short enough that a mended account needs no restart.
	benchTime = 10 * time.Minute
	// maxBarred bounds the models that an account remembers as not for it. Names come from clients, so there must be a bound.
	maxBarred = 1000
)

// account is the keys of an Account and what the provider has said of them.
type account struct {
	name  string // immutable
	slots []slot // immutable but for until

	mu     sync.Mutex // guards the following, and slot.until
	next   int        // round robin
	until  time.Time  // the whole account is benched until then
	barred map[string]time.Time
}

// slot is one key.
type slot struct {
	alias  string
	bearer []string // the header's values, shared by all requests and never changed
	until  time.Time
}

func newAccount(s Account) (*account, error) {
	if s.Name == "" || len(s.Keys) == 0 {
		return nil, errors.New("it needs a name and at least one key")
	}
	a := &account{name: s.Name, barred: make(map[string]time.Time)}
	for _, k := range s.Keys {
		text := k.Secret.Reveal()
		if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, errors.New("a key is empty or holds characters that no key has")
		}
		a.slots = append(a.slots, slot{alias: k.Alias, bearer: []string{"Bearer " + text}})
	}
	return a, nil
}

// pick returns the index of the next key in turn that is not benched; if all are, of the next in turn.
func (a *account) pick(now time.Time) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	first := a.next
	a.next = (first + 1) % len(a.slots)
	for i := range a.slots {
		k := (first + i) % len(a.slots)
		if !now.Before(a.slots[k].until) {
			a.next = (k + 1) % len(a.slots)
			return k
		}
	}
	return first
}

// usable reports whether a key is left that the provider has not refused, for this model if it is not "".
func (a *account) usable(now time.Time, model string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.Before(a.until) || now.Before(a.barred[model]) {
		return false
	}
	for i := range a.slots {
		if !now.Before(a.slots[i].until) {
			return true
		}
	}
	return false
}

// note remembers what an outcome says of the key and the account. It reports whether that put one of them out of use.
func (a *account) note(now time.Time, key int, model string, class hint.Class) (benched bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch class {
	case hint.OK:
		a.until, a.slots[key].until = time.Time{}, time.Time{}
		if len(a.barred) > 0 {
			delete(a.barred, model)
		}
	case hint.KeyDead:
		return bench(&a.slots[key].until, now)
	case hint.Credits:
		return bench(&a.until, now)
	case hint.NotEntitled:
		if len(a.barred) >= maxBarred {
			clear(a.barred)
		}
		until := a.barred[model]
		benched = bench(&until, now)
		a.barred[model] = until
	}
	return benched
}

// bench moves an end into the future and reports whether it was past before.
func bench(until *time.Time, now time.Time) (begun bool) {
	begun = !now.Before(*until)
	*until = now.Add(benchTime)
	return begun
}
