package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
)

// Sources are where settings come from, besides the file that they may name. The zero value gives the defaults.
type Sources struct {
	Flags    map[string]string                 // by Setting.Flag; one that is absent was not given
	Environ  []string                          // as os.Environ gives it; an empty variable counts as absent
	ReadFile func(name string) ([]byte, error) // nil is os.ReadFile
}

// Load reads all layers and returns what they make together, or everything that is wrong with it: an error with one *Problem a line.
func Load(s Sources) (*Config, error) {
	if s.ReadFile == nil {
		s.ReadFile = os.ReadFile
	}
	l := &loader{Sources: s, root: root(), config: &Config{origins: map[string]origin{}}, env: map[string]string{}}
	for _, pair := range s.Environ {
		name, value, _ := strings.Cut(pair, "=")
		l.env[name] = value
	}
	all := reflect.ValueOf(l.config).Elem()
	setDefaults(l.root, all)
	l.readFile()
	l.completeFirst()
	l.overlay(l.root, all, "", l.fromEnvironment)
	l.overlay(l.root, all, "", l.fromFlags)
	l.applyPresets()
	l.check()
	l.warn()
	if len(l.problems) > 0 {
		return nil, errors.Join(l.problems...)
	}
	return l.config, nil
}

// Problem is one thing that is wrong with the settings.
type Problem struct {
	Where string // file:line:column, variable or flag; "" where the settings only do not go together
	Path  string // the setting, such as providers[0].limits; "" where Where names it
	What  string // the value, unless it is secret, and what is allowed
}

// Error is the whole in one line.
func (p *Problem) Error() string {
	parts := slices.DeleteFunc([]string{p.Where, p.Path, p.What}, func(part string) bool { return part == "" })
	return strings.Join(parts, ": ")
}

// origin is where a value came from. The zero value is a default.
type origin struct {
	layer        layer
	name         string // of the file, the variable or the flag
	line, column int    // in the file
}

// layer is one of those that are laid over each other, the lowest first.
type layer uint8

const (
	byDefault layer = iota
	byPreset
	byFile
	byEnvironment
	byFlag
)

// String names the origin for people.
func (o origin) String() string {
	switch o.layer {
	case byDefault:
		return "default"
	case byPreset:
		return "preset"
	case byFile:
		return fmt.Sprintf("%s:%d:%d", o.name, o.line, o.column)
	}
	return o.name
}

// loader lays the layers over each other and collects what is wrong.
type loader struct {
	Sources
	root     *node
	env      map[string]string
	config   *Config
	problems []error
}

// bad reports what is wrong with the setting at a path, at the place where its value came from.
func (l *loader) bad(path, format string, args ...any) {
	l.badAt(l.config.origins[path], path, format, args...)
}

// badAt reports what is wrong at a place.
func (l *loader) badAt(from origin, path, format string, args ...any) {
	p := &Problem{Path: path, What: fmt.Sprintf(format, args...)}
	switch from.layer {
	case byFile:
		p.Where = from.String()
	case byEnvironment, byFlag:
		p.Where, p.Path = from.String(), ""
	}
	l.problems = append(l.problems, p)
}

func (l *loader) warning(format string, args ...any) {
	l.config.Warnings = append(l.config.Warnings, fmt.Sprintf(format, args...))
}

// setDefaults fills in the defaults of a group.
func setDefaults(group *node, v reflect.Value) {
	for _, n := range group.inner {
		field := v.Field(n.field)
		switch {
		case n.list():
		case n.inner != nil:
			setDefaults(n, field)
		case n.Default != "":
			if err := n.read(field, n.Default); err != nil {
				panic("config: the default of " + n.Path + ": " + err.Error())
			}
		}
	}
}

// grow appends an entry with its defaults to a list of groups, and returns it.
func grow(n *node, list reflect.Value) reflect.Value {
	list.Set(reflect.Append(list, reflect.Zero(list.Type().Elem())))
	entry := list.Index(list.Len() - 1)
	setDefaults(n, entry)
	return entry
}

// completeFirst makes sure that there is a first provider with a first account, which the environment and the flags speak of.
func (l *loader) completeFirst() {
	providers := l.root.find("providers")
	if len(l.config.Providers) == 0 {
		grow(providers, reflect.ValueOf(&l.config.Providers).Elem())
	}
	if first := &l.config.Providers[0]; len(first.Accounts) == 0 {
		grow(providers.find("accounts"), reflect.ValueOf(&first.Accounts).Elem())
	}
}

