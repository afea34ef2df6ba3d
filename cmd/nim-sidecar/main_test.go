package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	"nimsidecar/internal/config"
)

// asMain makes the test binary be nim-sidecar itself, for what needs a process of its own: signals.
const asMain = "NIM_SIDECAR_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
	}
	os.Exit(m.Run())
}

// output is a stdout that can be waited on.
type output struct {
	mu    sync.Mutex // guards the following
	text  bytes.Buffer
	grown chan struct{} // closed and made anew by each Write
}

func newOutput() *output { return &output{grown: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.grown)
	o.grown = make(chan struct{})
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await waits until the output matches, and returns the first group of the match.
func (o *output) await(ctx context.Context, t *testing.T, pattern string) string {
	t.Helper()
	for {
		o.mu.Lock()
		m, grown := regexp.MustCompile(pattern).FindStringSubmatch(o.text.String()), o.grown
		o.mu.Unlock()
		if m != nil {
			return m[len(m)-1]
		}
		select {
		case <-grown:
		case <-ctx.Done():
			t.Fatalf("no %q in the output:\n%s", pattern, o)
		}
	}
}

// call runs a command to its end.
func call(t *testing.T, environ []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, environ, &out, &errs)
	return code, out.String(), errs.String()
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() }) // not deferred: the parallel parts run after this function
	file := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(file, []byte("queue:\n  capcity: 5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	at, anywhere := taken.Addr().String(), "--metrics-listen=127.0.0.1:0"
	tests := []struct {
		name   string
		args   []string
		env    []string
		want   int
		stderr string // a part of it
	}{
		{"version", []string{"version"}, nil, 0, ""},
		{"help", []string{"--help"}, nil, 0, ""},
		{"help of the default command's flags", []string{"serve", "--help"}, nil, 0, ""},
		{"good settings", []string{"config", "check"}, nil, 0, ""},
		{"nobody to ask", []string{"healthcheck", "--listen", "127.0.0.1:1"}, nil, 1, "nim-sidecar: the sidecar does not answer: "},
		{"bad settings of a health check", []string{"healthcheck"}, []string{"SIDECAR_LISTEN=x"}, 1, "the settings that say where to ask: SIDECAR_LISTEN"},
		{"unknown command", []string{"server"}, nil, 2, "unexpected argument server"},
		{"unknown flag", []string{"serve", "--lisen", ":1"}, nil, 2, `unknown flag --lisen, did you mean "--listen"?`},
		{"unknown shell", []string{"completion", "csh"}, nil, 2, "csh"},
		{"missing argument", []string{"config"}, nil, 2, `expected one of "check"`},
		{"bad option of the mock", []string{"mock", "--limiter", "magic"}, nil, 2, "magic"},
		{"port taken", []string{"serve", "--listen", at, anywhere}, nil, 69, "cannot listen on " + at + " (listen)"},
		{"port of the metrics taken", []string{"--listen=127.0.0.1:0", "--metrics-listen", at}, nil, 69, "(metrics_listen)"},
		{"port of the mock taken", []string{"mock", "--listen", at}, nil, 69, "cannot listen on " + at + " (--listen)"},
		{"port of the demo taken", []string{"demo", "--listen", at, anywhere}, nil, 69, "cannot listen on " + at},
		{"bad flag", []string{"--max-wait", "5"}, nil, 78, "nim-sidecar: these settings are not valid:\n--max-wait: \"5\": want a duration"},
		{"bad variable", nil, []string{"SIDECAR_LIMITS=40-X"}, 78, `SIDECAR_LIMITS: "40-X": limit "40-X": "X" is not a unit`},
		{"bad file", []string{"config", "check", "--config", file}, nil, 78, file + `:2:3: queue: unknown key "capcity": did you mean capacity?`},
		{"open to everybody", []string{"--listen", "0.0.0.0:0"}, nil, 78, "allow_open: true (SIDECAR_ALLOW_OPEN=true)"},
		{"open demo", []string{"demo"}, []string{"SIDECAR_LISTEN=:0"}, 78, "SIDECAR_ALLOW_OPEN=true"},
		{"bad settings to print", []string{"config", "print", "--burst", "x"}, nil, 78, "--burst"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := call(t, tt.env, tt.args...)
			if code != tt.want || !strings.Contains(stderr, tt.stderr) || (code == 0) != (stderr == "") {
				t.Errorf("exit code %d, stdout %q, stderr %q; want %d and %q", code, stdout, stderr, tt.want, tt.stderr)
			}
		})
	}
}

