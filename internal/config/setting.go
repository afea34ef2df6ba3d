package config

import (
	"iter"
	"reflect"
	"strings"

	"nimsidecar/internal/secret"
)

// Setting is one setting, for those who offer settings to people: the command line and the reference.
type Setting struct {
	Path    string   // as in the file: queue.capacity, providers[].limits; "" for the file itself
	Env     []string // the variables that give it, the one of its name first; empty inside a list that the environment gives whole
	Flag    string   // without dashes, "" where there is none; that of a secret takes a file, since others can see a command line
	Type    string   // what it is and what is allowed, for people: duration, 1s to 24h
	Default string   // as a user writes it; "" for none
	Example string   // as a user writes it; "" where the default is one
	Help    string   // sentences, some words in `code`
	Secret  bool     // its value is never shown, and each of its variables also exists with _FILE behind it
	Switch  bool     // true and false are all its values
}

// Settings returns all settings, in the order of Config.
func Settings() []Setting {
	var all []Setting
	for n := range root().leaves() {
		all = append(all, n.Setting)
	}
	return all
}

// node is a setting, or a group of them, in the tree that the struct Config spans.
type node struct {
	Setting
	key   string // the last part of the path
	field int    // of the parent's struct
	typ   reflect.Type
	tag   reflect.StructTag
	inner []*node // what a group holds, or each entry of a list of groups; nil for a value
}

// root returns the tree. It is made anew each time, which is rare and takes microseconds, so that nothing here is global.
func root() *node {
	t := reflect.TypeFor[Config]()
	return &node{typ: t, inner: innerOf(t, "", help())}
}

// innerOf returns what the fields of a struct are as settings, with their help. A field with neither a key nor a variable is none.
func innerOf(t reflect.Type, path string, help map[string]string) []*node {
	var all []*node
	for i := range t.NumField() {
		f := t.Field(i)
		n := &node{key: f.Tag.Get("yaml"), field: i, typ: f.Type, tag: f.Tag}
		if n.key == "" && f.Tag.Get("env") == "" {
			continue
		}
		n.Setting = settingOf(f, strings.TrimPrefix(path+"."+n.key, "."), help[t.Name()+"."+f.Name])
		switch element := f.Type; {
		case isGroup(element):
			n.inner = innerOf(element, n.Path, help)
		case n.list():
			n.inner = innerOf(element.Elem(), n.Path+"[]", help)
		}
		all = append(all, n)
	}
	return all
}

func settingOf(f reflect.StructField, path, help string) Setting {
	s := Setting{
		Path: path, Type: allowed(f), Default: f.Tag.Get("default"), Example: f.Tag.Get("example"), Help: help,
		Secret: isSecret(f.Type), Switch: f.Type.Kind() == reflect.Bool,
	}
	if env := f.Tag.Get("env"); env != "" {
		s.Env = strings.Split(env, ",")
		s.Flag = strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(s.Env[0], "SIDECAR_")), "_", "-")
		if s.Secret {
			s.Flag += "-file"
		}
	}
	return s
}

// allowed says in a few words what a setting may be.
func allowed(f reflect.StructField) string {
	low, high := f.Tag.Get("min"), f.Tag.Get("max")
	switch enum := f.Tag.Get("enum"); {
	case enum != "":
		return strings.ReplaceAll(enum, ",", ", ")
	case high != "":
		return typeName(f.Type) + ", " + low + " to " + high
	case low != "":
		return typeName(f.Type) + ", at least " + low
	}
	if form := f.Tag.Get("form"); form != "" && f.Type.Kind() == reflect.String {
		return form
	}
	return typeName(f.Type)
}

// isGroup reports whether a type is a mapping in the file rather than a value: the structs of this package are.
func isGroup(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t.PkgPath() == reflect.TypeFor[Config]().PkgPath()
}

// list reports whether n is a list of groups.
func (n *node) list() bool { return n.typ.Kind() == reflect.Slice && isGroup(n.typ.Elem()) }

// value reports whether n can be read from one text: it is no group, or a list of groups that the environment gives whole.
func (n *node) value() bool { return n.inner == nil || len(n.Env) > 0 }

// spoken reports whether the environment and the flags speak of the first entry of a list of groups.
func (n *node) spoken() bool {
	for leaf := range n.leaves() {
		if len(leaf.Env) > 0 {
			return true
		}
	}
	return false
}

// isSecret reports whether values of a type are never shown.
func isSecret(t reflect.Type) bool {
	for t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t == reflect.TypeFor[secret.Text]() || t == reflect.TypeFor[Client]()
}

// leaves returns everything under n that can be read from one text.
func (n *node) leaves() iter.Seq[*node] {
	return func(yield func(*node) bool) { n.walk(yield) }
}

func (n *node) walk(yield func(*node) bool) bool {
	for _, in := range n.inner {
		if in.value() && !yield(in) || !in.walk(yield) {
			return false
		}
	}
	return true
}
