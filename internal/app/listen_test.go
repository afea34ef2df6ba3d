//go:build unix

package app

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// socketPath returns where a test's socket may be. The name of t.TempDir may be too long for one.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ns")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// stale leaves a socket at path that nobody listens on, as a killed process does.
func stale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAUnixSocketIsForItsOwnerAndGoesWithItsListener(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*testing.T, string){"new": func(*testing.T, string) {}, "in the place of a stale one": stale} {
		path := socketPath(t)
		prepare(t, path)
		l, err := listen("unix", path)
		if err != nil {
			t.Fatalf("%s: listen() = %v; want a listener", name, err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode() != fs.ModeSocket|0o600 {
			t.Errorf("%s: the mode is %v, %v; want a socket with 0600", name, info.Mode(), err)
		}
		if conn, err := net.Dial("unix", path); err != nil {
			t.Errorf("%s: Dial() = %v; want a connection", name, err)
		} else {
			_ = conn.Close()
		}
		if err := l.Close(); err != nil {
			t.Errorf("%s: Close() = %v", name, err)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: after Close the socket is still there: %v", name, err)
		}
	}
}

// busyListener listens at path and accepts nobody, with a backlog that is full.
func busyListener(t *testing.T, path string) {
	t.Helper()
	open := func() int {
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Close(fd) })
		if err := syscall.SetNonblock(fd, true); err != nil {
			t.Fatal(err)
		}
		return fd
	}
	fd, at := open(), &syscall.SockaddrUnix{Name: path}
	if err := errors.Join(syscall.Bind(fd, at), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	for range 10 { // more than any system's least backlog
		_ = syscall.Connect(open(), at)
	}
}

func TestWhatIsNotAStaleSocketIsNotReplaced(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*testing.T, string){
		"a listener": func(t *testing.T, path string) {
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
		},
		"a listener that is busy": busyListener,
		"a file": func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"a directory": func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		},
	} {
		path := socketPath(t)
		prepare(t, path)
		before, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if l, err := listen("unix", path); err == nil {
			t.Errorf("%s: listen() took its place", name)
			_ = l.Close()
		}
		if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
			t.Errorf("%s: it is no longer what it was: %v", name, err)
		}
	}
}

// Each connection of a client may need another one to its provider, and some descriptors are kept for the rest.
func TestConnectionsLeaveDescriptorsForTheRest(t *testing.T) {
	t.Parallel()
	for descriptors, want := range map[int]int{0: 0, 10: 1, 64: 28, 1024: 537, 20_000: 11_846, 1 << 20: 628_992} {
		if got := mostConnections(descriptors); got != want {
			t.Errorf("mostConnections(%d) = %d; want %d", descriptors, got, want)
		}
	}
}
