package config

import (
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/secret"

	"github.com/google/go-cmp/cmp"
)

// decided is what a preset decides of a provider.
type decided struct {
	Name, Preset, URL, Speaks string
	Key                       string // of the first account
	Hint                      limit.Rates
	BurstShare                float64
	NVIDIA, APIKey            bool
}

func decidedOf(p *Provider) decided {
	d := decided{
		Name: p.Name, Preset: p.Preset, URL: p.URL.String(), Speaks: p.Speaks, Hint: p.LimitsHint, BurstShare: p.BurstShare, NVIDIA: p.NVIDIA,
		APIKey: p.APIKey,
	}
	if len(p.Accounts) > 0 {
		d.Key = p.Accounts[0].Name + "/" + p.Accounts[0].Keys[0].Reveal()
	}
	return d
}

// TestPresets: a provider that is only named, one that only has the preset's name, and one that only has its URL are the same, but for
// what a preset cannot be guessed from.
func TestPresets(t *testing.T) {
	t.Parallel()
	forty, thirty := perMinute(40), perMinute(30)
	for _, want := range []struct {
		decided
		key     string // the variable
		guessed bool   // from its URL
	}{
		{decided{Name: "nvidia", URL: "https://integrate.api.nvidia.com/v1", Speaks: "openai", Hint: forty, BurstShare: 0.5, NVIDIA: true}, "NVIDIA_API_KEY", true},
		{decided{Name: "openai", URL: "https://api.openai.com/v1", Speaks: "openai"}, "OPENAI_API_KEY", true},
		{decided{Name: "anthropic", URL: "https://api.anthropic.com/v1", Speaks: "both", APIKey: true}, "ANTHROPIC_API_KEY", true},
		{decided{Name: "groq", URL: "https://api.groq.com/openai/v1", Speaks: "openai", Hint: thirty}, "GROQ_API_KEY", true},
		{decided{Name: "mistral", URL: "https://api.mistral.ai/v1", Speaks: "openai"}, "MISTRAL_API_KEY", true},
		{decided{Name: "openrouter", URL: "https://openrouter.ai/api/v1", Speaks: "both"}, "OPENROUTER_API_KEY", true},
		{decided{Name: "gemini", URL: "https://generativelanguage.googleapis.com/v1beta/openai", Speaks: "openai"}, "GEMINI_API_KEY", true},
		{decided{Name: "vllm", URL: "http://127.0.0.1:8000/v1", Speaks: "both"}, "", false},
		{decided{Name: "llama-cpp", URL: "http://127.0.0.1:8080/v1", Speaks: "both"}, "", false},
		{decided{Name: "ollama", URL: "http://127.0.0.1:11434/v1", Speaks: "both"}, "", true},
	} {
		want.Preset = want.Name
		var env []string
		if want.key != "" {
			env = []string{want.key + "=k"}
			want.Key = "default/k"
		}
		ways := []string{"name: " + want.Name, "preset: " + want.Name}
		if want.guessed {
			ways = append(ways, "url: "+want.URL, "url: "+strings.ToUpper(want.URL[:8])+want.URL[8:]+"/")
		}
		for _, way := range ways {
			for first, file := range map[string]string{"the first": "providers: [{" + way + "}]", "another": "providers: [{name: own, url: http://own/v1}, {" + way + "}]"} {
				c := mustLoad(t, layers{file: file, env: env})
				got := decidedOf(&c.Providers[len(c.Providers)-1])
				got.URL = strings.ToLower(got.URL)
				if diff := cmp.Diff(want.decided, got); diff != "" {
					t.Errorf("%s provider with %s (-want +got):\n%s", first, way, diff)
				}
			}
		}
	}
}

func TestThePresetsAreThoseOfTheTag(t *testing.T) {
	t.Parallel()
	field, _ := reflect.TypeFor[Provider]().FieldByName("Preset")
	speaks, _ := reflect.TypeFor[Provider]().FieldByName("Speaks")
	for _, known := range presets() {
		if err := pathSegment(known.name); err != nil {
			t.Errorf("%s cannot be a provider's name: %v", known.name, err)
		}
		if err := parseURL(new(*url.URL), known.url); err != nil || strings.HasSuffix(known.url, "/") {
			t.Errorf("the URL %s of %s: %v", known.url, known.name, err)
		}
		if !slices.Contains(strings.Split(speaks.Tag.Get("enum"), ","), string(known.speaks)) {
			t.Errorf("%s speaks %q", known.name, known.speaks)
		}
	}
	if got, want := mapped(presets(), func(known preset) string { return known.name }), strings.Split(field.Tag.Get("enum"), ","); !slices.Equal(got, want) {
		t.Errorf("presets = %v; want those of the tag, %v", got, want)
	}
}

