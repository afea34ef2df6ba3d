// Command release builds what is published of nim-sidecar: archives for six targets, Debian packages, an SBOM of each binary, and the
// checksums of all that.
//
//	go -C deploy/release run . -out ../../dist
//
// The same commit gives the same bytes, wherever and whenever it is built with the same Go: paths are trimmed, every time is the
// commit's, and lists are sorted. It refuses a tree with changes, whose version nobody could look up, unless -dirty says otherwise.
package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// published are the targets.
const published = "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64,windows/arm64"

func main() {
	out := flag.String("out", "dist", "the `directory` for what is built")
	root := flag.String("root", "../..", "the `directory` of the module")
	targets := flag.String("targets", published, "a `list` of GOOS/GOARCH")
	dirty := flag.Bool("dirty", false, "build a tree with changes, too")
	flag.Parse()
	if err := release(*root, *out, strings.Split(*targets, ","), *dirty, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// release builds everything into out.
func release(root, out string, targets []string, dirty bool, say io.Writer) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "release")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	t, err := newTree(root, scratch)
	if err != nil {
		return err
	}
	if t.changed && !dirty {
		return errors.New("the tree has changes that no commit holds: commit them, or say -dirty")
	}
	made := map[string][]byte{}
	for _, name := range targets {
		b, err := t.build(name)
		if err != nil {
			return err
		}
		if err := t.publish(b, made); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Fprintln(say, "built", b.name)
	}
	made["SHA256SUMS"] = sums(made)
	for name, content := range sorted(made) {
		if err := os.WriteFile(filepath.Join(out, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// publish adds all files of one binary.
func (t *tree) publish(b *binary, made map[string][]byte) error {
	archive, err := t.archive(b)
	if err != nil {
		return err
	}
	made[b.name+b.archive] = archive
	bom, err := b.sbom()
	if err != nil {
		return err
	}
	made[b.name+".cdx.json"] = bom
	if b.os == "linux" {
		name, content, err := t.debian(b)
		if err != nil {
			return err
		}
		made[name] = content
	}
	return nil
}

// sums are the checksums as sha256sum -c reads them.
func sums(made map[string][]byte) []byte {
	var b bytes.Buffer
	for name, content := range sorted(made) {
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(content), name)
	}
	return b.Bytes()
}
