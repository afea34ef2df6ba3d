package docs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"nimsidecar/internal/config"
)

// binary is the program that the pages speak of, built once by TestMain.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "docs")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "nim-sidecar")
	if runtime.GOOS == "windows" {
		binary += ".exe"
	}
	code := 1
	if out, err := exec.Command("go", "build", "-o", binary, "../../cmd/nim-sidecar").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
	} else {
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// root is that of the tree, seen from here.
const root = "../.."

// generated are the pages that are written from the code, whose own tests compare them.
var generated = []string{"docs/settings.md", "docs/metrics.md", "docs/simulation.md"}

// page is one page that people wrote.
type page struct {
	name string // from the root of the tree
	text string
}

// pages returns all of them.
func pages(t *testing.T) (all []page) {
	t.Helper()
	for _, pattern := range []string{"README*.md", "SECURITY.md", "docs/*.md", "docs/*/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			name, err := filepath.Rel(root, file)
			if err != nil {
				t.Fatal(err)
			}
			if name = filepath.ToSlash(name); !slices.Contains(generated, name) {
				all = append(all, page{name, read(t, name)})
			}
		}
	}
	if len(all) < 10 {
		t.Fatalf("found %d pages; want at least 10", len(all))
	}
	return all
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

// block is a fenced block of a page.
type block struct {
	before   string // the line before it
	language string
	text     string
}

var (
	fence = regexp.MustCompile("(?m)^(.*)\n```(\\w*)\n((?s:.*?))^```$")
	code  = regexp.MustCompile("`([^`\n]+)`")
)

func (p page) blocks() (all []block) {
	for _, m := range fence.FindAllStringSubmatch(p.text, -1) {
		all = append(all, block{before: m[1], language: m[2], text: m[3]})
	}
	return all
}

// code returns what stands in backticks outside of blocks.
func (p page) code() (all []string) {
	for _, m := range code.FindAllStringSubmatch(fence.ReplaceAllString(p.text, "$1\n"), -1) {
		all = append(all, m[1])
	}
	return all
}

// wantKnown reports what a pattern finds in the pages and known does not know.
func wantKnown(t *testing.T, what string, pattern *regexp.Regexp, known func(string) bool) {
	t.Helper()
	found := 0
	for _, p := range pages(t) {
		for _, name := range pattern.FindAllString(p.text, -1) {
			found++
			if !known(name) {
				t.Errorf("%s names the %s %s, which does not exist", p.name, what, name)
			}
		}
	}
	if found == 0 {
		t.Errorf("no page names a %s", what)
	}
}

func TestEveryVariableExists(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"SIDECAR_URL": true} // of the README's own examples
	for _, s := range config.Settings() {
		for _, name := range s.Env {
			known[name], known[name+"_FILE"] = true, s.Secret
		}
	}
	wantKnown(t, "variable", regexp.MustCompile(`\bSIDECAR_[A-Z0-9_]*[A-Z0-9]`), func(name string) bool { return known[name] })
}

func TestEveryMetricExists(t *testing.T) {
	t.Parallel()
	reference := read(t, "docs/metrics.md")
	wantKnown(t, "metric", regexp.MustCompile(`\bsidecar_[a-z0-9_]*[a-z0-9]`), func(name string) bool {
		for _, suffix := range []string{"", "_bucket", "_sum", "_count"} {
			if base, ok := strings.CutSuffix(name, suffix); ok && strings.Contains(reference, "| `"+base+"` |") {
				return true
			}
		}
		return false
	})
}