// serving runs a command in this process until the test ends or stop is called, which returns the exit code.
func serving(t *testing.T, environ []string, args ...string) (out *output, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out = newOutput()
	code := make(chan int, 1)
	go func() { code <- run(ctx, args, environ, out, out) }()
	stop = sync.OnceValue(func() int {
		cancel()
		return <-code
	})
	t.Cleanup(func() { stop() })
	return out, stop
}

// get returns the status and the body of an answer.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func TestServeForwardsWithItsKeyUntilItIsStopped(t *testing.T) {
	t.Parallel()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %s", r.URL.Path, r.Header.Get("Authorization"))
	}))
	defer upstream.Close()
	out, stop := serving(t, []string{"NVIDIA_API_KEY=nvapi-secret", "SIDECAR_UPSTREAM_URL=" + upstream.URL + "/v1"},
		"--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0")
	address := out.await(t.Context(), t, `"msg":"listening","proxy":"([^"]+)"`)
	out.await(t.Context(), t, `"msg":"serving"`)
	if status, body := get(t, "http://"+address+"/v1/models"); status != 200 || body != "/v1/models Bearer nvapi-secret" {
		t.Errorf("GET /v1/models = %d %q; want what the upstream got", status, body)
	}
	if code, _, stderr := call(t, nil, "healthcheck", "--ready", "--listen", address); code != 0 {
		t.Errorf("healthcheck --ready = %d %s; want 0", code, stderr)
	}
	if code := stop(); code != 0 {
		t.Errorf("exit code %d after the stop; want 0", code)
	}
	if strings.Contains(out.String(), "nvapi-secret") {
		t.Errorf("the key is in the log:\n%s", out)
	}
}

func TestMockSaysWhatItIs(t *testing.T) {
	t.Parallel()
	out, stop := serving(t, nil, "mock", "--listen=127.0.0.1:0", "--limits=1-M", "--models=one,two", "--log")
	url := out.await(t.Context(), t, `mock upstream, whose answers are synthetic: (\S+)`)
	if status, body := get(t, url+"/models"); status != 200 || !strings.Contains(body, `"two"`) {
		t.Errorf("GET /models = %d %s; want the models that were named", status, body)
	}
	out.await(t.Context(), t, `/v1/models`) // the line of --log
	if code := stop(); code != 0 {
		t.Errorf("exit code %d after the stop; want 0", code)
	}
}

func TestDemoServesSyntheticAnswersAndSaysSo(t *testing.T) {
	t.Parallel()
	out, stop := serving(t, []string{"NVIDIA_API_KEY=nvapi-secret", "SIDECAR_UPSTREAM_URL=http://127.0.0.1:1/v1", "SIDECAR_API_KEYS_FILE=/nowhere"},
		"demo", "--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0")
	out.await(t.Context(), t, demoNotice)
	metrics := out.await(t.Context(), t, `"metrics":"([^"]+)"`)
	url := out.await(t.Context(), t, `DEMO: the base URL is (http://\S+/v1),`)
	answer, err := http.Get(url + "/models")
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if mark := answer.Header.Get("X-Mock"); mark != "synthetic" {
		t.Errorf("X-Mock: %q; want synthetic, unmasked", mark)
	}
	for _, class := range []string{"URGENT", "HIGH", "NORMAL", "LOW"} {
		out.await(t.Context(), t, `"msg":"request"[^\n]*"priority":"`+class+`"[^\n]*"status":200`)
	}
	if _, text := get(t, "http://"+metrics+"/metrics"); !strings.Contains(text, `sidecar_requests_total{priority="LOW",status="success"}`) {
		t.Errorf("the demo's metrics do not move:\n%s", text)
	}
	if code := stop(); code != 0 {
		t.Errorf("exit code %d after the stop; want 0", code)
	}
	if strings.Contains(out.String(), "nvapi-secret") {
		t.Error("the demo used a real key")
	}
}

