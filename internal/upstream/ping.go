package upstream

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"nimsidecar/internal/hint"
)

// maxCatalogue is how much of the model list Ping reads, so that its connection can be used again.
const maxCatalogue = 1 << 20

// Ping reports whether the default provider can be reached through the connections that requests use: it asks for the list of
// models, without a key, which costs no quota, and any HTTP answer is a good one. It is an error if every key is benched: then
// requests would be refused. The error holds no secret and no text of the upstream's.
func (t *Table) Ping(ctx context.Context) error {
	p := t.first
	if !p.hasKey(time.Now(), "") {
		return fmt.Errorf("upstream: provider %q refuses every key", p.name)
	}
	deadline, _ := ctx.Deadline()
	a := &Answer{table: t, attempt: attempt{provider: p, request: &Request{
		Method: http.MethodGet, Path: "/models", Header: http.Header{"Accept": {"application/json"}}, Deadline: deadline,
	}}}
	a.send(ctx)
	t.note(a)
	defer a.Close()
	switch a.Outcome.Class {
	case hint.Broken:
		return fmt.Errorf("upstream: provider %q cannot be reached: %s", p.name, a.Outcome.Fault)
	case hint.Cancelled:
		return fmt.Errorf("upstream: provider %q: %w", p.name, context.Cause(ctx))
	}
	_, _ = io.CopyN(io.Discard, a, maxCatalogue)
	return nil
}

// hasKey reports whether an account has a key left that is not benched, for this model if it is not ""; the client's own credential
// never is.
func (p *provider) hasKey(now time.Time, model string) bool {
	for _, a := range p.accounts {
		if a.usable(now, model) {
			return true
		}
	}
	return len(p.accounts) == 0
}