func TestEverySettingExists(t *testing.T) {
	t.Parallel()
	known, groups := map[string]bool{}, map[string]bool{}
	for _, s := range config.Settings() {
		known[s.Path] = true
		for i := range s.Path {
			if s.Path[i] == '.' {
				known[s.Path[:i]] = true
			}
		}
		if group, _, ok := strings.Cut(s.Path, "."); ok {
			groups[group] = true
		}
	}
	path, found := regexp.MustCompile(`^([a-z_]+(?:\[\])?)\.[a-z_.\[\]]+$`), 0
	for _, p := range pages(t) {
		for _, text := range p.code() {
			name, _, _ := strings.Cut(text, ":") // some are written with a value
			m := path.FindStringSubmatch(strings.TrimSuffix(name, ".*"))
			if m == nil || !groups[m[1]] {
				continue
			}
			if found++; !known[m[0]] {
				t.Errorf("%s names the setting %s, which does not exist", p.name, m[0])
			}
		}
	}
	if found == 0 {
		t.Error("no page names a setting")
	}
}

func TestEveryCommandAndFlagExists(t *testing.T) {
	t.Parallel()
	command := regexp.MustCompile(`(?m)(?:^|[\s;(])nim-sidecar((?: +[^\s#)>;|&]+)+)`)
	found := 0
	for _, p := range pages(t) {
		texts := p.code()
		for _, b := range p.blocks() {
			if b.language == "sh" {
				texts = append(texts, b.text)
			}
		}
		for _, text := range texts {
			for _, m := range command.FindAllStringSubmatch(text, -1) {
				found++
				wantCommand(t, p, strings.Fields(m[1]))
			}
		}
	}
	if found == 0 {
		t.Error("no page names a command")
	}
}

// wantCommand asks the program for the help of a command that a page names, and looks for the flags in it.
func wantCommand(t *testing.T, p page, words []string) {
	t.Helper()
	var names, flags []string
	for _, word := range words {
		if flag, _, _ := strings.Cut(word, "="); strings.HasPrefix(flag, "--") {
			flags = append(flags, flag)
		} else if len(flags) == 0 {
			names = append(names, word)
		}
	}
	out, err := exec.Command(binary, append(slices.Clone(names), "--help")...).CombinedOutput()
	usage := "Usage: nim-sidecar " + strings.Join(names, " ")
	if err != nil || len(names) > 0 && !strings.HasPrefix(string(out), usage) {
		t.Errorf("%s names the command nim-sidecar %s, which does not exist: %v", p.name, strings.Join(names, " "), err)
		return
	}
	for _, flag := range flags {
		if !regexp.MustCompile(regexp.QuoteMeta(flag) + `\b`).Match(out) {
			t.Errorf("%s names the flag %s of nim-sidecar %s, which does not exist", p.name, flag, strings.Join(names, " "))
		}
	}
}

// A promise is a row of a table whose last cell links to its tests.
func TestEveryPromiseNamesItsTests(t *testing.T) {
	t.Parallel()
	row := regexp.MustCompile(`(?m)^\| (.+) \| (.+) \|$`)
	link := regexp.MustCompile(`\[([^\]]+)\]\(\.\./([^)#]+)\)`)
	promises := 0
	for _, m := range row.FindAllStringSubmatch(read(t, "docs/promises.md"), -1) {
		if m[1] == "promise" {
			continue
		}
		promises++
		tests := link.FindAllStringSubmatch(m[2], -1)
		if len(tests) == 0 {
			t.Errorf("no test is named for %q", m[1])
		}
		for _, test := range tests {
			source := read(t, test[2])
			if strings.HasSuffix(test[2], "_test.go") && !strings.Contains(source, "\nfunc "+test[1]+"(") || !strings.Contains(source, test[1]) {
				t.Errorf("for %q the test %s is named, which is not in %s", m[1], test[1], test[2])
			}
		}
	}
	if promises < 50 {
		t.Errorf("found %d promises; want at least 50", promises)
	}
}

func TestPicturesAreSmall(t *testing.T) {
	t.Parallel()
	const most = 200_000
	files, err := filepath.Glob(filepath.Join(root, "docs/img/*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("found %d pictures, %v", len(files), err)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.Size() > most {
			t.Errorf("%s has more than %d bytes, or %v", file, most, err)
		}
	}
}
