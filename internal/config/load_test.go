package config

import (
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/priority"
	"nimsidecar/internal/secret"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// layers is what a test gives Load: variables as NAME=value, flags as --name=value, and files by name, of which c.yaml is the settings.
type layers struct {
	file  string
	env   []string
	flags []string
	files map[string]string
}

func (ls layers) load() (*Config, error) {
	s := Sources{Environ: ls.env, Flags: map[string]string{}, ReadFile: func(name string) ([]byte, error) {
		if name == "c.yaml" {
			return []byte(ls.file), nil
		}
		if content, ok := ls.files[name]; ok {
			return []byte(content), nil
		}
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}}
	for _, f := range ls.flags {
		name, value, _ := strings.Cut(strings.TrimPrefix(f, "--"), "=")
		s.Flags[name] = value
	}
	if _, ok := s.Flags["config"]; !ok && ls.file != "" {
		s.Flags["config"] = "c.yaml"
	}
	return Load(s)
}

func mustLoad(t *testing.T, ls layers) *Config {
	t.Helper()
	c, err := ls.load()
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return c
}

// modelPaths are the paths of which package coalesce knows how deterministic they are.
func modelPaths() []string {
	return []string{"/embeddings", "/chat/completions", "/completions", "/messages", "/responses"}
}

// defaults are the settings of CONTRACT section 7, written down by hand.
func defaults() *Config {
	return &Config{
		Listen: "127.0.0.1:9190", MetricsListen: "127.0.0.1:9191",
		Providers: []Provider{{
			Name: "nvidia", Preset: "nvidia", URL: &url.URL{Scheme: "https", Host: "integrate.api.nvidia.com", Path: "/v1"}, Speaks: "openai",
			LimitsHint: limit.Rates{{N: 40, Period: time.Minute}}, HeadTimeout: 10 * time.Minute, StreamIdleTimeout: 5 * time.Minute,
			NVIDIA: true, BurstShare: 0.5,
		}},
		Queue:           Queue{Capacity: 1000, MaxWait: 15 * time.Minute, Overflow: OverflowReject, MaxBytes: 512_000_000},
		Adaptive:        Adaptive{Enabled: true},
		Heartbeat:       Heartbeat{Mode: "auto", Plain: "auto", Interval: 15 * time.Second, CommitAfter: 2 * time.Second},
		Coalesce:        Coalesce{Paths: modelPaths(), MaxAnswer: 8_000_000},
		Cache:           Cache{Paths: modelPaths(), MaxBytes: 64_000_000, MaxAge: time.Hour},
		MaxBody:         25_000_000,
		ShutdownTimeout: 30 * time.Second,
		Log:             Log{Format: "auto", Level: "info"},
	}
}

// sameSettings compares settings, but neither where they came from nor what is odd about them.
func sameSettings(got, want *Config) string {
	return cmp.Diff(want, got, cmpopts.IgnoreUnexported(Config{}), cmpopts.IgnoreFields(Config{}, "Warnings", "File"), cmpopts.EquateEmpty(),
		cmp.Comparer(func(a, b secret.Text) bool { return a == b }))
}

func TestNothingGivenIsTheDefaults(t *testing.T) {
	t.Parallel()
	if diff := sameSettings(mustLoad(t, layers{}), defaults()); diff != "" {
		t.Errorf("Load(Sources{}) differs from the contract (-want +got):\n%s", diff)
	}
}

func TestTheLaterLayerWins(t *testing.T) {
	t.Parallel()
	const file = "queue: {capacity: 2}"
	tests := []struct {
		name string
		layers
		want int
	}{
		{"default", layers{}, 1000},
		{"file over default", layers{file: file}, 2},
		{"environment over file", layers{file: file, env: []string{"SIDECAR_QUEUE_CAPACITY=3"}}, 3},
		{"flag over environment", layers{file: file, env: []string{"SIDECAR_QUEUE_CAPACITY=3"}, flags: []string{"--queue-capacity=4"}}, 4},
		{"an empty variable is not set", layers{file: file, env: []string{"SIDECAR_QUEUE_CAPACITY="}}, 2},
		{"of a variable given twice the last", layers{env: []string{"SIDECAR_QUEUE_CAPACITY=3", "SIDECAR_QUEUE_CAPACITY=5"}}, 5},
		{"a key without a value is not set", layers{file: "queue:\n  capacity:"}, 1000},
		{"a group without keys is not set", layers{file: "queue:\n  # capacity: 7\n"}, 1000},
		{"the environment names the file", layers{file: file, env: []string{"SIDECAR_CONFIG=c.yaml"}}, 2},
		{"a flag names another file", layers{file: file, env: []string{"SIDECAR_CONFIG=c.yaml"}, flags: []string{"--config=d.yaml"}, files: map[string]string{"d.yaml": "queue: {capacity: 6}"}}, 6},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := mustLoad(t, tt.layers).Queue.Capacity; got != tt.want {
				t.Errorf("capacity = %d; want %d", got, tt.want)
			}
		})
	}
}

