package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	wantLimit   = "use N-S, N-M, N-H or N-D (requests a second, minute, hour, day), several joined by commas, such as 40-M,1000-H"
	wantTop     = "want the keys listen, metrics_listen, h2c, allow_open, providers, routes, clients, drain, queue, adaptive, heartbeat, coalesce, cache, admin, shared, state_dir, max_body, shutdown_timeout, log"
	wantSegment = "want up to 64 lower-case letters, digits and hyphens, and none of v1, sidecar, livez, readyz, healthz, metrics"
	wantPresets = "nvidia, openai, anthropic, groq, mistral, openrouter, gemini, vllm, llama-cpp, ollama"
	wantURL     = "want a URL such as https://integrate.api.nvidia.com/v1"
	isOpen      = "can be reached from beyond this machine, and no client needs a key: set clients (SIDECAR_CLIENT_KEYS), or say that it may with allow_open: true (SIDECAR_ALLOW_OPEN=true)"
)

// bad lists settings that cannot be, with all that Load says of each, line by line.
var bad = []struct {
	name string
	layers
	want string
}{
	{"unknown key", layers{file: "lisen: x"}, `c.yaml:1:1: unknown key "lisen": did you mean listen?`},
	{"unknown key in a group", layers{file: "queue:\n  capcity: 5"}, `c.yaml:2:3: queue: unknown key "capcity": did you mean capacity?`},
	{"unknown key in a list", layers{file: "providers:\n  - urls: x"}, `c.yaml:2:5: providers[0]: unknown key "urls": did you mean url?`},
	{"key of another group", layers{file: "max_wait: 5s"}, `c.yaml:1:1: unknown key "max_wait": did you mean queue.max_wait?`},
	{"key like nothing", layers{file: "log: {banana: 1}"}, `c.yaml:1:7: log: unknown key "banana": want one of format, level`},
	{"key given twice", layers{file: "h2c: true\nlisten: :0\nh2c: false"}, `c.yaml:3:1: key "h2c" is given twice, first in line 1` + "\n" + `c.yaml:2:9: listen: ":0" ` + isOpen},

	{"list for a group", layers{file: "queue: [1]"}, "c.yaml:1:8: queue: a list: want the keys capacity, max_wait, overflow, max_bytes"},
	{"value for a group", layers{file: "log: debug"}, "c.yaml:1:6: log: one value: want the keys format, level"},
	{"group for a list", layers{file: "providers:\n  url: x"}, "c.yaml:2:3: providers: a mapping: want a list, each entry with the keys name, preset, url, speaks, accounts, limits, limits_hint, account_limits, burst, pin, paused, head_timeout, stream_idle_timeout"},
	{"value for an entry", layers{file: "clients:\n  - alice"}, "c.yaml:2:5: clients[0]: one value: want the keys name, key, class, highest, max_wait\nc.yaml:2:3: clients: clients[0] has no name"},
	{"list for a value", layers{file: "listen:\n  - :1"}, "c.yaml:2:3: listen: a list: want one value"},
	{"group for a value", layers{file: "state_dir: {a: b}"}, "c.yaml:1:13: state_dir: a mapping: want one value"},
	{"list of limits", layers{file: "providers: [{limits: [1-M]}]"}, "c.yaml:1:22: providers[0].limits: a list: want one value"},
	{"the whole is a list", layers{file: "- listen"}, "c.yaml:1:1: a list: " + wantTop},
	{"the whole is a word", layers{file: "listen"}, "c.yaml:1:1: one value: " + wantTop},
	{"alias", layers{file: "listen: &a x\nmetrics_listen: *a"}, "c.yaml:1:9: listen: anchors and aliases are not supported: want one value\nc.yaml:2:17: metrics_listen: anchors and aliases are not supported: want one value"},
	{"tag", layers{file: "listen: !!str x"}, "c.yaml:1:9: listen: tags are not supported: want one value"},
	{"two documents", layers{file: "---\nh2c: true\n---\nh2c: false"}, "c.yaml:4:1: a second document: settings are one"},
	{"not YAML", layers{file: "listen: [1"}, "c.yaml:1:9: sequence end token ']' not found"},
	{"not UTF-8", layers{file: "listen: \xff"}, "c.yaml:1:1: it is not UTF-8"},
	{"tab", layers{file: "queue:\n\tcapacity: 1"}, "c.yaml:2:1: found character '\t' that cannot start any token"},

	{"duration without a unit", layers{file: "queue:\n  max_wait: 90"}, `c.yaml:2:13: queue.max_wait: "90": want a duration such as 90s, 15m or 1h30m`},
	{"duration of zero", layers{env: []string{"SIDECAR_HEAD_TIMEOUT=0s"}}, `SIDECAR_HEAD_TIMEOUT: "0s": want 1s to 24h`},
	{"negative duration", layers{flags: []string{"--shutdown-timeout=-1s"}}, `--shutdown-timeout: "-1s": want 0s to 1h`},
	{"heartbeats too often", layers{file: "heartbeat: {interval: 9s}"}, `c.yaml:1:23: heartbeat.interval: "9s": want 10s to 10m`},
	{"size without a number", layers{file: "max_body: MB"}, `c.yaml:1:11: max_body: "MB": want a size such as 25MB, 32MiB or 4096`},
	{"size too large", layers{file: "max_body: 2GB"}, `c.yaml:1:11: max_body: "2GB": want 1KB to 1GB`},
	{"size too small", layers{env: []string{"SIDECAR_QUEUE_MAX_BYTES=1"}}, `SIDECAR_QUEUE_MAX_BYTES: "1": want at least 1KB`},
	{"queue smaller than a body", layers{file: "max_body: 2MB\nqueue: {max_bytes: 1MB}"}, "c.yaml:2:20: queue.max_bytes: 1MB is less than max_body, 2MB: no body of that size could ever wait"},
	{"no number", layers{file: "queue: {capacity: many}"}, `c.yaml:1:19: queue.capacity: "many": want a whole number`},
	{"half a number", layers{file: "queue: {capacity: 1.5}"}, `c.yaml:1:19: queue.capacity: "1.5": want a whole number`},
	{"hexadecimal number", layers{file: "queue: {capacity: 0x10}"}, `c.yaml:1:19: queue.capacity: "0x10": want a whole number`},
	{"zero capacity", layers{file: "queue: {capacity: 0}"}, `c.yaml:1:19: queue.capacity: "0": want 1 to 1000000`},
	{"negative burst", layers{file: "providers: [{burst: -1}]"}, `c.yaml:1:21: providers[0].burst: "-1": want auto, or a whole number from 1 to 1000000`},
	{"no boolean", layers{file: "h2c: yes"}, `c.yaml:1:6: h2c: "yes": want true or false`},
	{"unknown word", layers{env: []string{"SIDECAR_OVERFLOW=drop"}}, `SIDECAR_OVERFLOW: "drop": want reject or passthrough`},
	{"unknown class", layers{file: "clients: [{name: a, key: b, class: vip}]"}, `c.yaml:1:36: clients[0].class: "vip": want urgent, high, normal, low or 0, 1, 2, 3`},
	{"limit with another unit", layers{env: []string{"SIDECAR_LIMITS=40-X"}}, `SIDECAR_LIMITS: "40-X": limit "40-X": "X" is not a unit: ` + wantLimit},
	{"limit at its column", layers{file: "providers:\n  - limits: 40-M,  9-X"}, `c.yaml:2:20: providers[0].limits: "40-M,  9-X": limit "9-X": "X" is not a unit: ` + wantLimit},
	{"limit at its column in quotes", layers{file: "providers:\n  - limits: '40-M,9-X'"}, `c.yaml:2:19: providers[0].limits: "40-M,9-X": limit "9-X": "X" is not a unit: ` + wantLimit},
	{"limit without a number", layers{file: "providers: [{limits_hint: M}]"}, `c.yaml:1:27: providers[0].limits_hint: "M": limit "M": there is no unit: ` + wantLimit},
	{"limit of zero", layers{flags: []string{"--account-limits=0-M"}}, `--account-limits: "0-M": limit "0-M": 0 is not between 1 and 1000000: ` + wantLimit},
	{"no URL", layers{env: []string{"SIDECAR_UPSTREAM_URL=integrate.api.nvidia.com"}}, `SIDECAR_UPSTREAM_URL: "integrate.api.nvidia.com": ` + wantURL},
	{"URL of another scheme", layers{env: []string{"SIDECAR_UPSTREAM_URL=ftp://x/v1"}}, `SIDECAR_UPSTREAM_URL: "ftp://x/v1": ` + wantURL},
	{"URL with a password", layers{env: []string{"SIDECAR_UPSTREAM_URL=https://u:hunter2@x/v1"}}, "SIDECAR_UPSTREAM_URL: want a URL without user, query and fragment: keys have settings of their own"},
	{"URL with a query", layers{env: []string{"SIDECAR_UPSTREAM_URL=https://x/v1?a"}}, `SIDECAR_UPSTREAM_URL: "https://x/v1?a": want a URL without user, query and fragment: keys have settings of their own`},
	{"address without a port", layers{env: []string{"SIDECAR_LISTEN=localhost"}}, `SIDECAR_LISTEN: "localhost": want host:port, :port or unix:/path`},
	{"address with a port too large", layers{env: []string{"SIDECAR_LISTEN=localhost:65536"}}, `SIDECAR_LISTEN: "localhost:65536": port "65536" is not 0 to 65535: want host:port, :port or unix:/path`},
	{"host with a port", layers{file: "admin: {allowed_hosts: [ok, 'x:9190']}"}, `c.yaml:1:29: admin.allowed_hosts[1]: "x:9190": want a host name or IP address, without scheme, port and wildcards`},
	{"any host", layers{env: []string{"SIDECAR_ALLOWED_HOSTS=*"}}, `SIDECAR_ALLOWED_HOSTS: "*": want a host name or IP address, without scheme, port and wildcards`},
	{"path without its slash", layers{env: []string{"SIDECAR_CACHE_PATHS=/a,b"}}, `SIDECAR_CACHE_PATHS: "/a,b": want a path below /v1 such as /embeddings, without a query`},
	{"origin with a path", layers{env: []string{"SIDECAR_ALLOWED_ORIGINS=https://x/"}}, `SIDECAR_ALLOWED_ORIGINS: "https://x/": want an origin such as https://chat.example, without a path`},
	{"long value", layers{env: []string{"SIDECAR_LISTEN=" + strings.Repeat("x", 200)}}, `SIDECAR_LISTEN: "` + strings.Repeat("x", 100) + `…": want host:port, :port or unix:/path`},

	{"open to everybody", layers{env: []string{"SIDECAR_LISTEN=0.0.0.0:9190"}}, `SIDECAR_LISTEN: "0.0.0.0:9190" ` + isOpen},
	{"metrics open to everybody", layers{file: "metrics_listen: :9191"}, `c.yaml:1:17: metrics_listen: ":9191" ` + isOpen},
	{"same port", layers{env: []string{"SIDECAR_METRICS_LISTEN=localhost:9190", "SIDECAR_LISTEN=localhost:9190"}}, `SIDECAR_METRICS_LISTEN: "localhost:9190" is taken by listen`},
	{"same port on all interfaces", layers{env: []string{"SIDECAR_LISTEN=[::]:9191", "SIDECAR_ALLOW_OPEN=true"}}, `metrics_listen: "127.0.0.1:9191" is taken by listen`},
	{"same socket", layers{flags: []string{"--listen=unix:/s", "--metrics-listen=unix:/s"}}, `--metrics-listen: "unix:/s" is taken by listen`},

	{"provider name that is a path", layers{env: []string{"SIDECAR_PROVIDER_NAME=v1"}}, `SIDECAR_PROVIDER_NAME: "v1": ` + wantSegment},
	{"provider name with capitals", layers{file: "providers: [{name: NIM, url: http://x}]"}, `c.yaml:1:20: providers[0].name: "NIM": ` + wantSegment},
	{"provider without URL", layers{file: "providers: [{}, {name: own}]"}, `c.yaml:1:24: providers[1].name: provider "own" has no url: only the presets have one, ` + wantPresets},
	{"unknown preset", layers{file: "providers: [{preset: grok}]"}, `c.yaml:1:22: providers[0].preset: "grok": want ` + strings.ReplaceAll(wantPresets, ", ", " or ")},
	{"unknown dialect", layers{env: []string{"SIDECAR_SPEAKS=grpc"}}, `SIDECAR_SPEAKS: "grpc": want openai or anthropic or both`},
	{"bad key of a preset", layers{file: "providers: [{}, {name: groq}]", env: []string{"GROQ_API_KEY=hunter\t2\x01"}}, "GROQ_API_KEY: it has a character that no header can carry"},
	{"preset twice", layers{file: "providers: [{preset: groq}, {url: https://api.groq.com/openai/v1}]"}, `providers[1].name: provider "groq" is also providers[0].name: each needs a name of its own`},

	{"route to nobody", layers{file: "routes:\n  - alias: fast\n    targets:\n      - {provider: grok, model: m}"}, `c.yaml:4:20: routes[0].targets[0].provider: "grok" is no provider: want nvidia`},
	{"route to one of several", layers{file: "providers: [{}, {name: groq}]\nroutes: [{alias: a, targets: [{provider: Groq}]}]"}, `c.yaml:2:42: routes[0].targets[0].provider: "Groq": ` + wantSegment + "\n" + "c.yaml:2:30: routes[0].targets: routes[0].targets[0] names no provider: want groq or nvidia"},
	{"route without a name", layers{file: "routes: [{targets: [{provider: nvidia}]}]"}, "c.yaml:1:9: routes: routes[0] has no alias"},
	{"route without targets", layers{file: "routes: [{alias: fast}]"}, `c.yaml:1:18: routes[0].alias: the route "fast" has no targets`},
	{"route with a blank in its name", layers{file: "routes: [{alias: 'a b'}]"}, `c.yaml:1:18: routes[0].alias: "a b": want the name of a model, up to 200 characters without blanks, with at most one *` + "\n" + "c.yaml:1:9: routes: routes[0] has no alias"},
	{"route with two stars", layers{file: "routes: [{alias: '*-*', targets: [{provider: nvidia}]}]"}, `c.yaml:1:18: routes[0].alias: "*-*": want the name of a model, up to 200 characters without blanks, with at most one *` + "\n" + "c.yaml:1:9: routes: routes[0] has no alias"},
	{"route twice", layers{file: "routes:\n  - {alias: a, targets: [{provider: nvidia}]}\n  - {alias: a, targets: [{provider: nvidia}]}"}, `c.yaml:3:13: routes[1].alias: alias "a" is also routes[0].alias: each needs a name of its own`},
	{"star that repeats nothing", layers{file: "routes: [{alias: a, targets: [{provider: nvidia, model: 'm*'}]}]"}, `c.yaml:1:57: routes[0].targets[0].model: "m*" has a *, which repeats what the one in the alias stands for, and the alias has none`},
	{"route that falls back at a wrong time", layers{file: "routes: [{alias: a, targets: [{provider: nvidia}], fallback_after: -1s}]"}, `c.yaml:1:68: routes[0].fallback_after: "-1s": want 0s to 24h`},
	{"value for targets", layers{file: "routes: [{alias: a, targets: nvidia}]"}, "c.yaml:1:30: routes[0].targets: one value: want a list, each entry with the keys provider, model\n" + `c.yaml:1:18: routes[0].alias: the route "a" has no targets`},
	{"provider twice", layers{file: "providers: [{name: a, url: http://x}, {name: a, url: http://y}]"}, `c.yaml:1:46: providers[1].name: provider "a" is also providers[0].name: each needs a name of its own`},
	{"provider twice by preset", layers{file: "providers:\n  - limits: 1-M\n  - limits: 2-M"}, `providers[1].name: provider "nvidia" is also providers[0].name: each needs a name of its own`},
	{"account twice", layers{file: "providers: [{accounts: [{keys: a}, {keys: b}]}]"}, `providers[0].accounts[1].name: account "default" is also providers[0].accounts[0].name: each needs a name of its own`},
	{"account without keys", layers{file: "providers: [{accounts: [{name: x, keys: a}, {name: y}]}]"}, "providers[0].accounts[1].keys: an account without keys beside one with keys would never be used"},
	{"key twice", layers{file: "providers: [{accounts: [{name: x, keys: a}, {name: y, keys: [b, a]}]}]"}, "c.yaml:1:61: providers[0].accounts[1].keys: a key is given twice, first in providers[0].accounts[0]"},
	{"key with a line break", layers{file: `admin: {token: "hunter\n2"}`}, "c.yaml:1:16: admin.token: it has a character that no header can carry"},
	{"key of a variable that is not set", layers{file: "providers: [{accounts: [{keys: ['${NO_KEY}']}]}]"}, "c.yaml:1:33: providers[0].accounts[0].keys[0]: the environment has no variable NO_KEY"},
	{"key of a file that does not exist", layers{file: "admin: {token: '${file:/hunter2}'}"}, "c.yaml:1:16: admin.token: the file that it names: file does not exist"},
	{"key for the name of a file", layers{env: []string{"NVIDIA_API_KEY_FILE=hunter2"}}, "NVIDIA_API_KEY_FILE: the file that it names: file does not exist"},
	{"empty file", layers{flags: []string{"--admin-token-file=e"}, files: map[string]string{"e": "\n"}}, "--admin-token-file: the file that it names: it is empty"},
	{"variable and file", layers{env: []string{"SIDECAR_ADMIN_TOKEN=a", "SIDECAR_ADMIN_TOKEN_FILE=b"}}, "SIDECAR_ADMIN_TOKEN: SIDECAR_ADMIN_TOKEN_FILE is set too: set one of them"},
	{"client keys without names", layers{env: []string{"SIDECAR_CLIENT_KEYS=a:hunter1,hunter2"}}, "SIDECAR_CLIENT_KEYS: want a comma list of name:key"},
	{"client without a key", layers{file: "clients: [{name: a}]"}, "c.yaml:1:10: clients: clients[0] (a) has no key"},
	{"clients with one key", layers{env: []string{"SIDECAR_CLIENT_KEYS=a:k,b:k"}}, "SIDECAR_CLIENT_KEYS: clients[1] (b) has the key of clients[0]"},
	{"client above its highest class", layers{file: "clients: [{name: a, key: b, class: urgent, highest: low}]"}, "c.yaml:1:36: clients[0].class: URGENT is more urgent than clients[0].highest, LOW"},
	{"Redis", layers{env: []string{"SIDECAR_REDIS_URL=redis://:hunter2@r"}}, "SIDECAR_REDIS_URL: this version cannot share a quota between sidecars: leave it out, and give each sidecar its part of the limits"},
	{"no such file", layers{flags: []string{"--config=x.yaml"}}, `--config: "x.yaml": file does not exist`},
	{"huge file", layers{file: strings.Repeat("#", maxFile+1)}, `--config: "c.yaml": it has 262145 bytes, more than 262144`},

	{"all at once", layers{file: "h2c: 1\nlog: {level: loud}\n", env: []string{"SIDECAR_BURST=x"}, flags: []string{"--max-wait=x"}}, strings.Join([]string{
		`c.yaml:1:6: h2c: "1": want true or false`,
		`c.yaml:2:14: log.level: "loud": want debug or info or warn or error`,
		`SIDECAR_BURST: "x": want auto, or a whole number from 1 to 1000000`,
		`--max-wait: "x": want a duration such as 90s, 15m or 1h30m`,
	}, "\n")},
}

