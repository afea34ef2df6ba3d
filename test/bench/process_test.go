package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestParseCPU(t *testing.T) {
	t.Parallel()
	const rest = " S 1 2 3 4 5 6 7 8 9 10 150 25 11 12 20 0 6 0 1 2 3"
	for _, test := range []struct {
		name, stat string
		want       time.Duration
		bad        string
	}{
		{"plain", "42 (bench)" + rest, 1750 * time.Millisecond, ""},
		{"spaces and parentheses in the command", "42 (a ) b (c)" + rest, 1750 * time.Millisecond, ""},
		{"short", "42 (bench) S 1 2", 0, "too few fields"},
		{"no number", "42 (bench) S 1 2 3 4 5 6 7 8 9 10 x 25 11 12", 0, "invalid syntax"},
	} {
		got, err := parseCPU(test.stat)
		if test.bad != "" {
			if err == nil || !strings.Contains(err.Error(), test.bad) {
				t.Errorf("%s: parseCPU = %v, %v; want an error with %q", test.name, got, err, test.bad)
			}
		} else if got != test.want || err != nil {
			t.Errorf("%s: parseCPU = %v, %v; want %v, nil", test.name, got, err, test.want)
		}
	}
}

func TestParseRSS(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status string
		want   int
		ok     bool
	}{
		{"VmPeak:\t  9000 kB\nVmRSS:\t    7516 kB\nThreads:\t1\n", 7516, true},
		{"Name:\tx\n", 0, false},
		{"VmRSS:\t7516 MB\n", 0, false},
		{"VmRSS:", 0, false},
	} {
		if got, err := parseRSS(test.status); got != test.want || (err == nil) != test.ok {
			t.Errorf("parseRSS(%q) = %d, %v; want %d, an error: %t", test.status, got, err, test.want, !test.ok)
		}
	}
}

func TestProcReadsTheKernelsOwnFiles(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("only Linux has /proc")
	}
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	if cpu, err := parseCPU(string(stat)); err != nil || cpu < 0 || cpu > time.Hour {
		t.Errorf("parseCPU(%q) = %v, %v; want the CPU time of a young process", stat, cpu, err)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	if rss, err := parseRSS(string(status)); err != nil || rss < 1024 {
		t.Errorf("parseRSS = %d KiB, %v; want more than a MiB", rss, err)
	}
}

func TestAProgramThatDoesNotStartIsReportedWithItsWords(t *testing.T) {
	t.Parallel()
	addr, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	_, err = startProcess(t.Context(), t.TempDir(), addr, []string{"sh", "-c", "echo no such setting >&2; exit 78"}, nil)
	if err == nil || !strings.Contains(err.Error(), "exit status 78") || !strings.Contains(err.Error(), "no such setting") {
		t.Errorf("startProcess = %v; want an error with the exit status and what the program said", err)
	}
}
