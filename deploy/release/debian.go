package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
)

// debian makes the package of a binary, and returns its name and content.
func (t *tree) debian(b *binary) (name string, content []byte, err error) {
	deploy := filepath.Join(t.root, "deploy")
	info := nfpm.WithDefaults(&nfpm.Info{
		Name: "nim-sidecar", Arch: b.arch, Platform: "linux", Version: strings.TrimPrefix(t.version, "v"), Release: "1", Section: "net", Priority: "optional",
		Maintainer: "the authors of nim-sidecar <nim-sidecar@localhost>", License: "Apache-2.0", MTime: t.committed, DisableGlobbing: true,
		Description: "shares one scarce LLM quota between many agents\n" +
			"It stands between agents and a provider of language models, paces what they\nsend, lets them wait in four classes, and hides the refusals that waiting\ncan cure.",
		Overridables: nfpm.Overridables{
			Recommends: []string{"ca-certificates"},
			Scripts: nfpm.Scripts{
				PostInstall: filepath.Join(deploy, "debian/postinst"), PreRemove: filepath.Join(deploy, "debian/prerm"),
				PostRemove: filepath.Join(deploy, "debian/postrm"),
			},
		},
	})
	if info.Contents, err = t.installed(b); err != nil {
		return "", nil, err
	}
	var out bytes.Buffer
	err = deb.Default.Package(info, &out)
	return deb.Default.ConventionalFileName(info), out.Bytes(), err
}

// installed are the files of the package.
func (t *tree) installed(b *binary) (all files.Contents, err error) {
	add := func(source, to, kind string, mode os.FileMode) {
		all = append(all, &files.Content{
			Source: source, Destination: to, Type: kind,
			FileInfo: &files.ContentFileInfo{Owner: "root", Group: "root", Mode: mode, MTime: t.committed},
		})
	}
	write := func(content []byte, to string) {
		source := filepath.Join(t.scratch, strings.ReplaceAll(to, "/", "-"))
		if err == nil {
			err = os.WriteFile(source, content, 0o600)
		}
		add(source, to, files.TypeFile, 0o644)
	}
	add("", "/etc/nim-sidecar", files.TypeDir, 0o755)
	add(b.path, "/usr/bin/nim-sidecar", files.TypeFile, 0o755)
	for source, to := range sorted(map[string]string{
		"deploy/systemd/nim-sidecar.service": "/usr/lib/systemd/system/nim-sidecar.service",
		"deploy/systemd/nim-sidecar.socket":  "/usr/lib/systemd/system/nim-sidecar.socket",
		"deploy/debian/copyright":            "/usr/share/doc/nim-sidecar/copyright",
		"deploy/prometheus/rules.yaml":       "/usr/share/doc/nim-sidecar/examples/rules.yaml",
		"deploy/grafana/nim-sidecar.json":    "/usr/share/doc/nim-sidecar/examples/dashboard.json",
		"README.md":                          "/usr/share/doc/nim-sidecar/README.md",
		"docs/operations.md":                 "/usr/share/doc/nim-sidecar/operations.md",
		".env.example":                       "/usr/share/doc/nim-sidecar/env.example",
	}) {
		add(filepath.Join(t.root, source), to, files.TypeFile, 0o644)
	}
	add(filepath.Join(t.root, "deploy/debian/environment"), "/etc/nim-sidecar/environment", files.TypeConfigNoReplace, 0o644)
	for shell, to := range sorted(completions()) {
		write(t.extra["completions/"+shell], to)
	}
	write(packed(t.extra["nim-sidecar.1"]), "/usr/share/man/man1/nim-sidecar.1.gz")
	return all, err
}

// packed compresses a text, into memory, where nothing can fail.
func packed(text []byte) []byte {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestCompression)
	_, _ = w.Write(text)
	_ = w.Close()
	return out.Bytes()
}