func TestZeroInALaterLayerWins(t *testing.T) {
	t.Parallel()
	file := "h2c: true\nshutdown_timeout: 9s\nproviders: [{limits: 5-M, limits_hint: 6-M, burst: 3}]\n"
	c := mustLoad(t, layers{
		file: file, env: []string{"SIDECAR_H2C=false", "SIDECAR_LIMITS=none", "SIDECAR_BURST=auto"},
		flags: []string{"--limits-hint=none", "--shutdown-timeout=0s"},
	})
	if p := c.Providers[0]; c.H2C || c.ShutdownTimeout != 0 || p.Limits != nil || p.LimitsHint != nil || p.Burst != 0 {
		t.Errorf("h2c %v, shutdown_timeout %v, limits %v, limits_hint %v, burst %v; want every zero that was given", c.H2C, c.ShutdownTimeout, p.Limits, p.LimitsHint, p.Burst)
	}
}

func TestEverySettingCanBeGivenInEveryLayer(t *testing.T) {
	t.Parallel()
	rates := func(n int, period time.Duration) limit.Rates { return limit.Rates{{N: n, Period: period}} }
	class := func(c priority.Class) *priority.Class { return &c }
	want := &Config{
		Listen: "127.0.0.1:1", MetricsListen: "unix:/run/m.sock", H2C: true, AllowOpen: true,
		Providers: []Provider{{
			Name: "own", Preset: "ollama", URL: &url.URL{Scheme: "http", Host: "10.0.0.1:8000", Path: "/v1"}, Speaks: "openai",
			Accounts: []Account{{Name: "team", Keys: []secret.Text{secret.New("key-one"), secret.New("key-two")}}},
			Limits:   rates(1, time.Second), LimitsHint: rates(2, time.Minute), AccountLimits: rates(3, time.Hour), Burst: 4,
			Pin: rates(5, time.Minute), Paused: true,
			HeadTimeout: 5 * time.Second, StreamIdleTimeout: 6 * time.Second,
		}},
		Clients:         []Client{{Name: "alice", Key: secret.New("key-a")}, {Name: "bob", Key: secret.New("key-b")}},
		Drain:           true,
		Queue:           Queue{Capacity: 7, MaxWait: 8 * time.Second, Overflow: OverflowPassthrough, MaxBytes: 9 << 20},
		Adaptive:        Adaptive{Enabled: false},
		Heartbeat:       Heartbeat{Mode: "off", Plain: "whitespace", Interval: 10 * time.Second, CommitAfter: 11 * time.Second},
		Coalesce:        Coalesce{Models: []string{"*"}, Paths: []string{"/ranking"}, ShareClients: true, MaxAnswer: 3_000},
		Cache:           Cache{Models: []string{"a/*", "b"}, Paths: []string{"/embeddings"}, MaxBytes: 4 << 20, MaxAge: 13 * time.Second},
		Admin:           Admin{Token: secret.New("token"), AllowedHosts: []string{"a.example", "::1"}, AllowedOrigins: []string{"https://b.example"}},
		StateDir:        "/state",
		MaxBody:         2_000_000,
		ShutdownTimeout: 12 * time.Second,
		Log:             Log{Format: "text", Level: "debug"},
	}
	values := map[string]string{
		"SIDECAR_LISTEN": "127.0.0.1:1", "SIDECAR_METRICS_LISTEN": "unix:/run/m.sock", "SIDECAR_H2C": "true", "SIDECAR_ALLOW_OPEN": "true",
		"SIDECAR_PROVIDER_NAME": "own", "SIDECAR_UPSTREAM_URL": "http://10.0.0.1:8000/v1/", "SIDECAR_PROVIDER_PRESET": "ollama", "SIDECAR_SPEAKS": "openai",
		"SIDECAR_ACCOUNT_NAME": "team",
		"SIDECAR_API_KEYS":     "key-one, key-two", "SIDECAR_LIMITS": "1-S", "SIDECAR_LIMITS_HINT": "2-m", "SIDECAR_ACCOUNT_LIMITS": "3-H",
		"SIDECAR_BURST": "4", "SIDECAR_PIN": "5-M", "SIDECAR_PAUSED": "true", "SIDECAR_DRAIN": "true", "SIDECAR_HEAD_TIMEOUT": "5s", "SIDECAR_STREAM_IDLE_TIMEOUT": "6s",
		"SIDECAR_CLIENT_KEYS": "alice:key-a,bob:key-b", "SIDECAR_QUEUE_CAPACITY": "7", "SIDECAR_MAX_WAIT": "8s", "SIDECAR_OVERFLOW": "passthrough",
		"SIDECAR_QUEUE_MAX_BYTES": "9MiB", "SIDECAR_ADAPTIVE": "false", "SIDECAR_HEARTBEAT": "off", "SIDECAR_HEARTBEAT_PLAIN": "whitespace", "SIDECAR_HEARTBEAT_INTERVAL": "10s",
		"SIDECAR_COALESCE_MODELS": "*", "SIDECAR_COALESCE_PATHS": "/ranking", "SIDECAR_COALESCE_SHARE_CLIENTS": "true",
		"SIDECAR_COALESCE_MAX_ANSWER": "3KB", "SIDECAR_CACHE_MODELS": "a/*,b", "SIDECAR_CACHE_PATHS": "/embeddings",
		"SIDECAR_CACHE_MAX_BYTES": "4MiB", "SIDECAR_CACHE_MAX_AGE": "13s",
		"SIDECAR_COMMIT_AFTER": "11s", "SIDECAR_ADMIN_TOKEN": "token", "SIDECAR_ALLOWED_HOSTS": "a.example,::1",
		"SIDECAR_ALLOWED_ORIGINS": "https://b.example", "SIDECAR_STATE_DIR": "/state", "SIDECAR_MAX_BODY": "2MB", "SIDECAR_SHUTDOWN_TIMEOUT": "12s",
		"SIDECAR_LOG_FORMAT": "text", "SIDECAR_LOG_LEVEL": "debug",
	}
	var env, flags []string
	files := map[string]string{}
	for _, s := range Settings() {
		if len(s.Env) == 0 && !strings.HasPrefix(s.Path, "clients[].") && !strings.HasPrefix(s.Path, "routes[].") {
			t.Errorf("%s has no variable", s.Path)
		}
		if len(s.Env) == 0 || s.Env[0] == "SIDECAR_CONFIG" || s.Env[0] == "SIDECAR_REDIS_URL" {
			continue
		}
		value, ok := values[s.Env[0]]
		if !ok {
			t.Errorf("this test does not know %s", s.Env[0])
		}
		env = append(env, s.Env[0]+"="+value)
		if s.Secret {
			files[s.Flag], value = value+"\n", s.Flag
		}
		flags = append(flags, "--"+s.Flag+"="+value)
	}
	file := `
listen: 127.0.0.1:1
metrics_listen: "unix:/run/m.sock"
h2c: true
allow_open: true
providers:
  - name: own
    preset: ollama
    url: http://10.0.0.1:8000/v1
    speaks: openai
    accounts:
      - name: team
        keys:
          - key-one
          - key-two
    limits: 1-S
    limits_hint: '2-M'
    account_limits: 3-H
    burst: 4
    pin: 5-M
    paused: true
    head_timeout: 5s
    stream_idle_timeout: 6s
routes:
  - {alias: fast, targets: [{provider: own, model: a/b}], fallback_after: 14s}
  - alias: "own/*"
    targets:
      - provider: own
        model: "*"
clients:
  - {name: alice, key: key-a, class: low, highest: 1, max_wait: 4s}
  - {name: bob, key: key-b}
drain: true
queue: {capacity: 7, max_wait: 8s, overflow: passthrough, max_bytes: 9437184}
adaptive: {enabled: false}
heartbeat: {mode: off, plain: whitespace, interval: 10s, commit_after: 11s}
coalesce: {models: "*", paths: /ranking, share_clients: true, max_answer: 3KB}
cache: {models: [a/*, b], paths: [/embeddings], max_bytes: 4MiB, max_age: 13s}
admin:
  token: token
  allowed_hosts: [a.example, "::1"]
  allowed_origins: https://b.example
state_dir: /state
max_body: 2 MB
shutdown_timeout: 12s
log:
  format: text
  level: debug
`
	for name, ls := range map[string]layers{"environment": {env: env}, "flags": {flags: flags, files: files}} {
		if diff := sameSettings(mustLoad(t, ls), want); diff != "" {
			t.Errorf("by %s (-want +got):\n%s", name, diff)
		}
	}
	want.Clients[0].Class, want.Clients[0].Highest = class(priority.Low), class(priority.High)
	want.Clients[0].MaxWait = 4 * time.Second
	want.Routes = []Route{
		{Alias: "fast", Targets: []RouteTarget{{Provider: "own", Model: "a/b"}}, FallbackAfter: 14 * time.Second},
		{Alias: "own/*", Targets: []RouteTarget{{Provider: "own", Model: "*"}}},
	}
	if diff := sameSettings(mustLoad(t, layers{file: file}), want); diff != "" {
		t.Errorf("by file (-want +got):\n%s", diff)
	}
}

