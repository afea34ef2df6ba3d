package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTally(t *testing.T) {
	t.Parallel()
	events := strings.Join([]string{
		`{"Action":"start","Package":"m/a"}`,
		`{"Action":"run","Package":"m/a","Test":"TestOne"}`,
		`{"Action":"output","Package":"m/a","Test":"TestOne","Output":"=== RUN   TestOne\n"}`,
		`{"Action":"output","Package":"m/a","Test":"TestTwo","Output":"    a_test.go:9: wrong\n"}`,
		`{"Action":"pass","Package":"m/a","Test":"TestOne","Elapsed":0.1}`,
		`{"Action":"fail","Package":"m/a","Test":"TestTwo","Elapsed":0.1}`,
		`{"Action":"skip","Package":"m/a","Test":"TestThree","Elapsed":0}`,
		`{"Action":"output","Package":"m/a","Output":"FAIL\n"}`,
		`{"Action":"fail","Package":"m/a","Elapsed":1.26}`,
		`{"Action":"pass","Package":"m/b","Elapsed":0.04}`,
		`{"Action":"skip","Package":"m/c","Elapsed":0}`,
		`{"ImportPath":"m/d","Action":"build-output","Output":"d.go:1: broken\n"}`,
		`{"ImportPath":"m/d","Action":"build-fail"}`,
		`{"Action":"fail","Package":"m/d","Elapsed":0,"FailedBuild":"m/d"}`,
		`go: something else`,
	}, "\n")
	tally := tally{output: map[string]string{}}
	var out strings.Builder
	if err := tally.read(strings.NewReader(events), &out); err != nil {
		t.Fatal(err)
	}
	want := "    a_test.go:9: wrong\nFAIL\nFAIL\tm/a\t1.3s\nok\tm/b\t0.0s\n?\tm/c\t0.0s\nd.go:1: broken\nFAIL\tm/d\t0.0s\ngo: something else"
	if out.String() != want {
		t.Errorf("read prints %q; want %q", out.String(), want)
	}
	want = "packages: 1 passed, 2 failed, 1 skipped; tests: 1 passed, 1 failed, 1 skipped; failed: m/a.TestTwo"
	if got := tally.String(); got != want {
		t.Errorf("String() = %q; want %q", got, want)
	}
}

// TestExitStatusIsThatOfGoTest runs go test over small modules.
func TestExitStatusIsThatOfGoTest(t *testing.T) {
	for _, test := range []struct {
		name, source string
		code         int
		want         string
	}{
		{"passes", "package m\nimport \"testing\"\nfunc TestX(*testing.T) {}\n", 0, "go test ./...: packages: 1 passed, 0 failed, 0 skipped; tests: 1 passed, 0 failed, 0 skipped\n"},
		{"fails", "package m\nimport \"testing\"\nfunc TestX(t *testing.T) { t.Error(\"odd\") }\n", 1, "odd"},
		{"does not build", "package m\nfunc f() { return 1 }\n", 1, "packages: 0 passed, 1 failed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Chdir(t.TempDir()) // so these cannot run in parallel
			for file, text := range map[string]string{"go.mod": "module m\n", "m_test.go": test.source} {
				if err := os.WriteFile(filepath.Clean(file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var out strings.Builder
			code, err := run([]string{"./..."}, &out)
			if code != test.code || err != nil || !strings.Contains(out.String(), test.want) {
				t.Errorf("run = %d, %v and prints %q; want %d, nil and %q", code, err, out.String(), test.code, test.want)
			}
		})
	}
}
