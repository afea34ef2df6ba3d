package docs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

var named = regexp.MustCompile(`\$\{([A-Z0-9_]+)\}`)

// check runs `nim-sidecar config check` with an environment of its own, and reports what it says against the settings.
func check(t *testing.T, p page, text string, environ []string, args ...string) {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"config", "check"}, args...)...)
	cmd.Env = environ
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "warning:") {
		t.Errorf("%s: config check of\n%s\nsays %v:\n%s", p.name, text, err, out)
	}
}

func TestSettingsFilesAreValid(t *testing.T) {
	t.Parallel()
	dir, found := t.TempDir(), 0
	held := filepath.Join(dir, "held")
	if err := os.WriteFile(held, []byte("key-from-a-file-0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range pages(t) {
		for _, b := range p.blocks() {
			if b.language != "yaml" {
				continue
			}
			found++
			var environ []string
			for _, m := range named.FindAllStringSubmatch(b.text, -1) {
				environ = append(environ, m[1]+"=key-0123456789abcdef-"+m[1])
			}
			text := regexp.MustCompile(`\$\{file:[^}]+\}`).ReplaceAllString(b.text, "${file:"+held+"}")
			file := filepath.Join(dir, "config.yaml")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			check(t, p, b.text, environ, "--config", file)
		}
	}
	if found == 0 {
		t.Error("no page shows a settings file")
	}
}

// A line such as SIDECAR_LIMITS=40-M nim-sidecar is a sidecar with these settings.
func TestSettingsOnACommandLineAreValid(t *testing.T) {
	t.Parallel()
	line, found := regexp.MustCompile(`(?m)^((?:[A-Z_]+=\S+ +)+)nim-sidecar(?: +serve)?\s*(?:#.*)?$`), 0
	for _, p := range pages(t) {
		for _, m := range line.FindAllStringSubmatch(p.text, -1) {
			found++
			check(t, p, m[0], strings.Fields(m[1]))
		}
	}
	if found == 0 {
		t.Error("no page starts a sidecar with settings")
	}
}

// output is what a program has said until now.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// start runs the program until the test ends, and returns what it says once it says something of a pattern.
func start(t *testing.T, ready string, environ []string, args ...string) (said []string) {
	t.Helper()
	out, cmd := new(output), exec.Command(binary, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = environ, out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	pattern, tick := regexp.MustCompile(ready), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(15 * time.Second); ; <-tick.C {
		if m := pattern.FindStringSubmatch(out.String()); m != nil {
			return m
		}
		if time.Now().After(end) {
			t.Fatalf("nim-sidecar %s does not become ready:\n%s", args[0], out)
		}
	}
}

// sidecar starts a sidecar in front of a mock that limits nobody, and returns where it listens.
func sidecar(t *testing.T) (proxy, metrics string) {
	t.Helper()
	mock := start(t, `(http:\S+/v1)`, nil, "mock", "--listen", "127.0.0.1:0", "--limits", "none")
	said := start(t, `"msg":"listening","proxy":"([^"]+)","metrics":"([^"]+)"(?s:.*)"msg":"serving"`, []string{
		"SIDECAR_LISTEN=127.0.0.1:0", "SIDECAR_METRICS_LISTEN=127.0.0.1:0", "SIDECAR_LOG_FORMAT=json",
		"SIDECAR_UPSTREAM_URL=" + mock[1], "SIDECAR_API_KEYS=any",
	}, "serve")
	return said[1], said[2]
}

func TestCurlExamplesWork(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"sh", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s: %v", tool, err)
		}
	}
	proxy, metrics := sidecar(t)
	here := strings.NewReplacer("127.0.0.1:9190", proxy, "127.0.0.1:9191", metrics, "curl ", `curl -w '%{stderr}status %{http_code}\n' --max-time 30 `)
	marked, status := regexp.MustCompile(`^<!-- run(?:: (\d+))? -->$`), regexp.MustCompile(`(?m)^status (\d+)$`)
	found := 0
	for _, p := range pages(t) {
		for _, b := range p.blocks() {
			m := marked.FindStringSubmatch(b.before)
			if m == nil {
				continue
			}
			found++
			cmd := exec.Command("sh", "-euc", here.Replace(b.text))
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			got := status.FindAllStringSubmatch(stderr.String(), -1)
			if err != nil || len(got) != strings.Count(b.text, "curl ") {
				t.Errorf("%s: %v\n%s\n%s%s", p.name, err, b.text, &stdout, &stderr)
			}
			for _, s := range got {
				if m[1] == "" && s[1][0] != '2' || m[1] != "" && s[1] != m[1] {
					t.Errorf("%s: status %s; want %s (2xx if empty)\n%s\n%s", p.name, s[1], m[1], b.text, &stdout)
				}
			}
		}
	}
	if found == 0 {
		t.Error("no page has an example that is run")
	}
}
