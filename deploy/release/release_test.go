package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

const here = "../.."

// git runs git in a directory, as somebody at a fixed time.
func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=nobody", "-c", "user.email=nobody@localhost", "-c", "commit.gpgsign=false"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_DATE=2026-01-02T03:04:05Z", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

// checkout copies what git would commit of this tree, and commits it: wherever that is done, it is the same commit.
func checkout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name := range strings.SplitSeq(git(t, here, "ls-files", "-coz", "--exclude-standard"), "\x00") {
		content, err := os.ReadFile(filepath.Join(here, name))
		if name == "" || os.IsNotExist(err) {
			continue
		}
		to := filepath.Join(dir, name)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(to), 0o755)
		}
		if err == nil {
			err = os.WriteFile(to, content, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	git(t, dir, "init", "--quiet")
	git(t, dir, "add", "--all")
	git(t, dir, "commit", "--quiet", "--message", "a release")
	git(t, dir, "tag", "v1.2.3")
	return dir
}

// target is this machine's.
const target = runtime.GOOS + "/" + runtime.GOARCH

// build releases a checkout for this machine, and returns all files.
func build(t *testing.T, root string) map[string][]byte {
	t.Helper()
	out := t.TempDir()
	if err := release(root, out, []string{target}, false, io.Discard); err != nil {
		t.Fatal(err)
	}
	made := map[string][]byte{}
	files, err := os.ReadDir(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if made[f.Name()], err = os.ReadFile(filepath.Join(out, f.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return made
}

// TestARelease builds once, and once more elsewhere, and looks at everything that is made.
func TestARelease(t *testing.T) {
	t.Parallel()
	made := build(t, checkout(t))
	base := "nim-sidecar_1.2.3_" + strings.ReplaceAll(target, "/", "_")
	t.Run("the same commit gives the same bytes in another directory", func(t *testing.T) {
		t.Parallel()
		again := build(t, checkout(t))
		if got, want := slices.Sorted(maps.Keys(again)), slices.Sorted(maps.Keys(made)); !slices.Equal(got, want) {
			t.Fatalf("made %q, and then %q", want, got)
		}
		for name, content := range again {
			if !bytes.Equal(content, made[name]) {
				t.Errorf("%s differs: %x and %x", name, sha256.Sum256(made[name]), sha256.Sum256(content))
			}
		}
	})
	t.Run("the checksums are those of the files", func(t *testing.T) {
		t.Parallel()
		var want strings.Builder
		for _, name := range slices.Sorted(maps.Keys(made)) {
			if name != "SHA256SUMS" {
				fmt.Fprintf(&want, "%x  %s\n", sha256.Sum256(made[name]), name)
			}
		}
		if got := string(made["SHA256SUMS"]); got != want.String() {
			t.Errorf("SHA256SUMS is\n%s; want\n%s", got, &want)
		}
	})
	t.Run("the archive", func(t *testing.T) {
		t.Parallel()
		wantArchive(t, base, made[base+".tar.gz"])
	})
	t.Run("the SBOM names every module", func(t *testing.T) {
		t.Parallel()
		wantModules(t, made[base+".cdx.json"])
	})
	t.Run("the Debian package", func(t *testing.T) {
		t.Parallel()
		if runtime.GOOS == "linux" {
			wantPackage(t, made["nim-sidecar_1.2.3-1_"+runtime.GOARCH+".deb"])
		}
	})
}

// unpack returns the files of a tar, compressed or not, by name, and checks their times.
func unpack(t *testing.T, r io.Reader) (all map[string][]byte, modes map[string]int64) {
	t.Helper()
	all, modes = map[string][]byte{}, map[string]int64{}
	for archive := tar.NewReader(r); ; {
		head, err := archive.Next()
		if err == io.EOF {
			return all, modes
		}
		if err != nil {
			t.Fatal(err)
		}
		if want := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC); !head.ModTime.Equal(want) || head.Uid != 0 || head.Gid != 0 {
			t.Errorf("%s is of %s and of user %d:%d; want %s, the commit's, and root", head.Name, head.ModTime, head.Uid, head.Gid, want)
		}
		name := strings.TrimPrefix(head.Name, ".")
		if all[name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
		modes[name] = head.Mode & 0o777
	}
}

func wantArchive(t *testing.T, base string, packed []byte) {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	files, modes := unpack(t, r)
	for _, name := range []string{"LICENSE", "README.md", "README.zh.md", "CHANGELOG.md", ".env.example", "nim-sidecar.1", "completions/bash", "completions/zsh", "completions/fish"} {
		if len(files[base+"/"+name]) == 0 || modes[base+"/"+name] != 0o644 {
			t.Errorf("%s has %d bytes and the mode %o; want some, and 644", name, len(files[base+"/"+name]), modes[base+"/"+name])
		}
	}
	program := filepath.Join(t.TempDir(), "nim-sidecar")
	if err := os.WriteFile(program, files[base+"/nim-sidecar"], 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil || info.Main.Version != "v1.2.3" || modes[base+"/nim-sidecar"] != 0o755 {
		t.Errorf("the program is of version %v (%v), with the mode %o; want v1.2.3 and 755", info, err, modes[base+"/nim-sidecar"])
	}
	if page := string(files[base+"/nim-sidecar.1"]); !strings.HasPrefix(page, `.TH NIM\-SIDECAR 1 "2026-01-02" "nim\-sidecar v1.2.3"`) {
		t.Errorf("the man page begins %q; want the commit's day and version", page[:min(80, len(page))])
	}
}

// wantModules compares an SBOM with what the go command says of the module graph.
func wantModules(t *testing.T, text []byte) {
	t.Helper()
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(text), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}@{{.Version}}{{end}}{{end}}", "./cmd/nim-sidecar")
	cmd.Dir = here
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(string(out))
	slices.Sort(want)
	want = slices.Compact(want)
	var got []string
	for _, c := range *bom.Components {
		if c.Name == "std" {
			continue
		}
		got = append(got, c.Name+"@"+c.Version)
		if c.Hashes == nil || len((*c.Hashes)[0].Value) != 64 {
			t.Errorf("%s has no hash", c.Name)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the SBOM lists %q; want %q", got, want)
	}
	var shape struct{ BomFormat, SpecVersion string }
	if err := json.Unmarshal(text, &shape); err != nil || shape.BomFormat != "CycloneDX" || bom.Metadata.Component.Version != "v1.2.3" {
		t.Errorf("it is a %+v of version %s (%v); want CycloneDX of v1.2.3", shape, bom.Metadata.Component.Version, err)
	}
}

// wantPackage has Debian's own tool read a package.
func wantPackage(t *testing.T, content []byte) {
	t.Helper()
	dir := t.TempDir()
	name := filepath.Join(dir, "nim-sidecar.deb")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	tool := func(args ...string) []byte {
		out, err := exec.Command("dpkg-deb", args...).Output()
		if err != nil {
			t.Fatalf("dpkg-deb %s: %v (Debian's dpkg must be there)", strings.Join(args, " "), err)
		}
		return out
	}
	if got := string(tool("--field", name, "Package", "Version", "Architecture")); got != "Package: nim-sidecar\nVersion: 1.2.3-1\nArchitecture: "+runtime.GOARCH+"\n" {
		t.Errorf("the package says %q", got)
	}
	if got := strings.TrimSpace(string(tool("--ctrl-tarfile", name))); !strings.Contains(got, "/etc/nim-sidecar/environment") {
		t.Error("/etc/nim-sidecar/environment is no file of settings, and an upgrade would overwrite it")
	}
	files, modes := unpack(t, bytes.NewReader(tool("--fsys-tarfile", name)))
	for path, mode := range map[string]int64{
		"/usr/bin/nim-sidecar": 0o755, "/usr/lib/systemd/system/nim-sidecar.service": 0o644, "/usr/lib/systemd/system/nim-sidecar.socket": 0o644,
		"/usr/share/man/man1/nim-sidecar.1.gz": 0o644, "/usr/share/doc/nim-sidecar/copyright": 0o644, "/etc/nim-sidecar/environment": 0o644,
		"/usr/share/bash-completion/completions/nim-sidecar": 0o644, "/usr/share/zsh/vendor-completions/_nim-sidecar": 0o644,
		"/usr/share/fish/vendor_completions.d/nim-sidecar.fish": 0o644,
	} {
		if len(files[path]) == 0 || modes[path] != mode {
			t.Errorf("%s has %d bytes and the mode %o; want some, and %o", path, len(files[path]), modes[path], mode)
		}
	}
	for path := range files {
		if strings.Contains(path, "nvidia_api_key") {
			t.Errorf("the package has %s, and would make it readable", path)
		}
	}
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		if out, err := exec.Command("sh", "-n", filepath.Join(here, "deploy/debian", script)).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", script, err, out)
		}
	}
}

func TestATreeWithChangesIsNotReleased(t *testing.T) {
	t.Parallel()
	root := checkout(t)
	if err := os.WriteFile(filepath.Join(root, "LICENSE"), []byte("changed"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	if err := release(root, out, []string{target}, false, io.Discard); err == nil || !strings.Contains(err.Error(), "-dirty") {
		t.Errorf("release() = %v; want an error that names -dirty", err)
	}
	if files, err := os.ReadDir(out); err != nil || len(files) != 0 {
		t.Errorf("it has made %v, %v; want nothing", files, err)
	}
}

func TestWindowsGetsAZip(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, name := range []string{"LICENSE", "README.md", "README.zh.md", "CHANGELOG.md", ".env.example", "program"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tr := &tree{root: root, committed: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	packed, err := tr.archive(&binary{os: "windows", file: "nim-sidecar.exe", name: "x", archive: ".zip", path: filepath.Join(root, "program")})
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]os.FileMode{}
	for _, f := range z.File {
		found[f.Name] = f.Mode()
		if !f.Modified.Equal(tr.committed) {
			t.Errorf("%s is of %s; want %s", f.Name, f.Modified, tr.committed)
		}
	}
	if found["x/nim-sidecar.exe"] != 0o755 || found["x/LICENSE"] != 0o644 || len(found) != 6 {
		t.Errorf("the archive holds %v; want six files, of which only the program is executable", found)
	}
}

func TestATargetIsTwoWords(t *testing.T) {
	t.Parallel()
	if _, err := new(tree).build("plan9"); err == nil {
		t.Error(`build("plan9") = nil; want an error`)
	}
}
