package faults

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is the program under test: that which NIM_SIDECAR names, or one that TestMain builds.
var binary string

func TestMain(m *testing.M) {
	atOnce()
	if binary = os.Getenv("NIM_SIDECAR"); binary != "" { // one that is there already, such as a release
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "faults")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "nim-sidecar")
	if runtime.GOOS == "windows" {
		binary += ".exe"
	}
	build := exec.Command("go", "build", "-o", binary, "../../cmd/nim-sidecar")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	code := 1
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
	} else {
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// atOnce lets more tests run at once than there are processors, unless told otherwise: most of them only wait.
func atOnce() {
	flag.Parse()
	told := false
	flag.Visit(func(f *flag.Flag) { told = told || f.Name == "test.parallel" })
	if !told {
		_ = flag.Set("test.parallel", "8")
	}
}

const (
	// canaryKey is the upstream's key. It must be seen by the upstream only.
	canaryKey = "nvapi-canary-9d1f60c2b7"
	// canaryPrompt is what a prompt says. It must be seen by the upstream only, and never in a log.
	canaryPrompt = "canary-prompt-51ab"

	// patience bounds every wait for an event that should come at once.
	patience = 15 * time.Second
	// soon is at once, on a machine whose cores are busy with other tests; exact times are measured in internal/sim's bubbles.
	soon = 3 * time.Second

	// lastWords is how many bytes of its log a failed test shows.
	lastWords = 3000

	// unpaced and slow are the two profiles: pace out of the way, and a small known pace with a short queue.
	unpaced = "SIDECAR_LIMITS=100000-S"
	slow    = "SIDECAR_LIMITS=5-S"
)

// until polls a condition and reports whether it came true in time.
func until(within time.Duration, holds func() bool) bool {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(within); !holds(); <-tick.C {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// sidecar is one running program.
type sidecar struct {
	t       *testing.T
	cmd     *exec.Cmd
	proxy   string // host:port
	metrics string
	log     *record
	ended   chan struct{}
}

// record keeps everything that is written to it.
type record struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.data.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.data.String()
}

// launch starts the program with an environment of its own, and ends it with the test at the latest.
func launch(t *testing.T, environ ...string) *sidecar {
	t.Helper()
	return run(t, exec.Command(binary, "serve"), environ...)
}

// run is launch with another command, which must become the program.
func run(t *testing.T, command *exec.Cmd, environ ...string) *sidecar {
	t.Helper()
	s := &sidecar{t: t, cmd: command, log: new(record), ended: make(chan struct{})}
	s.cmd.Env = environ
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.cmd.Wait(); close(s.ended) }()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		<-s.ended
		said := s.log.String()
		for _, canary := range []string{canaryKey, canaryPrompt} {
			if strings.Contains(said, canary) {
				t.Errorf("the log holds the canary %q", canary)
			}
		}
		if strings.Contains(said, "request crashed") || strings.Contains(said, "goroutine ") {
			t.Errorf("the program crashed:\n%s", said)
		}
		if t.Failed() {
			t.Logf("the program said last:\n%s", said[max(0, len(said)-lastWords):])
		}
	})
	return s
}

// start runs a sidecar in front of u, unless the environment names another upstream, and waits until it serves.
func start(t *testing.T, u *upstream, environ ...string) *sidecar {
	t.Helper()
	return serving(t, exec.Command(binary, "serve"), u, environ...)
}

// startUnder is start under what a shell is told before, such as a limit of resources.
func startUnder(t *testing.T, told string, u *upstream, environ ...string) *sidecar {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("needs a shell")
	}
	return serving(t, exec.Command("/bin/sh", "-c", told+` && exec "$0" serve`, binary), u, environ...)
}

// serving runs a command that becomes a sidecar, and waits until it serves.
func serving(t *testing.T, command *exec.Cmd, u *upstream, environ ...string) *sidecar {
	t.Helper()
	base := []string{
		"SIDECAR_LISTEN=127.0.0.1:0", "SIDECAR_METRICS_LISTEN=127.0.0.1:0", "SIDECAR_API_KEYS=" + canaryKey, "SIDECAR_LOG_FORMAT=json",
		"SIDECAR_LOG_LEVEL=debug",
	}
	if u != nil {
		base = append(base, "SIDECAR_UPSTREAM_URL="+u.url())
	}
	s := run(t, command, append(base, environ...)...)
	listening := regexp.MustCompile(`"msg":"listening","proxy":"([^"]+)","metrics":"([^"]+)"`)
	if !until(patience, func() bool {
		m := listening.FindStringSubmatch(s.log.String())
		if m != nil {
			s.proxy, s.metrics = m[1], m[2]
		}
		return m != nil
	}) {
		t.Fatalf("the program does not say where it listens:\n%s", s.log)
	}
	if u != nil && !until(patience, func() bool { return u.pings.Load() > 0 }) {
		t.Fatal("the program does not ask its upstream whether it is there")
	}
	return s
}

