package main

import (
	"cmp"
	"debug/buildinfo"
	"fmt"
	"iter"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// tree is the checkout that is published.
type tree struct {
	root, scratch string
	changed       bool      // it holds what no commit does
	committed     time.Time // the time of everything in it
	version       string    // as the go command makes it of the commit, such as v1.2.3
	extra         map[string][]byte
}

// completions are where the shells' completion scripts go in a Debian package.
func completions() map[string]string {
	return map[string]string{
		"bash": "/usr/share/bash-completion/completions/nim-sidecar",
		"zsh":  "/usr/share/zsh/vendor-completions/_nim-sidecar",
		"fish": "/usr/share/fish/vendor_completions.d/nim-sidecar.fish",
	}
}

// newTree builds the program for this machine, and has it say its version and print its man page and completions.
func newTree(root, scratch string) (*tree, error) {
	t := &tree{root: root, scratch: scratch, extra: map[string][]byte{}}
	here, err := t.build(runtime.GOOS + "/" + runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	t.version = cmp.Or(here.info.Main.Version, "(devel)")
	if t.changed = here.setting("vcs.modified") != "false"; t.version == "(devel)" {
		return nil, fmt.Errorf("the go command finds no version in %s: it must be a git checkout", root)
	}
	if t.committed, err = time.Parse(time.RFC3339, here.setting("vcs.time")); err != nil {
		return nil, err
	}
	words := map[string][]string{"nim-sidecar.1": {"man"}}
	for shell := range completions() {
		words["completions/"+shell] = []string{"completion", shell}
	}
	for name, args := range words {
		if t.extra[name], err = exec.Command(here.path, args...).Output(); err != nil {
			return nil, fmt.Errorf("nim-sidecar %s: %w", strings.Join(args, " "), err)
		}
	}
	return t, nil
}

// binary is one built program.
type binary struct {
	os, arch string
	path     string
	file     string // its name for users
	name     string // of what is published, without an extension
	archive  string // the extension of its archive
	info     *debug.BuildInfo
}

// build builds the program for a target.
func (t *tree) build(target string) (*binary, error) {
	b := &binary{archive: ".tar.gz", file: "nim-sidecar"}
	var ok bool
	if b.os, b.arch, ok = strings.Cut(target, "/"); !ok {
		return nil, fmt.Errorf("the target %q is not GOOS/GOARCH", target)
	}
	if b.os == "windows" {
		b.archive, b.file = ".zip", "nim-sidecar.exe"
	}
	b.path = filepath.Join(t.scratch, b.os+"-"+b.arch+"-"+b.file)
	cmd := exec.Command("go", "build", "-buildvcs=true", "-trimpath", "-ldflags", "-s -w", "-o", b.path, "./cmd/nim-sidecar")
	cmd.Dir = t.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+b.os, "GOARCH="+b.arch, "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=", "GOEXPERIMENT=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build for %s: %w\n%s", target, err, out)
	}
	info, err := buildinfo.ReadFile(b.path)
	if err != nil {
		return nil, err
	}
	b.info = info
	b.name = fmt.Sprintf("nim-sidecar_%s_%s_%s", strings.TrimPrefix(info.Main.Version, "v"), b.os, b.arch)
	return b, nil
}

// setting is one of those that the binary was built with.
func (b *binary) setting(key string) string {
	for _, s := range b.info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}

// sorted iterates over a map in the order of its keys.
func sorted[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if !yield(key, m[key]) {
				return
			}
		}
	}
}
