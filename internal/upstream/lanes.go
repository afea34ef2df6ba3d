package upstream

import (
	"cmp"
	"hash/maphash"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/secret"
)

// credentials are the request headers in which clients send a key, most usual first.
var credentials = [...]string{"Authorization", "X-Api-Key", "Api-Key"}

// Lanes returns where a request may be sent to reach a target, in order of preference. A conversation, as wire.Conversation numbers
// it, gets its own account first, so that the same prefix goes where it is known as long as there is budget; 0 is none, and then the
// accounts take turns to be the first. Accounts that the provider has refused are left out, unless none is left: then all are there,
// so that the client gets the provider's own answer. Where no key is configured the client's own credential is the account, named by
// its fingerprint. An unknown provider has none.
func (t *Table) Lanes(to Target, conversation uint64, client http.Header) []limit.Scope {
	p := t.providers[to.Provider]
	if p == nil {
		return nil
	}
	model := cmp.Or(to.Model, limit.NoModel)
	if len(p.accounts) == 0 {
		return []limit.Scope{{Provider: p.name, Account: p.naming.account(client), Model: model}}
	}
	now := time.Now()
	usable := make([]limit.Scope, 0, len(p.accounts))
	var refused []limit.Scope
	visit := func(i int) {
		a := p.accounts[i]
		lane := limit.Scope{Provider: p.name, Account: a.name, Model: model}
		if a.usable(now, model) {
			usable = append(usable, lane)
		} else {
			refused = append(refused, lane)
		}
	}
	if conversation != 0 {
		p.arrange(conversation, visit)
	} else {
		p.rotate(visit)
	}
	if len(usable) == 0 {
		return refused
	}
	return usable
}

// Usable reports whether the lane's account has a key left that the provider has not refused for its model: whether it makes sense
// to send there again after a refusal of a key. A client's own credential always is.
func (t *Table) Usable(lane limit.Scope) bool {
	p := t.providers[lane.Provider]
	if p == nil || len(p.accounts) == 0 {
		return p != nil
	}
	a := p.account(lane.Account)
	return a != nil && a.usable(time.Now(), lane.Model)
}

// naming names the accounts behind clients' credentials. The same key in another header is the same account. It remembers the last name,
// which nearly always is the next one too, since a name costs a cryptographic hash; of the credential it keeps a hash that nobody can
// foresee. It is safe for concurrent use.
type naming struct {
	seed maphash.Seed
	last atomic.Pointer[named]
}

type named struct {
	hash uint64 // of the credential
	name string
}

func (n *naming) account(client http.Header) string {
	for _, header := range credentials {
		if value := client.Get(header); value != "" {
			if scheme, token, ok := strings.Cut(value, " "); ok && strings.EqualFold(scheme, "Bearer") {
				value = strings.TrimSpace(token)
			}
			hash := maphash.String(n.seed, value)
			last := n.last.Load()
			if last == nil || last.hash != hash {
				last = &named{hash, "client-" + secret.New(value).Fingerprint()}
				n.last.Store(last)
			}
			return last.name
		}
	}
	return "client-none"
}

// Keys returns how many keys of the sidecar's own a provider has, over all of its accounts: with more than one it makes a difference to
// which conversation a request belongs. 0 means that each client's own credential goes up.
func (t *Table) Keys(provider string) (n int) {
	if p := t.providers[provider]; p != nil {
		for _, a := range p.accounts {
			n += len(a.slots)
		}
	}
	return n
}
