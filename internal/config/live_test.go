package config

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// twoProviders is a configuration with two of them.
func twoProviders(t testing.TB) *Config {
	t.Helper()
	c, err := Load(Sources{
		Environ: []string{"SIDECAR_CONFIG=x", "SIDECAR_MAX_WAIT=10m"},
		ReadFile: func(string) ([]byte, error) {
			return []byte("providers: [{name: nvidia, limits: 40-M}, {name: own, url: 'http://own.test/v1'}]\nqueue: {capacity: 9}\n"), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLiveNamesProvidersByName(t *testing.T) {
	t.Parallel()
	live := twoProviders(t).Live()
	for key, want := range map[string]string{
		"providers[nvidia].limits": "40-M", "providers[own].limits": "none", "providers[nvidia].burst": "auto", "providers[own].paused": "false",
		"queue.capacity": "9", "queue.max_wait": "10m", "log.level": "info", "drain": "false", "heartbeat.mode": "auto",
	} {
		if got, ok := live[key]; !ok || got != want {
			t.Errorf("Live()[%q] = %q, %t; want %q", key, got, ok, want)
		}
	}
	for _, key := range []string{"listen", "admin.token", "providers[nvidia].url", "providers[nvidia].accounts", "state_dir"} {
		if value, ok := live[key]; ok {
			t.Errorf("Live() has %q, which cannot change while running: %q", key, value)
		}
	}
}

func TestWithChangesACopy(t *testing.T) {
	t.Parallel()
	c := twoProviders(t)
	before := c.Live()
	after, err := c.With(Live{"providers[own].limits": "7-S", "providers[nvidia].pin": "20-M", "queue.capacity": "100", "drain": "true"})
	if err != nil {
		t.Fatal(err)
	}
	want := maps.Clone(before)
	maps.Copy(want, Live{"providers[own].limits": "7-S", "providers[nvidia].pin": "20-M", "queue.capacity": "100", "drain": "true"})
	if diff := cmp.Diff(want, after.Live()); diff != "" {
		t.Errorf("With() (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, c.Live()); diff != "" {
		t.Errorf("With() has changed what it began with (-before +after):\n%s", diff)
	}
	if after.Queue.Capacity != 100 || !after.Drain || len(after.Providers[1].Limits) != 1 {
		t.Errorf("With() = %+v; want the values themselves changed", after.Queue)
	}
}

func TestWithIsAllOrNothing(t *testing.T) {
	t.Parallel()
	c := twoProviders(t)
	for key, value := range map[string]string{
		"queue.capacity": "0", "queue.max_wait": "never", "log.level": "loud", "providers[own].limits": "4-Y", "providers[none].limits": "4-M",
		"listen": ":1", "queue.overflow": "drop", "providers[own].paused": "maybe", "providers[nvidia].burst": "-1",
	} {
		after, err := c.With(Live{key: value, "log.level": map[bool]string{true: value, false: "warn"}[key == "log.level"]})
		problem, ok := errors.AsType[*Problem](err)
		if after != nil || !ok || problem.Path != key {
			t.Errorf("With(%s = %q) = %v, %v; want a problem of %s", key, value, after, err, key)
		}
	}
}

func TestParseChange(t *testing.T) {
	t.Parallel()
	c := twoProviders(t)
	for text, want := range map[string]Live{
		`{}`: {},
		`{"queue":{"capacity":12,"max_wait":"5m"}}`:                                {"queue.capacity": "12", "queue.max_wait": "5m"},
		`{"providers":[{"name":"own","paused":true}]}`:                             {"providers[own].paused": "true"},
		`{"providers":[{"name":"nvidia","burst":5},{"name":"own","limits":null}]}`: {"providers[nvidia].burst": "5", "providers[own].limits": Reset},
		`{"drain":true,"log":{"level":"debug"}}`:                                   {"drain": "true", "log.level": "debug"},
	} {
		got, err := c.ParseChange([]byte(text))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("ParseChange(%s): %v (-want +got):\n%s", text, err, diff)
		}
	}
	for text, path := range map[string]string{
		``: "", `7`: "", `{} {}`: "", `[]`: "", `null`: "",
		`{"listen":":1"}`: "listen", `{"admin":{"token":"x"}}`: "admin.token", `{"quee":1}`: "quee", `{"queue":[]}`: "queue",
		`{"queue":{"capacity":{}}}`: "queue.capacity", `{"queue":{"max_wait":""}}`: "queue.max_wait",
		`{"providers":[{"paused":true}]}`: "providers[0].name", `{"providers":[7]}`: "providers[0].name",
		`{"providers":[{"name":"own"},{"name":"own"}]}`:           "providers[1].name",
		`{"providers":[{"name":"own","url":"http://evil.test"}]}`: "providers[own].url",
		`{"clients":[{"name":"x","key":"y"}]}`:                    "clients",
	} {
		changes, err := c.ParseChange([]byte(text))
		problem, ok := errors.AsType[*Problem](err)
		if !ok || problem.Path != path {
			t.Errorf("ParseChange(%s) = %v, %v; want a problem of %q", text, changes, err, path)
		}
	}
}

func TestTheLiveTreeIsAChangeOfNothing(t *testing.T) {
	t.Parallel()
	c := twoProviders(t)
	text, err := json.Marshal(c.LiveTree())
	if err != nil {
		t.Fatal(err)
	}
	change, err := c.ParseChange(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c.Live(), change); diff != "" {
		t.Errorf("what LiveTree says is read as (-want +got):\n%s", diff)
	}
	schema, err := json.Marshal(LiveSchema())
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	for name, text := range map[string]string{"s": string(schema)} {
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource(name, document); err != nil {
			t.Fatal(err)
		}
	}
	compiled, err := compiler.Compile("s")
	if err != nil {
		t.Fatal(err)
	}
	tree, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiled.Validate(tree); err != nil {
		t.Errorf("the tree is not as its schema says: %v", err)
	}
}

// Every path on the list must be a setting: a typing error there would lose one without a word.
func TestEveryLivePathIsASetting(t *testing.T) {
	t.Parallel()
	for path := range strings.FieldsSeq(livePaths) {
		if !slices.ContainsFunc(Settings(), func(s Setting) bool {
			return s.Path == path && !s.Secret || strings.HasSuffix(path, ".") && strings.HasPrefix(s.Path, path) && !s.Secret
		}) {
			t.Errorf("%s is no setting, or a secret", path)
		}
	}
}

func TestNeedsRestartNamesWhatCannotChange(t *testing.T) {
	t.Parallel()
	load := func(text string) *Config {
		t.Helper()
		c, err := Load(Sources{
			Environ:  []string{"SIDECAR_CONFIG=x"},
			ReadFile: func(string) ([]byte, error) { return []byte(text), nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	base := "providers: [{name: nvidia, accounts: [{keys: [key-one]}]}]\n"
	for text, want := range map[string][]string{
		base: nil,
		base + "queue: {capacity: 7}\ndrain: true\nlog: {level: warn}":                                      nil,
		base + "listen: 127.0.0.1:1\nlog: {format: text}":                                                   {"listen", "log.format"},
		"providers: [{name: nvidia, accounts: [{keys: [key-two]}]}]\n":                                      {"providers[0].accounts[0].keys"},
		"providers: [{name: nvidia, limits: 9-M, accounts: [{keys: [key-one]}]}]\nqueue: {max_bytes: 50MB}": {"queue.max_bytes"},
	} {
		if diff := cmp.Diff(want, NeedsRestart(load(base), load(text))); diff != "" {
			t.Errorf("NeedsRestart to %q (-want +got):\n%s", text, diff)
		}
	}
	more := load(base + "")
	if paths := NeedsRestart(more, load("providers: [{name: nvidia, accounts: [{keys: [key-one]}]}, {name: own, url: 'http://own.test'}]")); !slices.Contains(paths, "providers[1].name") {
		t.Errorf("NeedsRestart with one more provider = %v; want it named", paths)
	}
}

// FuzzParseChange: whatever somebody sends, either it names a problem, or what it makes is valid and can be loaded back.
func FuzzParseChange(f *testing.F) {
	for _, seed := range []string{
		`{"queue":{"capacity":12}}`, `{"providers":[{"name":"own","limits":"40-M,1000-H"}]}`, `{"drain":null}`, `{"listen":":1"}`, `[`, `{"a":{"a":[1e999]}}`,
		`{"queue":{"capacity":1,"capacity":2}}`, `{"heartbeat":{"interval":"1h"}}`,
	} {
		f.Add(seed)
	}
	c := twoProviders(f)
	was := c.Live()
	f.Fuzz(func(t *testing.T, text string) {
		change, err := c.ParseChange([]byte(text))
		if err != nil {
			if _, ok := errors.AsType[*Problem](err); !ok {
				t.Errorf("ParseChange(%q) = %v; want a *Problem", text, err)
			}
			return
		}
		for key, value := range change {
			if _, known := was[key]; !known {
				t.Errorf("ParseChange(%q) changes %s, which is not live", text, key)
			}
			if value == Reset {
				delete(change, key)
			}
		}
		after, err := c.With(change)
		if diff := cmp.Diff(was, c.Live()); diff != "" {
			t.Errorf("With(%q) has changed what it began with:\n%s", change, diff)
		}
		if err != nil {
			return
		}
		if len(NeedsRestart(c, after)) > 0 {
			t.Errorf("%q changes what needs a restart", text)
		}
		if _, err := c.With(after.Live()); err != nil {
			t.Errorf("what %q makes is not valid: %v", text, err)
		}
	})
}
