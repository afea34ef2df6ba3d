package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// livePaths are the settings that may change while running, as Setting.Path has them; of a group that ends in a dot, all.
const livePaths = `providers[].limits providers[].limits_hint providers[].burst providers[].pin providers[].paused
queue.capacity queue.max_wait queue.overflow heartbeat. log.level drain`

// live reports whether a setting may change while running.
func (n *node) live() bool {
	return slices.ContainsFunc(strings.Fields(livePaths), func(path string) bool {
		return path == n.Path || strings.HasSuffix(path, ".") && strings.HasPrefix(n.Path, path)
	})
}

// Live is settings that may change while running: their values as a settings file has them, by key. A key is the setting's path with
// the name of a provider in it: queue.capacity, providers[nvidia].limits.
type Live map[string]string

// Live returns the effective values of all settings that may change while running.
func (c *Config) Live() Live {
	all := Live{}
	c.eachLive(func(_ *node, v reflect.Value, key string) { all[key] = show(v) })
	return all
}

// With returns what the settings are with some of them changed, checked whole. The error has one *Problem a line, the Path of which is
// the key; the settings themselves stay as they are.
func (c *Config) With(changes Live) (*Config, error) {
	after := *c
	after.Providers, after.Warnings, after.origins = slices.Clone(c.Providers), nil, maps.Clone(c.origins)
	l := &loader{root: root(), config: &after}
	left := maps.Clone(changes)
	after.eachLive(func(n *node, v reflect.Value, key string) {
		text, changed := left[key]
		delete(left, key)
		if !changed {
			return
		}
		if err := n.read(v, strings.TrimSpace(text)); err != nil {
			l.badAt(origin{}, key, "%q: %v", clip(text), err)
		}
		delete(after.origins, key)
	})
	for _, key := range slices.Sorted(maps.Keys(left)) {
		l.badAt(origin{}, key, "there is no such setting that may change while running")
	}
	l.check()
	if len(l.problems) > 0 {
		return nil, errors.Join(l.problems...)
	}
	return &after, nil
}

// eachLive visits every setting that may change while running, with its key.
func (c *Config) eachLive(visit func(n *node, v reflect.Value, key string)) {
	names := strings.NewReplacer(c.indices()...)
	each(root(), reflect.ValueOf(c).Elem(), "", func(n *node, v reflect.Value, path string) {
		if n.live() {
			visit(n, v, names.Replace(path))
		}
	})
}

// indices are pairs of what a path begins with and a key does: providers[0] and providers[nvidia].
func (c *Config) indices() (pairs []string) {
	for i := range c.Providers {
		pairs = append(pairs, fmt.Sprintf("providers[%d]", i), providerKey(c.Providers[i].Name))
	}
	return pairs
}

func providerKey(name string) string { return "providers[" + name + "]" }

// Reset is the value of a change that takes an earlier change back.
const Reset = ""

// ParseChange reads a change from JSON: settings nested as in the settings file, an entry of providers with its name unless there is but
// one. Null is Reset. The error is a *Problem, whose Path names the setting. What the values are worth, With says.
func (c *Config) ParseChange(text []byte) (Live, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var tree any
	if err := decoder.Decode(&tree); err != nil {
		return nil, &Problem{What: "it is not JSON: " + err.Error()}
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, &Problem{What: "there is something behind the JSON"}
	}
	changes := Live{}
	return changes, c.parseGroup(changes, root(), "", tree)
}

