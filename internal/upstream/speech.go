package upstream

import (
	"net/http"
	"slices"
	"strings"

	"nimsidecar/internal/wire"
)

// Speaks reports whether a provider understands requests of a dialect as they are. One that speaks only OpenAI's must be sent what
// comes in another's in translation.
func (t *Table) Speaks(provider string, d wire.Dialect) bool {
	p := t.providers[provider]
	return p != nil && slices.Contains(p.speaks, d)
}

// freePaths cost no quota on any known provider: they are answered by its gateway, not by a model.
var freePaths = [...]string{"/models", "/health", "/info", "/status"}

// countTokens costs none at a provider that counts tokens itself: there it has a limit of its own.
const countTokens = "/messages/count_tokens"

// Free reports whether a request costs no quota of a provider's, so that it need not wait. The path is the one after /v1.
func (t *Table) Free(provider, method, path string) bool {
	switch method {
	case http.MethodOptions:
		return true
	case http.MethodPost:
		return path == countTokens && t.Speaks(provider, wire.Anthropic)
	case http.MethodGet, http.MethodHead:
		for _, free := range freePaths {
			if rest, ok := strings.CutPrefix(path, free); ok && (rest == "" || rest[0] == '/') {
				return true
			}
		}
	}
	return false
}
