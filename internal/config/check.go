package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"nimsidecar/internal/secret"
)

// check reports what does not go together.
func (l *loader) check() {
	l.checkListeners()
	names := map[string]string{}
	for i := range l.config.Providers {
		p, path := &l.config.Providers[i], fmt.Sprintf("providers[%d]", i)
		l.unique(names, p.Name, path+".name", "provider")
		l.checkProvider(p, path)
	}
	l.checkClients()
	l.checkRoutes(slices.Sorted(maps.Keys(names)))
	if c := l.config; c.Queue.MaxBytes < c.MaxBody {
		l.bad("queue.max_bytes", "%s is less than max_body, %s: no body of that size could ever wait", c.Queue.MaxBytes, c.MaxBody)
	}
	if !l.config.Shared.RedisURL.Empty() {
		l.bad("shared.redis_url", "this version cannot share a quota between sidecars: leave it out, and give each sidecar its part of the limits")
	}
}

// unique reports a name that an earlier entry has.
func (l *loader) unique(seen map[string]string, name, path, kind string) {
	if first := seen[name]; first != "" {
		l.bad(path, "%s %q is also %s: each needs a name of its own", kind, clip(name), first)
		return
	}
	seen[name] = path
}

func (l *loader) checkListeners() {
	c := l.config
	listeners := []struct{ path, text string }{{"listen", c.Listen}, {"metrics_listen", c.MetricsListen}}
	var taken []Address
	for i, at := range listeners {
		a, err := ParseAddress(at.text)
		if err != nil {
			continue // reported where it was read
		}
		if !a.Loopback() && len(c.Clients) == 0 && !c.AllowOpen {
			l.bad(at.path, "%q can be reached from beyond this machine, and no client needs a key: set clients (SIDECAR_CLIENT_KEYS), "+
				"or say that it may with allow_open: true (SIDECAR_ALLOW_OPEN=true)", clip(at.text))
		}
		if slices.ContainsFunc(taken, a.clashes) {
			l.bad(at.path, "%q is taken by %s", clip(at.text), listeners[i-1].path)
		}
		taken = append(taken, a)
	}
}

func (l *loader) checkProvider(p *Provider, path string) {
	if _, given := l.config.origins[path+".url"]; !given {
		l.bad(path+".name", "provider %q has no url: only the presets have one, %s", clip(p.Name), strings.Join(mapped(presets(), func(known preset) string { return known.name }), ", "))
	}
	names, keys, bare := map[string]string{}, map[secret.Text]string{}, ""
	for i, account := range p.Accounts {
		at := fmt.Sprintf("%s.accounts[%d]", path, i)
		l.unique(names, account.Name, at+".name", "account")
		if len(account.Keys) == 0 {
			bare = at
		}
		for _, key := range account.Keys {
			if first := keys[key]; first != "" {
				l.bad(at+".keys", "a key is given twice, first in %s", first)
			}
			keys[key] = at
		}
	}
	switch {
	case len(keys) == 0:
		p.Accounts = nil // the client's own credential is used
	case bare != "":
		l.bad(bare+".keys", "an account without keys beside one with keys would never be used")
	}
}

// checkRoutes reports routes that lead nowhere. providers are the names that there are.
func (l *loader) checkRoutes(providers []string) {
	aliases := map[string]string{}
	for i, r := range l.config.Routes {
		path := fmt.Sprintf("routes[%d]", i)
		switch {
		case r.Alias == "":
			l.bad("routes", "%s has no alias", path)
		case len(r.Targets) == 0:
			l.bad(path+".alias", "the route %q has no targets", clip(r.Alias))
		}
		if r.Alias != "" {
			l.unique(aliases, r.Alias, path+".alias", "alias")
		}
		for j, to := range r.Targets {
			at := fmt.Sprintf("%s.targets[%d]", path, j)
			switch {
			case to.Provider == "":
				l.bad(path+".targets", "%s names no provider: want %s", at, strings.Join(providers, " or "))
			case !slices.Contains(providers, to.Provider):
				l.bad(at+".provider", "%q is no provider: want %s", clip(to.Provider), strings.Join(providers, " or "))
			}
			if strings.Contains(to.Model, "*") && !strings.Contains(r.Alias, "*") {
				l.bad(at+".model", "%q has a *, which repeats what the one in the alias stands for, and the alias has none", clip(to.Model))
			}
		}
	}
}

func (l *loader) checkClients() {
	keys := map[secret.Text]string{}
	for i, c := range l.config.Clients {
		path := fmt.Sprintf("clients[%d]", i)
		switch first := keys[c.Key]; {
		case c.Name == "":
			l.bad("clients", "%s has no name", path)
		case c.Key.Empty():
			l.bad("clients", "%s (%s) has no key", path, c.Name)
		case first != "":
			l.bad("clients", "%s (%s) has the key of %s", path, c.Name, first)
		case c.Class != nil && c.Highest != nil && *c.Class < *c.Highest:
			l.bad(path+".class", "%s is more urgent than %s.highest, %s", *c.Class, path, *c.Highest)
		}
		keys[c.Key] = path
	}
}

// warn says what is odd but no error.
func (l *loader) warn() {
	known := l.knownVariables()
	for _, pair := range l.Environ {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "SIDECAR_") && !slices.Contains(known, name) {
			if near := nearest(name, known); near != "" {
				l.warning("%s is no setting and is not used: did you mean %s?", clip(name), near)
			} else {
				l.warning("%s is no setting and is not used", clip(name))
			}
		}
	}
}

// each visits every value under a group, with its path; of a list, those of every entry.
func each(group *node, v reflect.Value, path string, visit func(n *node, v reflect.Value, path string)) {
	for _, n := range group.inner {
		field, at := v.Field(n.field), strings.TrimPrefix(path+"."+n.key, ".")
		switch {
		case n.list():
			for i := range field.Len() {
				each(n, field.Index(i), fmt.Sprintf("%s[%d]", at, i), visit)
			}
		case n.inner != nil:
			each(n, field, at, visit)
		default:
			visit(n, field, at)
		}
	}
}
