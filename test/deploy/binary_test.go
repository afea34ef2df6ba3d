package deploy

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const root = "../.."

// binary is the program, built once by TestMain as it is delivered.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "deploy")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "nim-sidecar")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, root+"/cmd/nim-sidecar")
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

// patience bounds every wait for an event that should come at once.
const patience = 20 * time.Second

// until polls a condition and reports whether it came true in time.
func until(holds func() bool) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !holds(); <-tick.C {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// record keeps what a program says.
type record struct {
	mu   sync.Mutex // guards the following
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

// program is a started program.
type program struct {
	*exec.Cmd
	said  *record
	ended chan struct{}
}

// start starts a command with an environment of its own, and kills it with the test at the latest.
func start(t *testing.T, cmd *exec.Cmd, environ ...string) *program {
	t.Helper()
	p := &program{Cmd: cmd, said: new(record), ended: make(chan struct{})}
	p.Env, p.Stdout, p.Stderr = append([]string{"SIDECAR_UPSTREAM_URL=http://127.0.0.1:9/v1", "SIDECAR_API_KEYS=key"}, environ...), p.said, p.said
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = p.Wait(); close(p.ended) }()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("the program said:\n%s", p.said)
		}
	})
	return p
}

// hasEnded reports whether the program has ended.
func (p *program) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// wait returns the exit code.
func (p *program) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatalf("the program still runs after %s", patience)
	}
	return p.ProcessState.ExitCode()
}

// read returns a file of the tree.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// lines are those of a text that are neither empty nor a comment.
func lines(text string) (all []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			all = append(all, line)
		}
	}
	return all
}