func TestHealthcheckAsksWhereTheSidecarListens(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s.sock")
	for _, where := range []struct{ name, network, bind, setting string }{
		{"loopback", "tcp", "127.0.0.1:0", "127.0.0.1:%s"},
		{"all interfaces", "tcp", "0.0.0.0:0", "0.0.0.0:%s"},
		{"no host", "tcp", ":0", ":%s"},
		{"a Unix socket", "unix", socket, "unix:" + socket},
	} {
		t.Run(where.name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen(where.network, where.bind)
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.Host + r.URL.Path {
				case "localhost/livez":
				case "localhost/readyz":
					http.Error(w, "upstream: no", http.StatusServiceUnavailable)
				default:
					http.Error(w, r.Host+r.URL.Path, http.StatusForbidden)
				}
			}))
			_ = server.Listener.Close()
			server.Listener = l
			server.Start()
			defer server.Close()
			setting := where.setting
			if where.network == "tcp" {
				_, port, err := net.SplitHostPort(l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				setting = fmt.Sprintf(setting, port)
			}
			env := []string{"SIDECAR_ALLOW_OPEN=true", "SIDECAR_LISTEN=" + setting}
			if code, stdout, stderr := call(t, env, "healthcheck"); code != 0 || stdout+stderr != "" {
				t.Errorf("healthcheck = %d %q %q; want 0 and silence", code, stdout, stderr)
			}
			if code, _, stderr := call(t, env, "healthcheck", "--ready"); code != 1 || !strings.Contains(stderr, "503 Service Unavailable: upstream: no") {
				t.Errorf("healthcheck --ready = %d %q; want 1 and the answer", code, stderr)
			}
		})
	}
}

func TestHealthcheckIgnoresProxies(t *testing.T) {
	t.Parallel()
	if transportTo(config.Address{Port: 1}).Proxy != nil {
		t.Error("the health check's transport asks the environment for a proxy")
	}
}

func TestHealthcheckGivesUp(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // as the time-out does
	var out bytes.Buffer
	if code := run(ctx, []string{"healthcheck", "--listen", server.Listener.Addr().String()}, nil, &out, &out); code != 1 {
		t.Errorf("healthcheck = %d %s; want 1", code, &out)
	}
}

func TestConfigCheckSaysWhoseKeyGoesUp(t *testing.T) {
	t.Parallel()
	for want, env := range map[string][]string{
		": each client's own key, limits 40-M":        nil,
		": no key, since what a client sends is its":  {"SIDECAR_CLIENT_KEYS=alice:a-key"},
		": keys 2, accounts 1, limits 40-M":           {"SIDECAR_CLIENT_KEYS=alice:a-key", "NVIDIA_API_KEY=one,two"},
		"metrics on 127.0.0.1:9191, client keys: 2\n": {"SIDECAR_CLIENT_KEYS=alice:a-key,bob:b-key"},
	} {
		if code, stdout, stderr := call(t, env, "config", "check"); code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("config check with %v = %d %s%s; want %q", env, code, stdout, stderr, want)
		}
	}
}

