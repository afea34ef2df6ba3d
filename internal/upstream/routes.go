package upstream

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Target is a model of a provider.
type Target struct {
	Provider string // by its name
	Model    string // by the provider's own name for it; "" = none is named
}

// Route serves the model of a name that is not a provider's own.
type Route struct {
	// Alias is the name that clients ask for. One * in it stands for any text, which the same in a target's model repeats.
	Alias string
	// Targets are where such a request may go, in order of preference; at least one. A model of "" is the name that was asked for.
	Targets []Target
	// FallbackAfter is how long a request may wait for a slot of one target; it goes on to the next at once where that would not be
	// enough. 0 = as long as its own deadline allows.
	FallbackAfter time.Duration
}

// Choice is where a request may go. Targets holds at least one, in order of preference, except that those come last which are out of
// use now: the next is to be tried when the one before cannot serve the request, not when it is merely busy.
type Choice struct {
	Targets       []Target
	FallbackAfter time.Duration // as in Route
}

// Choose returns where a request for a model goes. With a provider, the one that its path names, it goes there. Without one, on
// /v1/..., it goes along the route with that alias, an exact one before one with a *, the first before the others; else to the
// provider that Models has found to be the only one with such a model; else to the default provider.
//
// Where the model of a target is not the one that was asked for, the body must be rewritten before it is sent: see wire.Rewrite.
func (t *Table) Choose(provider, model string) Choice {
	if provider == "" && model != "" {
		if c, ok := t.route(model); ok {
			return c
		}
		if listed := t.catalogue.targets.Load(); listed != nil {
			if to, ok := (*listed)[model]; ok {
				return Choice{Targets: []Target{to}}
			}
		}
	}
	if provider == "" {
		provider = t.first.name
	}
	return Choice{Targets: []Target{{provider, model}}}
}

// route returns the targets of the route for a model.
func (t *Table) route(model string) (c Choice, ok bool) {
	if r := t.exact[model]; r != nil {
		return t.choice(r, model, ""), true
	}
	for _, r := range t.patterns {
		if matched, ok := match(r.Alias, model); ok {
			return t.choice(r, model, matched), true
		}
	}
	return Choice{}, false
}

// choice fills in the models of a route's targets, and puts those last that are out of use.
func (t *Table) choice(r *Route, model, matched string) Choice {
	now := time.Now()
	up, down := make([]Target, 0, len(r.Targets)), []Target(nil)
	for _, to := range r.Targets {
		if to.Model == "" {
			to.Model = model
		} else if strings.Contains(r.Alias, "*") {
			to.Model = strings.Replace(to.Model, "*", matched, 1)
		}
		if t.down(now, to) {
			down = append(down, to)
		} else {
			up = append(up, to)
		}
	}
	return Choice{Targets: append(up, down...), FallbackAfter: r.FallbackAfter}
}

// down reports whether a target is out of use: its provider, its model, or every key for it.
func (t *Table) down(now time.Time, to Target) bool {
	p := t.providers[to.Provider]
	return p.breaker.down(now, to.Model) || !p.hasKey(now, to.Model)
}

// match reports whether a name fits a pattern with one *, and what stands in its place.
func match(pattern, name string) (matched string, ok bool) {
	before, after, _ := strings.Cut(pattern, "*")
	rest, ok := strings.CutPrefix(name, before)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, after)
}

// addRoutes checks the routes and takes them over.
func (t *Table) addRoutes(routes []Route) error {
	t.exact = make(map[string]*Route)
	for i := range routes {
		r := &routes[i]
		if err := t.checkRoute(r); err != nil {
			return fmt.Errorf("upstream: route %q: %w", r.Alias, err)
		}
		if strings.Contains(r.Alias, "*") {
			t.patterns = append(t.patterns, r)
		} else {
			t.exact[r.Alias] = r
			t.aliases = append(t.aliases, r.Alias)
		}
	}
	return nil
}

func (t *Table) checkRoute(r *Route) error {
	switch {
	case r.Alias == "" || strings.Count(r.Alias, "*") > 1:
		return errors.New("the alias must be a name with at most one *")
	case t.exact[r.Alias] != nil:
		return errors.New("the alias is taken")
	case len(r.Targets) == 0:
		return errors.New("it has no target")
	}
	for _, to := range r.Targets {
		switch {
		case t.providers[to.Provider] == nil:
			return fmt.Errorf("there is no provider %q", to.Provider)
		case strings.Contains(to.Model, "*") && !strings.Contains(r.Alias, "*"):
			return fmt.Errorf("the model %q has a *, and the alias has none", to.Model)
		}
	}
	return nil
}
