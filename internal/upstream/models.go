package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"nimsidecar/internal/hint"
)

const (
	// listTTL is how long the merged list of models is given out before the providers are asked again, and failureTTL that of a failure.
	listTTL, failureTTL = time.Minute, 5 * time.Second
	// listKept is how long the last list of a provider that has stopped giving one stands in for it.
	listKept = time.Hour
	// listTimeout is how long a provider may take.
	listTimeout = 10 * time.Second
	// maxList is the longest list that is read of one.
	maxList = 8 << 20
)

// catalogue is what the providers list.
type catalogue struct {
	// targets are the models that only a provider other than the default lists, by the name under which Models gives them out; nil
	// before there is a list of the default provider's to compare with.
	targets atomic.Pointer[map[string]Target]

	mu      sync.Mutex // guards the following
	running *merging   // being made; nil = none is
	last    *merging   // the last one made
	lists   map[string]list
}

// merging is the making of one merged list. body and err must be read only after done is closed.
type merging struct {
	done chan struct{}
	body []byte
	err  error
	at   time.Time
}

// fresh reports whether what was made can still be given out.
func (m *merging) fresh(now time.Time) bool {
	ttl := listTTL
	if m.err != nil {
		ttl = failureTTL
	}
	return now.Sub(m.at) < ttl
}

// list is the models of one provider.
type list struct {
	models []listed
	at     time.Time
}

// listed is a model as its provider lists it.
type listed struct {
	id      string
	raw     json.RawMessage // the entry
	foreign bool            // it does not say that it is a model, as OpenAI's do
}

// Merges reports whether /v1/models is more than what the default provider answers, so that Models should be asked instead of it: there
// are several providers, or routes. Else the request is one like any other, and its answer is passed on as it is.
func (t *Table) Merges() bool { return len(t.order) > 1 || len(t.aliases)+len(t.patterns) > 0 }

// Models returns the list of models that can be asked for on /v1/..., as OpenAI's API writes it: the aliases of routes, then what each
// provider lists, with all members of its entries. An id that an earlier provider has is given with the provider's name and a slash before
// it. Each id leads to where it was listed: see Choose.
//
// Providers are asked with the sidecar's own keys, or without one, at once, and at most once a minute whoever asks; it costs no
// quota. One that fails is stood in for by its last list, for an hour, and then left out. It is an error only if none gave any, and
// there is no alias. The answer must not be changed.
func (t *Table) Models(ctx context.Context) ([]byte, error) {
	c := &t.catalogue
	c.mu.Lock()
	m := c.running
	switch {
	case m != nil:
	case c.last != nil && c.last.fresh(time.Now()):
		m = c.last
	default:
		m = &merging{done: make(chan struct{})}
		c.running = m
		c.mu.Unlock()
		t.merge(ctx, m)
		return m.body, m.err
	}
	c.mu.Unlock()
	select {
	case <-m.done:
		return m.body, m.err
	case <-ctx.Done():
		return nil, fmt.Errorf("upstream: %w", context.Cause(ctx))
	}
}

// merge makes a merged list, for all who wait for it: it goes on when the one who began it has left.
func (t *Table) merge(ctx context.Context, m *merging) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), listTimeout)
	defer cancel()
	lists := make([]list, len(t.order))
	errs := make([]error, len(t.order))
	var group sync.WaitGroup
	for i, p := range t.order {
		group.Go(func() { lists[i], errs[i] = t.list(ctx, p) })
	}
	group.Wait()

	c := &t.catalogue
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for i, p := range t.order {
		if errs[i] == nil {
			c.lists[p.name] = lists[i]
			continue
		}
		t.logger.Warn("models not listed", slog.String("provider", p.name), slog.Any("error", errs[i]))
		if m.err == nil {
			m.err = errs[i]
		}
		if now.Sub(c.lists[p.name].at) > listKept {
			delete(c.lists, p.name)
		}
	}
	if len(c.lists) > 0 || len(t.aliases) > 0 {
		m.body, m.err = t.mergedLocked()
	}
	m.at = now
	c.last, c.running = m, nil
	close(m.done)
}

// mergedLocked writes the merged list and notes where its ids lead.
func (t *Table) mergedLocked() ([]byte, error) {
	c := &t.catalogue
	targets, seen := make(map[string]Target), make(map[string]bool)
	data := make([]json.RawMessage, 0)
	for _, alias := range t.aliases {
		seen[alias] = true
		data = append(data, entry(map[string]any{"id": alias, "object": "model", "created": 0, "owned_by": "nim-sidecar"}))
	}
	for _, p := range t.order {
		for _, m := range c.lists[p.name].models {
			name := m.id
			if seen[name] {
				name = p.name + "/" + m.id
			}
			if seen[name] {
				continue
			}
			seen[name] = true
			data = append(data, m.as(name, p.name))
			if p != t.first || name != m.id {
				targets[name] = Target{p.name, m.id}
			}
		}
	}
	if _, known := c.lists[t.first.name]; known {
		c.targets.Store(&targets)
	}
	return json.Marshal(map[string]any{"object": "list", "data": data})
}

// entry writes an entry of the list.
func entry(members map[string]any) json.RawMessage {
	b, err := json.Marshal(members)
	if err != nil {
		panic("upstream: an entry that is no JSON: " + err.Error()) // it is made of texts, numbers and JSON
	}
	return b
}

// as returns the entry under a name. It stays as it is, but for another id, and for what OpenAI's have and others have not.
func (m listed) as(name, provider string) json.RawMessage {
	if name == m.id && !m.foreign {
		return m.raw
	}
	members := map[string]any{"created": 0, "owned_by": provider}
	var own map[string]json.RawMessage
	_ = json.Unmarshal(m.raw, &own) // it was read before
	for member, value := range own {
		members[member] = value
	}
	members["id"], members["object"] = name, "model"
	return entry(members)
}

// list asks one provider for its models. The error holds no secret and no text of the upstream's.
func (t *Table) list(ctx context.Context, p *provider) (l list, err error) {
	request := &Request{Method: http.MethodGet, Path: "/models", Header: http.Header{"Accept": {"application/json"}}}
	if p.apiKey {
		request.RawQuery = "limit=1000" // a page has 20 by default
	}
	a := t.Attempt(ctx, t.Lanes(Target{Provider: p.name}, 0, nil)[0], request)
	defer a.Close()
	if a.Outcome.Class != hint.OK {
		return l, fmt.Errorf("upstream: provider %q gave no list of models: %s", p.name, a.Outcome.Class)
	}
	if l, err = readList(a); err != nil {
		return l, fmt.Errorf("upstream: the answer of provider %q is no list of models: %w", p.name, err)
	}
	l.at = time.Now()
	return l, nil
}

// errNoList says that a text has no models in it; what it has is not repeated.
var errNoList = errors.New("it has no data")

// readList reads a list of models as OpenAI and Anthropic write it. What is no entry with an id is left out.
func readList(r io.Reader) (l list, err error) {
	body, err := io.ReadAll(io.LimitReader(r, maxList))
	if err != nil {
		return l, err
	}
	var answer struct {
		Data []json.RawMessage `json:"data"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Data == nil {
		return l, errNoList
	}
	for _, raw := range answer.Data {
		var model struct {
			ID     string `json:"id"`
			Object string `json:"object"`
		}
		if json.Unmarshal(raw, &model) != nil || model.ID == "" {
			continue
		}
		l.models = append(l.models, listed{id: model.ID, raw: raw, foreign: model.Object != "model"})
	}
	return l, nil
}
