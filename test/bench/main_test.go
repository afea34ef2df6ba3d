package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain lets the test binary play the programs that the bench starts from its own executable.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && (os.Args[1] == "upstream" || os.Args[1] == "reverseproxy") {
		os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func TestRunRefusesWhatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"-only cpu,gpu", 1, `no part "gpu"`},
		{"-rounds 0", 1, "both must be positive"},
		{"-duration 0s", 1, "both must be positive"},
		{"-quick", 2, "-quick"},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), strings.Fields(test.args), &stdout, &stderr); code != test.code || !strings.Contains(stderr.String(), test.want) {
			t.Errorf("run(%s) = %d and says %q; want %d and %q", test.args, code, stderr.String(), test.code, test.want)
		}
	}
}

// TestComparisonOfTheReverseProxyWithItself runs one short round of a whole part, sub-processes and all. Whether equal
// programs keep the budgets is chance, but the exit status must say what the table says.
func TestComparisonOfTheReverseProxyWithItself(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("only Linux has /proc")
	}
	file := filepath.Join(t.TempDir(), "results.json")
	args := []string{"-sidecar", "reverseproxy", "-only", "cpu", "-rounds", "1", "-duration", "60ms", "-json", file}
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), args, &stdout, &stderr)
	missed := strings.Contains(stdout.String(), "FAIL")
	if code > 1 || missed != (code == 1) || !strings.Contains(stdout.String(), "requests a second") {
		t.Fatalf("run = %d, prints %q and says %q; want a table, and 1 exactly if it has a FAIL", code, stdout.String(), stderr.String())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var results []result
	if err := json.Unmarshal(text, &results); err != nil || len(results) != 3 {
		t.Fatalf("the file holds %d results, %v; want 3", len(results), err)
	}
	for _, r := range results[:2] {
		if r.Measure == "" || r.ReverseProxy <= 0 || r.Sidecar <= 0 || r.Ratio <= 0 {
			t.Errorf("result = %+v; want figures of both programs and their ratio", r)
		}
	}
}
