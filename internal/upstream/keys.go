package upstream

import (
	"errors"
	"strings"
	"sync"
	"time"

	"nimsidecar/internal/hint"
)

// benching is for credentials that the provider refuses: long enough not to be locked out for guessing, short enough that a mended
// account needs no restart.
var benching = schedule{after: 1, first: time.Minute, most: time.Hour}

// maxBarred bounds the models that an account remembers as not for it. Names come from clients, so there must be a bound.
const maxBarred = 1000

// account is the keys of an Account and what the provider has said of them.
type account struct {
	name  string // immutable
	seed  uint64 // of its name, for rendezvous hashing; immutable
	slots []slot // immutable but for the pauses

	mu     sync.Mutex // guards the following, and the slots' pauses
	next   int        // whose turn it is, without a conversation
	pause  pause      // of the whole account, which has no credits
	barred map[entitlement]*pause
}

// slot is one key.
type slot struct {
	alias  string
	seed   uint64   // of its alias
	bearer []string // the value of Authorization, shared by all requests and never changed
	bare   []string // that of X-Api-Key
	pause  pause
}

// entitlement is the right of a key to a model.
type entitlement struct {
	key   int
	model string
}

func newAccount(s Account) (*account, error) {
	if s.Name == "" || len(s.Keys) == 0 {
		return nil, errors.New("it needs a name and at least one key")
	}
	a := &account{name: s.Name, seed: seedOf(s.Name), barred: make(map[entitlement]*pause)}
	for _, k := range s.Keys {
		text := k.Secret.Reveal()
		if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, errors.New("a key is empty or holds characters that no key has")
		}
		a.slots = append(a.slots, slot{alias: k.Alias, seed: seedOf(k.Alias), bearer: []string{"Bearer " + text}, bare: []string{text}})
	}
	return a, nil
}

// pick returns the index of the key for an attempt on the model: of those that are not out of use the conversation's own, or the next
// in turn where it has none. If all are out of use, it is the one that it would be if none were.
func (a *account) pick(now time.Time, model string, conversation uint64) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	best, spare := -1, -1
	for i := range a.slots {
		if a.before(spare, i, conversation) {
			spare = i
		}
		if a.before(best, i, conversation) && !a.keyOut(now, i, model) {
			best = i
		}
	}
	if best < 0 {
		best = spare
	}
	a.next = (best + 1) % len(a.slots)
	a.slots[best].pause.enter(now)
	a.pause.enter(now)
	if p := a.barred[entitlement{best, model}]; p != nil {
		p.enter(now)
	}
	return best
}

// before reports whether key i comes before key than, of which there is none if that is -1.
func (a *account) before(than, i int, conversation uint64) bool {
	switch n := len(a.slots); {
	case than < 0:
		return true
	case conversation == 0:
		return (i-a.next+n)%n < (than-a.next+n)%n
	}
	return weight(conversation, a.slots[i].seed) > weight(conversation, a.slots[than].seed)
}

// keyOut reports whether a key must not be used for the model now.
func (a *account) keyOut(now time.Time, key int, model string) bool {
	if a.slots[key].pause.out(now) {
		return true
	}
	p := a.barred[entitlement{key, model}]
	return p != nil && p.out(now)
}

// usable reports whether a key is left that the provider has not refused, for this model if it is not "".
func (a *account) usable(now time.Time, model string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pause.out(now) {
		return false
	}
	for i := range a.slots {
		if !a.keyOut(now, i, model) {
			return true
		}
	}
	return false
}

// ruling is what an attempt says of the key that it used.
type ruling struct {
	began time.Time // the attempt
	key   int
	model string
	class hint.Class
}

// note remembers a ruling. It returns for how long that puts key, account or the key's right to the model out of use, 0 for not at
// all, and whether one of them is back in use.
func (a *account) note(now time.Time, r ruling) (out time.Duration, back bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := &a.slots[r.key].pause
	switch right := (entitlement{r.key, r.model}); r.class {
	case hint.OK:
		back = p.succeed()
		back = a.pause.succeed() || back
		if barred := a.barred[right]; barred != nil {
			delete(a.barred, right)
			back = true
		}
		return 0, back
	case hint.KeyDead:
	case hint.Credits:
		p = &a.pause
	case hint.NotEntitled:
		p = a.bar(right)
	default:
		return 0, false
	}
	if p.fail(now, r.began, cause{class: r.class}, benching, 0) {
		return p.span, false
	}
	return 0, false
}

// bar returns the pause of a right, made if it is the first refusal.
func (a *account) bar(right entitlement) *pause {
	p := a.barred[right]
	if p == nil {
		if len(a.barred) >= maxBarred {
			clear(a.barred)
		}
		p = new(pause)
		a.barred[right] = p
	}
	return p
}