func TestBadSettingsAreNamedWithPlaceValueAndWhatIsAllowed(t *testing.T) {
	t.Parallel()
	for _, tt := range bad {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := tt.load()
			if err == nil {
				t.Fatalf("Load succeeded; want %s", tt.want)
			}
			if diff := cmp.Diff(strings.Split(tt.want, "\n"), strings.Split(err.Error(), "\n")); diff != "" || c != nil {
				t.Errorf("Load = %v and an error (-want +got):\n%s", c, diff)
			}
			if _, ok := errors.AsType[*Problem](err); !ok {
				t.Errorf("Load gave a %T; want one that holds a *Problem", err)
			}
			if strings.Contains(err.Error(), "hunter") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, layers{
		file: "clients: [{name: a, key: hunter2}]\nadmin: {token: hunter2}\nproviders: [{accounts: [{keys: [hunter2]}]}]",
		env:  []string{"SIDECAR_HUNTER=hunter2"},
	})
	for _, printed := range []string{fmt.Sprintf("%v %+v %#v", c, c, c), string(c.YAML()), fmt.Sprint(c.Warnings, c.origins)} {
		if strings.Contains(printed, "hunter2") {
			t.Errorf("a secret is printed: %s", printed)
		}
	}
}

// FuzzFile looks for a settings file that makes Load panic, or give both settings and an error, or neither; and for an error that shows
// the secret of the file.
func FuzzFile(f *testing.F) {
	f.Add(string(Example()))
	for _, tt := range bad {
		f.Add(tt.file)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := layers{file: text, env: []string{"SIDECAR_API_KEYS=hunter2"}}.load()
		if (c == nil) == (err == nil) {
			t.Fatalf("Load = %v, %v; want one of the two", c, err)
		}
		if err != nil {
			return
		}
		keys := 0
		again, err := layers{file: regexp.MustCompile(`\*\*\*`).ReplaceAllStringFunc(string(c.YAML()), func(string) string {
			keys++
			return fmt.Sprint("key-", keys)
		})}.load()
		if err != nil {
			t.Fatalf("what is printed cannot be loaded: %v\n%s", err, c.YAML())
		}
		if got, want := again.YAML(), c.YAML(); uncommented(got) != uncommented(want) {
			t.Errorf("printed again = %s; want %s", got, want)
		}
	})
}

// uncommented leaves out the comments, which say where a value came from.
func uncommented(yaml []byte) string {
	var b strings.Builder
	for line := range strings.Lines(string(yaml)) {
		value, _, _ := strings.Cut(line, " # ")
		b.WriteString(value + "\n")
	}
	return b.String()
}