func TestWhatIsGivenBeatsThePreset(t *testing.T) {
	t.Parallel()
	groq := decided{Name: "groq", Preset: "groq", URL: "https://api.groq.com/openai/v1", Speaks: "openai", Hint: perMinute(30)}
	for _, tt := range []struct {
		name string
		layers
		change func(*decided)
	}{
		{"nothing", layers{file: "providers: [{preset: groq}]"}, func(*decided) {}},
		{"a name", layers{file: "providers: [{preset: groq, name: fast}]"}, func(d *decided) { d.Name = "fast" }},
		{"a URL", layers{file: "providers: [{preset: groq, url: http://10.0.0.1/v1}]"}, func(d *decided) { d.URL = "http://10.0.0.1/v1" }},
		{"what it speaks", layers{file: "providers: [{preset: groq, speaks: both}]"}, func(d *decided) { d.Speaks = "both" }},
		{"a hint", layers{env: []string{"SIDECAR_PROVIDER_PRESET=groq", "SIDECAR_LIMITS_HINT=5-M"}}, func(d *decided) { d.Hint = perMinute(5) }},
		{"no hint", layers{env: []string{"SIDECAR_PROVIDER_PRESET=groq", "SIDECAR_LIMITS_HINT=none"}}, func(d *decided) { d.Hint = nil }},
		{"a key", layers{file: "providers: [{preset: groq, accounts: [{keys: own}]}]", env: []string{"GROQ_API_KEY=k"}}, func(d *decided) { d.Key = "default/own" }},
		{"a key of ours", layers{file: "providers: [{preset: groq}]", env: []string{"GROQ_API_KEY=k", "SIDECAR_API_KEYS=ours"}}, func(d *decided) { d.Key = "default/ours" }},
		{"an account's name", layers{file: "providers: [{preset: groq, accounts: [{name: team}]}]", env: []string{"GROQ_API_KEY=k"}}, func(d *decided) { d.Key = "team/k" }},
		{"the key in a file", layers{file: "providers: [{preset: groq}]", env: []string{"GROQ_API_KEY_FILE=f"}, files: map[string]string{"f": "k\n"}}, func(d *decided) { d.Key = "default/k" }},
		{"another provider's key", layers{file: "providers: [{preset: groq}]", env: []string{"OPENAI_API_KEY=k"}}, func(*decided) {}},
		{"NVIDIA's key", layers{file: "providers: [{preset: groq}]", env: []string{"NVIDIA_API_KEY=nv"}}, func(*decided) {}},
		{"NVIDIA's key and its own", layers{file: "providers: [{preset: groq}]", env: []string{"NGC_API_KEY=nv", "GROQ_API_KEY=k"}}, func(d *decided) { d.Key = "default/k" }},
		{
			"NVIDIA's key and a URL that comes last",
			layers{flags: []string{"--upstream-url=https://api.groq.com/openai/v1"}, env: []string{"NVIDIA_API_KEY=nv"}},
			func(*decided) {},
		},
		{"its host, and a name like another's", layers{file: "providers: [{name: openai, url: https://api.groq.com/openai/v1}]"}, func(d *decided) { d.Name = "openai" }},
	} {
		want := groq
		tt.change(&want)
		if diff := cmp.Diff(want, decidedOf(&mustLoad(t, tt.layers).Providers[0])); diff != "" {
			t.Errorf("%s given (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestAHostThatNobodyKnowsHasNoPreset(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"http://nim:8000/v1", "https://notnvidia.com/v1", "https://nvidia.com.evil.example/v1", "https://storage.googleapis.com/v1"} {
		got := decidedOf(&mustLoad(t, layers{env: []string{"SIDECAR_UPSTREAM_URL=" + at, "OPENAI_API_KEY=k"}}).Providers[0])
		if want := (decided{Name: "upstream", URL: at, Speaks: "openai"}); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v; want %+v", at, got, want)
		}
	}
}

func TestEachProviderGetsItsOwnKey(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, layers{
		file: "providers: [{name: groq}, {name: nvidia}, {name: openai, accounts: [{name: a, keys: x}, {name: b, keys: y}]}]",
		env:  []string{"NVIDIA_API_KEY=nv", "GROQ_API_KEY=gq", "OPENAI_API_KEY=oa"},
	})
	var got []string
	for _, p := range c.Providers {
		for _, a := range p.Accounts {
			got = append(got, p.Name+"/"+a.Name+"/"+strings.Join(mapped(a.Keys, secret.Text.Reveal), "+"))
		}
	}
	if want := []string{"groq/default/gq", "nvidia/default/nv", "openai/a/x", "openai/b/y"}; !slices.Equal(got, want) {
		t.Errorf("keys = %v; want %v", got, want)
	}
	if text := string(c.YAML()); !strings.Contains(text, `keys: ["***"] # GROQ_API_KEY`) || strings.Contains(text, "gq") {
		t.Errorf("the settings in effect do not say where the key came from:\n%s", text)
	}
}

func TestAPromiseIsWhatPacesNotTheHint(t *testing.T) {
	t.Parallel()
	for env, want := range map[string]limit.Rates{"SIDECAR_LIMITS=5-M": perMinute(5), "SIDECAR_LIMITS_HINT=6-M": perMinute(6), "HOME=/": perMinute(40)} {
		if diff := cmp.Diff(want, mustLoad(t, layers{env: []string{env}}).Providers[0].Rates()); diff != "" {
			t.Errorf("%s: Rates() (-want +got):\n%s", env, diff)
		}
	}
}