// overlay sets what a layer gives, of a group and everything under it. Of a list of groups it sets the first entry.
func (l *loader) overlay(group *node, v reflect.Value, path string, get func(*node) (string, origin)) {
	for _, n := range group.inner {
		field, at := v.Field(n.field), strings.TrimPrefix(path+"."+n.key, ".")
		switch {
		case n.value():
			if text, from := get(n); from.layer != byDefault && l.mayReplace(at, from) {
				l.set(n, field, at, text, from)
			}
		case n.list():
			if n.spoken() {
				l.overlay(n, field.Index(0), at+"[0]", get)
			}
		default:
			l.overlay(n, field, at, get)
		}
	}
}

// set reads a value and notes where it came from, or reports what is wrong with it.
func (l *loader) set(n *node, v reflect.Value, path, text string, from origin) {
	if err := n.read(v, strings.TrimSpace(text)); err != nil {
		l.badValue(n, path, text, from, err)
		return
	}
	l.config.origins[path] = from
}

// badValue reports a value that cannot be read; of a limit, the very entry.
func (l *loader) badValue(n *node, path, text string, from origin, err error) {
	if n.Secret || strings.Contains(text, "@") { // such as a password in a URL
		l.badAt(from, path, "%v", err)
		return
	}
	l.badAt(from, path, "%q: %v", clip(text), err)
}

// clip bounds what a message repeats of a value.
func clip(s string) string {
	const most = 100
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// fromEnvironment returns what the environment says of a setting.
func (l *loader) fromEnvironment(n *node) (string, origin) {
	for _, name := range n.Env {
		text, file := l.env[name], ""
		if n.Secret {
			file = l.env[name+"_FILE"]
		}
		from := origin{layer: byEnvironment, name: name}
		switch {
		case text != "" && file != "":
			l.badAt(from, "", "%s_FILE is set too: set one of them", name)
		case file != "":
			from.name += "_FILE"
			return l.readSecret(file, from)
		}
		if text != "" {
			return text, from
		}
	}
	return "", origin{}
}

// fromFlags returns what the command line says of a setting.
func (l *loader) fromFlags(n *node) (string, origin) {
	text, given := l.Flags[n.Flag]
	switch {
	case !given || n.Flag == "":
		return "", origin{}
	case n.Secret:
		return l.readSecret(text, origin{layer: byFlag, name: "--" + n.Flag})
	}
	return text, origin{layer: byFlag, name: "--" + n.Flag}
}

// readSecret reads a secret from its own file. The name of the file is not repeated in errors: it may be a key, set by mistake.
func (l *loader) readSecret(file string, from origin) (string, origin) {
	content, err := l.ReadFile(file)
	if err == nil && strings.TrimSpace(string(content)) == "" {
		err = errors.New("it is empty")
	}
	if err != nil {
		l.badAt(from, "", "the file that it names: %v", cause(err))
		return "", origin{}
	}
	return string(content), from
}

// cause leaves the name of the file out of an error.
func cause(err error) error {
	if inner, ok := errors.AsType[*fs.PathError](err); ok {
		return inner.Err
	}
	return err
}

// mayReplace keeps a key of NVIDIA from going elsewhere: NVIDIA_API_KEY and NGC_API_KEY are set for many programs, so they do not
// replace the keys that the file gives to a first provider beyond nvidia.com.
func (l *loader) mayReplace(path string, from origin) bool {
	own := from.layer == byFlag || strings.HasPrefix(from.name, "SIDECAR_")
	before, url := l.config.origins[path], l.config.Providers[0].URL
	if own || before.layer != byFile || isNVIDIA(url) {
		return true
	}
	l.warning("%s is not used: %s gives the keys of %s, which is not NVIDIA; SIDECAR_API_KEYS would replace them", from.name, before, url.Hostname())
	return false
}

// knownVariables are all variables that are settings.
func (l *loader) knownVariables() []string {
	known := map[string]bool{}
	for n := range l.root.leaves() {
		for _, name := range n.Env {
			known[name] = true
			if n.Secret {
				known[name+"_FILE"] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(known))
}
