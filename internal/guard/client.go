package guard

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
	"time"

	"nimsidecar/internal/priority"
	"nimsidecar/internal/secret"
	"nimsidecar/internal/wire"
)

// Client is one who holds a key to the sidecar.
type Client struct {
	Name    string          // for logs and for fairness; never empty for a configured client
	Key     secret.Text     // what it must send; with the empty one nobody is recognised
	Class   *priority.Class // of its requests that ask for none; nil means the usual default
	Highest *priority.Class // the most urgent class it may have, whatever it asks for; nil means any
	MaxWait time.Duration   // the longest that its requests wait, in the place of everybody's; 0 means everybody's
}

// keyed is a client with the digest of its key. All digests have one length, so comparing them tells nothing of the key.
type keyed struct {
	digest [sha256.Size]byte
	client Client
}

func newKeyed(clients []Client) (list []keyed) {
	for _, c := range clients {
		list = append(list, keyed{digest: sha256.Sum256([]byte(c.Key.Reveal())), client: c})
	}
	return list
}

// Identify returns the client whose key the headers carry, as Authorization: Bearer or, without that, as X-Api-Key, the way the
// OpenAI and the Anthropic SDKs send one. Where no clients are configured it returns the zero Client for everybody; where there
// are, whoever shows none of their keys gets an unauthorized error.
//
// A key that was recognised is taken out of h: it is between the client and us, and must not go upstream with the rest.
func (g *Guard) Identify(h http.Header) (Client, *wire.Error) {
	if len(g.clients) == 0 {
		return Client{}, nil
	}
	name, key := credential(h)
	if key == "" {
		return Client{}, &wire.Error{
			Reason:  wire.Unauthorized,
			Message: "nim-sidecar wants a key of its own: send one of SIDECAR_CLIENT_KEYS as \"Authorization: Bearer\" or \"x-api-key\"",
		}
	}
	var usual [128]byte // most keys fit, and then need no memory of their own
	digest := sha256.Sum256(append(usual[:0], key...))
	for i := range g.clients {
		if subtle.ConstantTimeCompare(digest[:], g.clients[i].digest[:]) == 1 {
			delete(h, name)
			return g.clients[i].client, nil
		}
	}
	return Client{}, &wire.Error{
		Reason:  wire.Unauthorized,
		Message: "this key is not one of the nim-sidecar's own (SIDECAR_CLIENT_KEYS); the provider's key is of no use here",
	}
}

// credential returns the key that the headers carry and the name of its header, or no key.
func credential(h http.Header) (name, key string) {
	scheme, key, _ := strings.Cut(h.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		if key = strings.TrimSpace(key); key != "" {
			return "Authorization", key
		}
	}
	return "X-Api-Key", strings.TrimSpace(h.Get("X-Api-Key"))
}
