package config

import (
	"bytes"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func TestTheExampleIsTheDefaultsAndEarnsNoWarning(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, layers{file: string(Example())})
	if diff := sameSettings(c, defaults()); diff != "" || len(c.Warnings) > 0 {
		t.Errorf("the example warns %q and differs from the defaults (-want +got):\n%s", c.Warnings, diff)
	}
}

func TestTheExampleShowsEverySettingAsItMayBe(t *testing.T) {
	t.Parallel()
	commentedOut := regexp.MustCompile(`(?m)^( *)# ( *(?:[a-z_0-9]+:(?: .*)?|-))$`)
	file := commentedOut.ReplaceAllString(string(Example()), "$1$2")
	file = strings.ReplaceAll(file, "redis_url:", "# redis_url:") // is refused by this version
	c := mustLoad(t, layers{file: file, env: []string{"NVIDIA_API_KEY=a", "ALICE_KEY=b", "ADMIN_TOKEN=c"}})
	each(root(), reflect.ValueOf(c).Elem(), "", func(n *node, _ reflect.Value, path string) {
		if c.origins[path].layer < byFile && n.key != "" && n.key != "redis_url" {
			t.Errorf("%s is not in the example:\n%s", path, file)
		}
	})
}

func TestTheSettingsInEffectAreShownWithTheirOrigin(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, layers{
		file:  "clients: [{name: alice, key: secret-a, highest: high}]\nlog:\n  level: warn\nproviders:\n  - accounts:\n    - keys: [secret-b, secret-c]\n  - {name: own, url: http://own:8000/v1}\n",
		env:   []string{"SIDECAR_LIMITS=40-M,1000-H", "SIDECAR_ALLOWED_HOSTS=a,b"},
		flags: []string{"--max-body=1MB"},
	})
	got := string(c.YAML())
	for _, want := range []string{
		"listen: \"127.0.0.1:9190\" # default\n",
		"\n    limits: 40-M,1000-H # SIDECAR_LIMITS\n    limits_hint: 40-M # preset\n    account_limits: none # default\n    burst: auto # default\n",
		"\n        keys: [\"***\", \"***\"] # c.yaml:6:13\n",
		"\n    name: \"own\" # c.yaml:7:12\n    preset: # not set\n    url: http://own:8000/v1 # c.yaml:7:22\n    speaks: openai # preset\n    accounts: # not set\n    limits: none # default\n",
		"\nclients: # c.yaml:1:10\n  -\n    name: \"alice\" # c.yaml:1:18\n    key: \"***\" # c.yaml:1:30\n    class: # not set\n    highest: high # c.yaml:1:49\n",
		"\n  allowed_hosts: [\"a\", \"b\"] # SIDECAR_ALLOWED_HOSTS\n",
		"\nmax_body: 1MB # --max-body\n",
		"\n  level: warn # c.yaml:3:10\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("YAML() has no %q:\n%s", want, got)
		}
	}
}

// schema compiles what Schema returns, and returns a function that judges a settings file.
func schema(t *testing.T) func(file string) error {
	t.Helper()
	text, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("settings.json", text); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("settings.json")
	if err != nil {
		t.Fatal(err)
	}
	return func(file string) error {
		t.Helper()
		asJSON, err := yaml.YAMLToJSON([]byte(file))
		if err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
		if err != nil {
			t.Fatal(err)
		}
		return compiled.Validate(value)
	}
}

func TestSchemaAndLoaderAgree(t *testing.T) {
	t.Parallel()
	judge := schema(t)
	tests := []struct {
		name, file string
		good       bool
	}{
		{"the example", string(Example()), true},
		{"what is printed", string(mustLoad(t, layers{env: []string{"SIDECAR_LIMITS=1-S", "SIDECAR_API_KEYS=a"}}).YAML()), true},
		{"groups without keys", "queue:\nproviders:\n  - url:\n", true},
		{"a size as a number", "max_body: 4096", true},
		{"a number for a burst", "providers: [{burst: 3}]", true},
		{"a class by its number", "clients: [{name: a, key: b, class: 0}]", true},
		{"a list in one word", "admin: {allowed_hosts: a}", true},
		{"an unknown key", "lisen: x", false},
		{"an unknown key in a list", "providers: [{urls: x}]", false},
		{"a word for a number", "queue: {capacity: many}", false},
		{"a number out of bounds", "queue: {capacity: 0}", false},
		{"an unknown word", "queue: {overflow: drop}", false},
		{"a list for a group", "log: [1]", false},
		{"no boolean", "h2c: sometimes", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if err := judge(tt.file); (err == nil) != tt.good {
				t.Errorf("the schema says %v; want good = %v", err, tt.good)
			}
			if _, err := (layers{file: tt.file}).load(); (err == nil) != tt.good {
				t.Errorf("Load says %v; want good = %v", err, tt.good)
			}
		})
	}
}

func TestAYAMLFileIsPrintedAsItWasLoaded(t *testing.T) {
	t.Parallel()
	first := mustLoad(t, layers{file: "providers: [{name: x-1, url: http://h/v1, limits: 3-D, burst: 2}]\nadmin: {allowed_origins: ['app://obsidian.md']}\nqueue: {max_wait: 90s, max_bytes: 33MiB}\n"})
	second := mustLoad(t, layers{file: string(first.YAML())})
	if diff := sameSettings(second, first); diff != "" {
		t.Errorf("loading what was printed differs (-want +got):\n%s", diff)
	}
}
