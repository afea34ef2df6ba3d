// Command summary runs go test and says at the end how much passed and what failed.
//
// Its arguments are those of go test, and its exit status is go test's own:
//
//	go run ./test/summary -race ./...
//
// It prints a line for each package, the output of what failed, and, last, one line that begins with "go test".
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

func main() {
	code, err := run(os.Args[1:], os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "summary:", err)
	}
	os.Exit(code)
}

// run runs go test and returns its exit status, or 1 and why there is none.
func run(args []string, out io.Writer) (int, error) {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return 1, err
	}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	t := tally{output: map[string]string{}}
	readErr := t.read(events, out)
	err = cmd.Wait()
	fmt.Fprintf(out, "go test %s: %v\n", strings.Join(args, " "), &t)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), readErr
	}
	if err = errors.Join(err, readErr); err != nil {
		return 1, err
	}
	return 0, nil
}

// event is a line of go test -json (go doc cmd/test2json), or of the build before it (go doc cmd/go, "go build -json").
type event struct {
	Action     string
	Package    string
	ImportPath string // of a build event
	Test       string
	Output     string
	Elapsed    float64 // seconds
}

// tally counts packages and tests, subtests too. The zero value, with a map, is ready.
type tally struct {
	packages, tests counts
	failed          []string          // the names of the failed tests
	output          map[string]string // of what still runs, by package and test
}

type counts struct{ passed, failed, skipped int }

func (c *counts) add(action string) {
	switch action {
	case "pass":
		c.passed++
	case "fail":
		c.failed++
	case "skip":
		c.skipped++
	}
}

func (c counts) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", c.passed, c.failed, c.skipped)
}

// String returns all counts, and the names of what failed.
func (t *tally) String() string {
	line := fmt.Sprintf("packages: %v; tests: %v", t.packages, t.tests)
	if len(t.failed) > 0 {
		line += "; failed: " + strings.Join(t.failed, " ")
	}
	return line
}

// read takes in the events of go test and prints packages and failures as they come.
func (t *tally) read(events io.Reader, out io.Writer) error {
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil {
				t.add(e, out)
			} else {
				out.Write(line) // not an event: go test itself complains
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (t *tally) add(e event, out io.Writer) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		t.output[key] += e.Output
		return
	case "build-output":
		io.WriteString(out, e.Output)
		return
	case "pass", "fail", "skip":
	default:
		return
	}
	if e.Action == "fail" {
		io.WriteString(out, t.output[key])
	}
	delete(t.output, key)
	if e.Test != "" {
		if t.tests.add(e.Action); e.Action == "fail" {
			t.failed = append(t.failed, strings.TrimSuffix(e.Package, "_test")+"."+e.Test)
		}
		return
	}
	t.packages.add(e.Action)
	fmt.Fprintf(out, "%s\t%s\t%.1fs\n", map[string]string{"pass": "ok", "fail": "FAIL", "skip": "?"}[e.Action], e.Package, e.Elapsed)
}
