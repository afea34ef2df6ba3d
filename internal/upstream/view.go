package upstream

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Out says that something is out of use. The zero value is in use.
type Out struct {
	Reason string    // the class of the answer, or the fault of the break, that put it there
	Since  time.Time // zero = in use
	Until  time.Time // the next attempt that may try it; that it is past means that none has come yet
}

// ProviderView is how a provider stands.
type ProviderView struct {
	Name   string      // as in paths
	Out                // that it cannot be reached
	Keys   []KeyView   // in the order of the settings; empty where each client's own credential is used
	Models []ModelView // those that are out of use, sorted
}

// KeyView is how a key stands. It shows the alias only.
type KeyView struct {
	Account string      // its name
	Alias   string      // as in headers and logs
	Out                 // refused by the provider, or its account without credits
	Barred  []ModelView // the models that it may not use, as far as the provider has said so, sorted
}

// ModelView is a model that is out of use.
type ModelView struct {
	Model string // as the provider calls it
	Out
}

// View returns how all providers and their keys stand, the default one first.
func (t *Table) View() []ProviderView {
	all := make([]ProviderView, 0, len(t.order))
	for _, p := range t.order {
		v := ProviderView{Name: p.name}
		v.Out, v.Models = p.breaker.view()
		for _, a := range p.accounts {
			v.Keys = append(v.Keys, a.view()...)
		}
		all = append(all, v)
	}
	return all
}

func (p *pause) view() Out {
	if p.since.IsZero() {
		return Out{}
	}
	return Out{Reason: p.cause.String(), Since: p.since, Until: p.until}
}

func (b *breaker) view() (whole Out, models []ModelView) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, model := range slices.Sorted(maps.Keys(b.models)) {
		if out := b.models[model].view(); !out.Since.IsZero() {
			models = append(models, ModelView{model, out})
		}
	}
	return b.whole.view(), models
}

func (a *account) view() []KeyView {
	a.mu.Lock()
	defer a.mu.Unlock()
	keys := make([]KeyView, len(a.slots))
	for i := range a.slots {
		keys[i] = KeyView{Account: a.name, Alias: a.slots[i].alias, Out: a.slots[i].pause.view()}
		if keys[i].Since.IsZero() {
			keys[i].Out = a.pause.view()
		}
	}
	for right, p := range a.barred {
		keys[right.key].Barred = append(keys[right.key].Barred, ModelView{right.model, p.view()})
	}
	for i := range keys {
		slices.SortFunc(keys[i].Barred, func(x, y ModelView) int { return strings.Compare(x.Model, y.Model) })
	}
	return keys
}