func TestConfigCommands(t *testing.T) {
	t.Parallel()
	env := []string{"NVIDIA_API_KEY=nvapi-secret", "SIDECAR_LIMITS=5-M"}
	tests := []struct {
		args []string
		want []string // parts of stdout
	}{
		{[]string{"check"}, []string{
			"ok\nlistens on 127.0.0.1:9190, metrics on 127.0.0.1:9191, client keys: 0\n",
			"provider nvidia at https://integrate.api.nvidia.com/v1: keys 1, accounts 1, limits 5-M, account limits none\n",
		}},
		{[]string{"print", "--h2c", "--log-level=warn"}, []string{"h2c: true # --h2c\n", "limits: 5-M # SIDECAR_LIMITS\n", `keys: ["***"] # NVIDIA_API_KEY`, "level: warn # --log-level\n"}},
		{[]string{"schema"}, []string{string(config.Schema())}},
		{[]string{"example"}, []string{string(config.Example())}},
	}
	for _, tt := range tests {
		code, stdout, stderr := call(t, env, append([]string{"config"}, tt.args...)...)
		if code != 0 || stderr != "" {
			t.Errorf("config %v = %d %s; want 0", tt.args, code, stderr)
		}
		for _, want := range tt.want {
			if !strings.Contains(stdout, want) {
				t.Errorf("config %v has no %q:\n%s", tt.args, want, stdout)
			}
		}
		if strings.Contains(stdout, "nvapi-secret") {
			t.Errorf("config %v prints the key", tt.args)
		}
	}
}

func TestEverySettingHasItsFlag(t *testing.T) {
	t.Parallel()
	_, help, _ := call(t, nil, "serve", "--help")
	for _, s := range config.Settings() {
		if s.Flag != "" && !strings.Contains(help, "  --"+s.Flag) {
			t.Errorf("serve --help has no --%s", s.Flag)
		}
	}
	if _, stdout, _ := call(t, []string{"SIDECAR_H2C=true"}, "config", "print", "--h2c=false", "--queue-capacity", "7"); !strings.Contains(stdout, "h2c: false # --h2c") || !strings.Contains(stdout, "capacity: 7 #") {
		t.Errorf("flags do not reach the settings:\n%s", stdout)
	}
}

func TestVersionNamesCommitGoAndPlatform(t *testing.T) {
	t.Parallel()
	code, stdout, _ := call(t, nil, "version")
	pattern := `^nim-sidecar \S+ \(commit \S+, ` + regexp.QuoteMeta(runtime.Version()) + `.*, ` + runtime.GOOS + "/" + runtime.GOARCH + `\)\n$`
	if code != 0 || !regexp.MustCompile(pattern).MatchString(stdout) {
		t.Errorf("version = %d %q; want 0 and %s", code, stdout, pattern)
	}
	if code, stdout, _ := call(t, nil, "--version"); code != 0 || strings.TrimSpace(stdout) != version() {
		t.Errorf("--version = %d %q; want 0 and %s", code, stdout, version())
	}
}

func TestLogFormats(t *testing.T) {
	t.Parallel()
	tests := []struct {
		log  config.Log
		want string
	}{
		{config.Log{Format: "auto", Level: "info"}, `^{.*"level":"INFO","msg":"hello"}\n{.*"level":"WARN"`},
		{config.Log{Format: "json", Level: "warn"}, `^{.*"level":"WARN","msg":"careful"}\n$`},
		{config.Log{Format: "text", Level: "debug"}, `^time=\S+ level=DEBUG msg=detail\ntime=`},
	}
	for _, tt := range tests {
		var out bytes.Buffer
		logger, _ := newLogger(tt.log, &out)
		logger.Debug("detail")
		logger.Info("hello")
		logger.Warn("careful")
		if !regexp.MustCompile(tt.want).MatchString(out.String()) {
			t.Errorf("%+v logs %s; want %s", tt.log, &out, tt.want)
		}
	}
}

func TestCompletionNamesEveryCommandAndFlag(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish"} {
		code, script, stderr := call(t, nil, "completion", shell)
		if code != 0 || stderr != "" {
			t.Errorf("completion %s = %d %s; want 0", shell, code, stderr)
		}
		for _, word := range []string{"healthcheck", "schema", "queue-capacity", "ready", "time-scale", "fish"} {
			if !strings.Contains(script, word) {
				t.Errorf("completion %s does not know %s", shell, word)
			}
		}
	}
}
