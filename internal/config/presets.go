package config

import (
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"time"

	"nimsidecar/internal/limit"
)

// preset is what is known of a provider before anything is learned.
type preset struct {
	name  string   // as in the setting; also the provider's default name
	hosts []string // these and all below them
	port  string   // on whatever host; "" = no one in particular
	url   string   // of its API
	keys  []string // the variables in which its users keep a key
	speaks
	apiKey     bool        // its keys go as X-Api-Key
	hint       limit.Rates // only where answers do not tell the limit, and it is much the same for everybody: no learning goes far beyond it
	burstShare float64     // of a window may leave at once; 0 = it refills steadily, or nothing is known
}

// speaks is whose requests a provider understands as they are.
type speaks string

// The values of Provider.Speaks.
const (
	SpeaksOpenAI    = "openai"
	SpeaksAnthropic = "anthropic"
	SpeaksBoth      = "both"
)

// nvidiaBurst is the share of a window that may leave at once at NVIDIA, which counts windows and bears more. The rest is spread until
// the clump has left the window, with some kept for URGENT.
const nvidiaBurst = 0.5

// perMinute is a limit of n requests a minute.
func perMinute(n int) limit.Rates { return limit.Rates{{N: n, Period: time.Minute}} }

// presets returns all of them. The names are those in the tag of Provider.Preset. NVIDIA grants 40 a minute to each account and model;
// Groq, whose headers tell of the day only, 30 to most. Servers of one's own have no limit but their workers.
func presets() []preset {
	return []preset{
		{
			name: "nvidia", hosts: []string{"nvidia.com"}, url: "https://integrate.api.nvidia.com/v1", keys: []string{"NVIDIA_API_KEY", "NGC_API_KEY"},
			speaks: SpeaksOpenAI, hint: perMinute(40), burstShare: nvidiaBurst,
		},
		{name: "openai", hosts: []string{"api.openai.com"}, url: "https://api.openai.com/v1", keys: []string{"OPENAI_API_KEY"}, speaks: SpeaksOpenAI},
		{
			name: "anthropic", hosts: []string{"anthropic.com"}, url: "https://api.anthropic.com/v1", keys: []string{"ANTHROPIC_API_KEY"},
			speaks: SpeaksBoth, apiKey: true,
		},
		{
			name: "groq", hosts: []string{"groq.com"}, url: "https://api.groq.com/openai/v1", keys: []string{"GROQ_API_KEY"},
			speaks: SpeaksOpenAI, hint: perMinute(30),
		},
		{name: "mistral", hosts: []string{"mistral.ai"}, url: "https://api.mistral.ai/v1", keys: []string{"MISTRAL_API_KEY"}, speaks: SpeaksOpenAI},
		{name: "openrouter", hosts: []string{"openrouter.ai"}, url: "https://openrouter.ai/api/v1", keys: []string{"OPENROUTER_API_KEY"}, speaks: SpeaksBoth},
		{
			name: "gemini", hosts: []string{"generativelanguage.googleapis.com"}, url: "https://generativelanguage.googleapis.com/v1beta/openai",
			keys: []string{"GEMINI_API_KEY", "GOOGLE_API_KEY"}, speaks: SpeaksOpenAI,
		},
		{name: "vllm", url: "http://127.0.0.1:8000/v1", speaks: SpeaksBoth},
		{name: "llama-cpp", url: "http://127.0.0.1:8080/v1", speaks: SpeaksBoth},
		{name: "ollama", port: "11434", url: "http://127.0.0.1:11434/v1", speaks: SpeaksBoth},
	}
}

// presetOf returns the preset of a provider: the one that is set, else that of the URL, else, without a URL, that of the name.
func (l *loader) presetOf(p *Provider, path string) preset {
	_, located := l.config.origins[path+".url"]
	_, named := l.config.origins[path+".name"]
	for _, known := range presets() {
		switch {
		case p.Preset != "":
			if known.name == p.Preset {
				return known
			}
		case located:
			if known.serves(p.URL) {
				return known
			}
		case !named || known.name == p.Name: // the first is where requests go when nothing else is said
			return known
		}
	}
	return preset{name: "upstream", speaks: SpeaksOpenAI}
}

// serves reports whether a URL is at the provider.
func (known preset) serves(u *url.URL) bool {
	if known.port != "" && u.Port() == known.port {
		return true
	}
	host := strings.ToLower(u.Hostname())
	for _, domain := range known.hosts {
		if below, ok := strings.CutSuffix(host, domain); ok && (below == "" || strings.HasSuffix(below, ".")) {
			return true
		}
	}
	return false
}

// isNVIDIA reports whether a URL is at NVIDIA's hosted gateway.
func isNVIDIA(u *url.URL) bool { return presets()[0].serves(u) }

// applyPresets fills in what depends on who a provider is and was not given.
func (l *loader) applyPresets() {
	for i := range l.config.Providers {
		p, path := &l.config.Providers[i], fmt.Sprintf("providers[%d]", i)
		known := l.presetOf(p, path)
		fill := func(key string, apply func()) {
			if _, given := l.config.origins[path+key]; !given {
				apply()
				l.config.origins[path+key] = origin{layer: byPreset}
			}
		}
		p.NVIDIA, p.APIKey, p.BurstShare = known.name == "nvidia", known.apiKey, known.burstShare
		if known.url != "" {
			fill(".preset", func() { p.Preset = known.name })
			fill(".url", func() { p.URL = mustParse(known.url) })
		}
		fill(".name", func() { p.Name = known.name })
		fill(".speaks", func() { p.Speaks = string(known.speaks) })
		if len(known.hint) > 0 {
			fill(".limits_hint", func() { p.LimitsHint = known.hint })
		}
		l.applyKey(p, path, known)
	}
}

// mustParse reads a URL of the presets.
func mustParse(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil {
		panic("config: the URL of a preset: " + err.Error())
	}
	return u
}

// applyKey gives a provider without keys the one that its users keep in a variable. A key of NVIDIA's that the first provider has got from
// such a variable is taken away from any other known provider.
func (l *loader) applyKey(p *Provider, path string, known preset) {
	keys := path + ".accounts[0].keys"
	if from := l.config.origins[keys]; from.layer == byEnvironment && !strings.HasPrefix(from.name, "SIDECAR_") && !p.NVIDIA && len(known.keys) > 0 {
		p.Accounts[0].Keys = nil
		delete(l.config.origins, keys)
	}
	has := len(p.Accounts) > 1 || len(p.Accounts) == 1 && len(p.Accounts[0].Keys) > 0
	if has || len(known.keys) == 0 || p.NVIDIA && path == "providers[0]" { // there those variables are the setting's own
		return
	}
	text, from := l.fromEnvironment(&node{Setting: Setting{Env: known.keys, Secret: true}})
	if from.layer == byDefault {
		return
	}
	accounts := l.root.find("providers").find("accounts")
	if len(p.Accounts) == 0 {
		grow(accounts, reflect.ValueOf(&p.Accounts).Elem())
	}
	l.set(accounts.find("keys"), reflect.ValueOf(&p.Accounts[0].Keys).Elem(), keys, text, from)
}