// parseGroup reads a mapping. The path is that of a key.
func (c *Config) parseGroup(into Live, group *node, path string, tree any) error {
	mapping, ok := tree.(map[string]any)
	if !ok {
		return &Problem{Path: path, What: "want an object with " + keysOf(group)}
	}
	for _, key := range slices.Sorted(maps.Keys(mapping)) {
		at := strings.TrimPrefix(path+"."+key, ".")
		n := group.find(key)
		var err error
		switch {
		case n == nil:
			err = &Problem{Path: at, What: unknownKey(group, key)}
		case n.Path == "providers":
			err = c.parseProviders(into, n, mapping[key])
		case n.Path == "providers[].name": // it says which one is meant
		case n.inner != nil && !n.list():
			err = c.parseGroup(into, n, at, mapping[key])
		case !n.live():
			err = &Problem{Path: at, What: "it cannot change while running: set it in the settings file, and restart"}
		default:
			into[at], err = scalarOf(at, mapping[key])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func unknownKey(group *node, key string) string {
	if near := nearest(key, group.keys()); near != "" {
		return "there is no such setting: did you mean " + near + "?"
	}
	return "there is no such setting: want one of " + strings.Join(group.keys(), ", ")
}

// parseProviders reads the list of providers, each entry by its name.
func (c *Config) parseProviders(into Live, n *node, tree any) error {
	list, ok := tree.([]any)
	if !ok {
		return &Problem{Path: n.Path, What: "want a list of objects, each with the name of its provider"}
	}
	var names []string
	for i := range c.Providers {
		names = append(names, c.Providers[i].Name)
	}
	seen := map[string]bool{}
	for i, entry := range list {
		at := fmt.Sprintf("providers[%d]", i)
		mapping, _ := entry.(map[string]any)
		name, given := mapping["name"].(string)
		if mapping["name"] == nil && len(names) == 1 {
			name, given = names[0], true
		}
		switch {
		case !given || !slices.Contains(names, name):
			return &Problem{Path: at + ".name", What: fmt.Sprintf("%q: want one of %s", clip(name), strings.Join(names, ", "))}
		case seen[name]:
			return &Problem{Path: at + ".name", What: fmt.Sprintf("%q is there twice", clip(name))}
		}
		seen[name] = true
		if err := c.parseGroup(into, n, providerKey(name), entry); err != nil {
			return err
		}
	}
	return nil
}

// scalarOf returns the text of a JSON value.
func scalarOf(path string, value any) (string, error) {
	switch x := value.(type) {
	case nil:
		return Reset, nil
	case bool, json.Number:
		return fmt.Sprint(x), nil
	case string:
		if strings.TrimSpace(x) != "" {
			return x, nil
		}
	}
	return "", &Problem{Path: path, What: "want one value, or null to take a change back"}
}

// LiveTree returns the effective values of all settings that may change while running, nested as ParseChange reads them, numbers and
// switches as such.
func (c *Config) LiveTree() map[string]any { return liveTree(root(), reflect.ValueOf(c).Elem()) }

func liveTree(group *node, v reflect.Value) map[string]any {
	tree := map[string]any{}
	for _, n := range group.inner {
		field := v.Field(n.field)
		switch {
		case n.Path == "providers":
			var list []any
			for i := range field.Len() {
				entry := liveTree(n, field.Index(i))
				entry["name"] = field.Index(i).FieldByName("Name").String()
				list = append(list, entry)
			}
			tree[n.key] = list
		case n.list():
		case n.inner != nil:
			if inner := liveTree(n, field); len(inner) > 0 {
				tree[n.key] = inner
			}
		case n.live():
			tree[n.key] = n.shown(field)
		}
	}
	return tree
}

// shown is a value as JSON has it.
func (n *node) shown(v reflect.Value) any {
	text := show(v)
	if b, ok := v.Interface().(Burst); ok && b > 0 {
		return int(b)
	}
	return n.typed(text)
}

// LiveSchema returns the JSON schema of what LiveTree returns.
func LiveSchema() map[string]any { return liveSchema(root()) }

func liveSchema(group *node) map[string]any {
	properties := map[string]any{}
	for _, n := range group.inner {
		var s map[string]any
		switch {
		case n.Path == "providers":
			entry := liveSchema(n)
			entry["properties"].(map[string]any)["name"] = map[string]any{"type": "string", "description": "Which provider is meant."}
			s = map[string]any{"type": "array", "items": entry}
		case n.list():
		case n.inner != nil:
			if inner := liveSchema(n); len(inner["properties"].(map[string]any)) > 0 {
				s = inner
			}
		case n.live():
			s = n.schema()
		}
		if s != nil {
			if n.Help != "" {
				s["description"] = n.Help
			}
			properties[n.key] = s
		}
	}
	return map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
}

// NeedsRestart lists the settings that differ and cannot change while running, by path.
func NeedsRestart(before, after *Config) (paths []string) {
	fixed := func(c *Config) map[string]any {
		all := map[string]any{}
		each(root(), reflect.ValueOf(c).Elem(), "", func(n *node, v reflect.Value, path string) {
			if !n.live() {
				all[path] = v.Interface()
			}
		})
		return all
	}
	was, is := fixed(before), fixed(after)
	for path := range is {
		if _, there := was[path]; !there {
			was[path] = nil // so that it differs
		}
	}
	for path, value := range was {
		if other, there := is[path]; !there || !reflect.DeepEqual(value, other) {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}
