package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"maps"
	"os"
	"path"
	"path/filepath"
)

// contents are the files of a binary's archive, by name.
func (t *tree) contents(b *binary) (map[string][]byte, error) {
	files := map[string]string{b.file: b.path}
	for _, name := range []string{"LICENSE", "README.md", "README.zh.md", "CHANGELOG.md", ".env.example"} {
		files[name] = filepath.Join(t.root, name)
	}
	all := map[string][]byte{}
	for name, source := range files {
		content, err := os.ReadFile(source)
		if err != nil {
			return nil, err
		}
		all[name] = content
	}
	maps.Copy(all, t.extra)
	return all, nil
}

// archive packs a binary and what belongs to it, in a directory of its own.
func (t *tree) archive(b *binary) ([]byte, error) {
	files, err := t.contents(b)
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	if b.archive == ".zip" {
		z := zip.NewWriter(&packed)
		for name, content := range sorted(files) {
			head := &zip.FileHeader{Name: path.Join(b.name, name), Method: zip.Deflate, Modified: t.committed}
			head.SetMode(mode(name, b))
			w, err := z.CreateHeader(head)
			if err != nil {
				return nil, err
			}
			if _, err := w.Write(content); err != nil {
				return nil, err
			}
		}
		err := z.Close()
		return packed.Bytes(), err
	}
	compressed, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	w := tar.NewWriter(compressed)
	for name, content := range sorted(files) {
		head := &tar.Header{Name: path.Join(b.name, name), Mode: int64(mode(name, b)), Size: int64(len(content)), ModTime: t.committed, Format: tar.FormatUSTAR}
		if err := w.WriteHeader(head); err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	err = errors.Join(w.Close(), compressed.Close())
	return packed.Bytes(), err
}

// mode is executable for the program only.
func mode(name string, b *binary) os.FileMode {
	if name == b.file {
		return 0o755
	}
	return 0o644
}