// stop asks for an ordered stop and returns the exit code.
func (s *sidecar) stop(within time.Duration) int {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	return s.wait(within)
}

// wait returns the exit code.
func (s *sidecar) wait(within time.Duration) int {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(within):
		s.t.Fatalf("the program still runs after %s", within)
	}
	return s.cmd.ProcessState.ExitCode()
}

// series are metrics, by name and labels as they are exposed.
type series map[string]float64

// scrape reads the metrics.
func (s *sidecar) scrape() series {
	s.t.Helper()
	c := dial(s.t, s.metrics)
	got := c.ask(get("/metrics", "Connection: close"))
	_ = c.Close() // many are made while a condition is waited for
	if got.status != 200 {
		s.t.Fatalf("GET /metrics = %s", got)
	}
	all := series{}
	for line := range strings.Lines(got.body) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if strings.HasPrefix(line, "#") {
			continue
		}
		if value == "" {
			name, value, _ = strings.Cut(strings.TrimSpace(line), " ")
		} else {
			name += "}"
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			s.t.Fatalf("metrics line %q: %v", line, err)
		}
		all[name] = n
	}
	return all
}

// counted are the counters of events that each test accounts for wholly, with the label that tells their series apart.
var counted = regexp.MustCompile(`^sidecar_(requests|upstream_errors|client_aborts|rejections|retries|fallback_passthrough|unsolicited_responses)_total`)

// since returns what the counters of events have grown by, in a short form such as "upstream_errors reset".
func (all series) since(before series) series {
	grown := series{}
	values := regexp.MustCompile(`(\w+)="([^"]*)"`)
	for name, n := range all {
		if n -= before[name]; n == 0 || !counted.MatchString(name) {
			continue
		}
		var short strings.Builder
		short.WriteString(strings.TrimSuffix(strings.TrimPrefix(name[:cmp.Or(strings.IndexByte(name, '{')+1, len(name)+1)-1], "sidecar_"), "_total"))
		for _, label := range values.FindAllStringSubmatch(name, -1) {
			if label[1] != "provider" {
				short.WriteString(" " + label[2])
			}
		}
		grown[short.String()] += n
	}
	return grown
}

// and returns all with one more event.
func (all series) and(event string) series {
	more := maps.Clone(all)
	more[event]++
	return more
}

// wantCounted waits until exactly these events have been counted since before.
func (s *sidecar) wantCounted(before, want series) {
	s.t.Helper()
	var got series
	if !until(patience, func() bool {
		got = s.scrape().since(before)
		return maps.Equal(got, want)
	}) {
		s.t.Errorf("counted %v; want %v", got, want)
	}
}

// gauge returns one value, which must exist.
func (s *sidecar) gauge(name string) float64 {
	s.t.Helper()
	v, ok := s.scrape()[name]
	if !ok {
		s.t.Fatalf("there is no metric %s", name)
	}
	return v
}

// logged waits for a line that holds all of the parts, and returns it.
func (s *sidecar) logged(parts ...string) string {
	s.t.Helper()
	found := ""
	if !until(patience, func() bool {
		for line := range strings.Lines(s.log.String()) {
			missing := false
			for _, part := range parts {
				missing = missing || !strings.Contains(line, part)
			}
			if !missing {
				found = line
			}
		}
		return found != ""
	}) {
		s.t.Errorf("no log line holds all of %q", parts)
	}
	return found
}

// proc reads a file of the program's directory in /proc.
func (s *sidecar) proc(file string) string {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", s.cmd.Process.Pid, file))
	if err != nil {
		s.t.Skipf("needs /proc: %v", err)
	}
	return string(text)
}

// descriptors counts the program's open files.
func (s *sidecar) descriptors() int {
	s.t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil {
		s.t.Skipf("needs /proc: %v", err)
	}
	return len(files)
}

// memory returns a value of /proc/PID/status in KiB.
func (s *sidecar) memory(name string) int {
	s.t.Helper()
	_, rest, _ := strings.Cut(s.proc("status"), name+":")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		s.t.Fatalf("/proc/PID/status has no %s", name)
	}
	n, _ := strconv.Atoi(fields[0])
	return n
}