func TestWhoseKeyGoesUpstream(t *testing.T) {
	t.Parallel()
	const own = "providers: [{name: own, url: http://10.0.0.1/v1, accounts: [{keys: [from-file]}]}]"
	tests := []struct {
		name string
		layers
		want []string
	}{
		{"none: the client's own", layers{}, nil},
		{"NVIDIA's name", layers{env: []string{"NVIDIA_API_KEY=k"}}, []string{"k"}},
		{"NVIDIA's other name", layers{env: []string{"NGC_API_KEY=k"}}, []string{"k"}},
		{"both", layers{env: []string{"NGC_API_KEY=ngc", "NVIDIA_API_KEY=nv"}}, []string{"nv"}},
		{"our name first", layers{env: []string{"NVIDIA_API_KEY=nv", "SIDECAR_API_KEYS=a,b"}}, []string{"a", "b"}},
		{"a file of keys", layers{env: []string{"SIDECAR_API_KEYS_FILE=keys"}, files: map[string]string{"keys": "a\nb,c\n"}}, []string{"a", "b", "c"}},
		{"NVIDIA's name with a file", layers{env: []string{"NVIDIA_API_KEY_FILE=keys"}, files: map[string]string{"keys": "a\n"}}, []string{"a"}},
		{"a flag with a file", layers{env: []string{"NVIDIA_API_KEY=nv"}, flags: []string{"--api-keys-file=keys"}, files: map[string]string{"keys": "a"}}, []string{"a"}},
		{"the file of settings", layers{file: "providers: [{accounts: [{keys: [a, b]}]}]"}, []string{"a", "b"}},
		{"a variable of the file's choice", layers{file: "providers: [{accounts: [{keys: ['${MY_KEY}', b]}]}]", env: []string{"MY_KEY=a"}}, []string{"a", "b"}},
		{"a file of the file's choice", layers{file: "providers: [{accounts: [{keys: ['${file:/k}']}]}]", files: map[string]string{"/k": "a,b\n"}}, []string{"a", "b"}},
		{"the environment over the file", layers{file: "providers: [{accounts: [{keys: [a]}]}]", env: []string{"NVIDIA_API_KEY=nv"}}, []string{"nv"}},
		{"but NVIDIA's not where the file has another's", layers{file: own, env: []string{"NVIDIA_API_KEY=nv"}}, []string{"from-file"}},
		{"ours there too", layers{file: own, env: []string{"SIDECAR_API_KEYS=a"}}, []string{"a"}},
		{"NVIDIA's where a host of one's own has none", layers{env: []string{"NVIDIA_API_KEY=nv", "SIDECAR_UPSTREAM_URL=http://10.0.0.1/v1"}, file: "providers: [{name: nvidia}]"}, []string{"nv"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, account := range mustLoad(t, tt.layers).Providers[0].Accounts {
				got = append(got, mapped(account.Keys, secret.Text.Reveal)...)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("keys = %q; want %q", got, tt.want)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		layers
		want []string
	}{
		{"nothing odd", layers{env: []string{"SIDECAR_LISTEN=:0", "SIDECAR_ALLOW_OPEN=true", "HOME=/root", "SIDECAR_API_KEYS_FILE=k"}, files: map[string]string{"k": "a"}}, nil},
		{"a slip", layers{env: []string{"SIDECAR_QUEUE_CAPACTIY=5"}}, []string{"SIDECAR_QUEUE_CAPACTIY is no setting and is not used: did you mean SIDECAR_QUEUE_CAPACITY?"}},
		{"what Kubernetes makes for a service", layers{env: []string{"SIDECAR_PORT_9190_TCP_PROTO=tcp"}}, []string{"SIDECAR_PORT_9190_TCP_PROTO is no setting and is not used"}},
		{
			"a key that would go elsewhere",
			layers{file: "providers: [{name: own, url: http://own/v1, accounts: [{keys: a}]}]", env: []string{"NVIDIA_API_KEY=nv"}},
			[]string{"NVIDIA_API_KEY is not used: c.yaml:1:63 gives the keys of own, which is not NVIDIA; SIDECAR_API_KEYS would replace them"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, mustLoad(t, tt.layers).Warnings); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestSettingsAreWellFormed(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for n := range root().leaves() {
		if n.Help == "" || !strings.HasSuffix(n.Help, ".") {
			t.Errorf("%s: help %q is no sentence", n.Path, n.Help)
		}
		if n.Flag != "" && seen[n.Flag] {
			t.Errorf("flag --%s is two settings", n.Flag)
		}
		seen[n.Flag] = true
		switch name := typeName(n.typ); {
		case (name == "duration" || name == "size" || name == "number") && n.tag.Get("min") == "":
			t.Errorf("%s has no lower bound", n.Path)
		case n.Default == "" && n.Example == "":
			t.Errorf("%s has neither a default nor an example", n.Path)
		}
	}
}

func ExampleLoad() {
	c, err := Load(Sources{
		Environ: []string{"NVIDIA_API_KEY=nvapi-secret", "SIDECAR_LIMITS=20-M"},
		Flags:   map[string]string{"queue-capacity": "50"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	p := c.Providers[0]
	fmt.Println(p.Name, p.Rates(), p.Accounts[0].Keys, c.Queue.Capacity)

	_, err = Load(Sources{Environ: []string{"SIDECAR_LIMITS=20", "SIDECAR_MAX_WAIT=15"}})
	fmt.Println(err)
	// Output:
	// nvidia 20-M [***] 50
	// SIDECAR_LIMITS: "20": limit "20": there is no unit: use N-S, N-M, N-H or N-D (requests a second, minute, hour, day), several joined by commas, such as 40-M,1000-H
	// SIDECAR_MAX_WAIT: "15": want a duration such as 90s, 15m or 1h30m
}
