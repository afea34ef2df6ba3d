package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// pty is a pseudo-terminal as a terminal window has it: what a program writes to its far end is read here, and keys are written.
type pty struct {
	keyboard, far *os.File
	screen        *output
	read          chan struct{} // closed when nobody writes to the far end any more
}

// openPty returns a pseudo-terminal of 80 by 24.
func openPty(t *testing.T) *pty {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	p := &pty{keyboard: keyboard, screen: newOutput(), read: make(chan struct{})}
	var unlocked, number int32
	control(t, keyboard, syscall.TIOCSPTLCK, &unlocked)
	control(t, keyboard, syscall.TIOCGPTN, &number)
	p.resize(t, 80, 24)
	if p.far, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.read)
		buffer := make([]byte, 32<<10)
		for {
			n, err := keyboard.Read(buffer)
			_, _ = p.screen.Write(buffer[:n])
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { _ = keyboard.Close() })
	return p
}

// control asks or tells a terminal something.
func control[T any](t *testing.T, f *os.File, request uintptr, value *T) {
	t.Helper()
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed syscall.Errno
	err = raw.Control(func(fd uintptr) {
		_, _, failed = syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(unsafe.Pointer(value)))
	})
	if err != nil || failed != 0 {
		t.Fatalf("ioctl %#x: %v, %v", request, err, failed)
	}
}

// resize changes the size, which sends SIGWINCH to who runs in the terminal.
func (p *pty) resize(t *testing.T, width, height uint16) {
	t.Helper()
	control(t, p.keyboard, syscall.TIOCSWINSZ, &[4]uint16{height, width})
}

// modes returns how the terminal treats what is typed.
func (p *pty) modes(t *testing.T) (modes syscall.Termios) {
	t.Helper()
	control(t, p.far, syscall.TCGETS, &modes)
	return modes
}

// start starts nim-sidecar in the terminal, as a shell does.
func (p *pty) start(t *testing.T, environ []string, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), exe, args...)
	c.Env = append(environ, asMain+"=1")
	c.Stdin, c.Stdout, c.Stderr = p.far, p.far, p.far
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// end waits until the program has ended and all that it wrote is here.
func (p *pty) end(t *testing.T, c *exec.Cmd) (screen string) {
	t.Helper()
	if err := c.Wait(); err != nil {
		t.Errorf("it ended with %v; want exit code 0:\n%q", err, p.screen)
	}
	_ = p.far.Close()
	<-p.read
	return p.screen.String()
}

const (
	alternate = "\x1b[?1049h"
	restored  = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
)

func TestTopInARealTerminal(t *testing.T) {
	t.Parallel()
	address := idleSidecar(t)
	for name, end := range map[string]func(*pty, *exec.Cmd) error{
		"q":       func(p *pty, _ *exec.Cmd) error { _, err := p.keyboard.WriteString("q"); return err },
		"Ctrl-C":  func(p *pty, _ *exec.Cmd) error { _, err := p.keyboard.WriteString("\x03"); return err },
		"SIGTERM": func(_ *pty, c *exec.Cmd) error { return c.Process.Signal(syscall.SIGTERM) },
		"SIGINT":  func(_ *pty, c *exec.Cmd) error { return c.Process.Signal(os.Interrupt) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := openPty(t)
			before := p.modes(t)
			c := p.start(t, []string{"TERM=xterm-256color"}, "top", "--listen", address)
			p.screen.await(t.Context(), t, `QUEUE 0 of 1000.*`)
			if p.modes(t) == before {
				t.Error("the terminal treats keys as before; want them as they are typed")
			}
			p.resize(t, 40, 10)
			p.screen.await(t.Context(), t, `(?s)\x1b\[2J.*\x1b\[2J.*QUEUE 0 of 1000`)
			if err := end(p, c); err != nil {
				t.Fatal(err)
			}
			if err := c.Wait(); err != nil {
				t.Errorf("it ended with %v; want exit code 0:\n%q", err, p.screen)
			}
			if after := p.modes(t); after != before {
				t.Errorf("the terminal's modes are %+v after it; want %+v", after, before)
			}
			_ = p.far.Close()
			<-p.read
			screen := p.screen.String()
			if !strings.Contains(screen, alternate) || !strings.HasSuffix(screen, restored) || !strings.Contains(screen, "\x1b[1m") {
				t.Errorf("written: %q; want the alternate screen, colours, and in the end all as it was", screen)
			}
		})
	}
}

func TestTopInTerminalsThatCanLess(t *testing.T) {
	t.Parallel()
	address := idleSidecar(t)
	t.Run("a dumb one", func(t *testing.T) {
		t.Parallel()
		p := openPty(t)
		c := p.start(t, []string{"TERM=dumb", "LANG=zh_CN.UTF-8"}, "top", "--listen", address)
		p.screen.await(t.Context(), t, `(?s)队列 0 / 1000.*队列 0 / 1000`)
		if _, err := p.keyboard.WriteString("\x03"); err != nil {
			t.Fatal(err)
		}
		if screen := p.end(t, c); strings.Contains(screen, "\x1b") {
			t.Errorf("written: %q; want no control sequences", screen)
		}
	})
	t.Run("one without colours", func(t *testing.T) {
		t.Parallel()
		p := openPty(t)
		c := p.start(t, []string{"TERM=xterm", "NO_COLOR=1"}, "top", "--listen", address)
		p.screen.await(t.Context(), t, `QUEUE 0 of 1000`)
		if _, err := p.keyboard.WriteString("q"); err != nil {
			t.Fatal(err)
		}
		if screen := p.end(t, c); strings.Contains(screen, "\x1b[1m") || !strings.Contains(screen, alternate) {
			t.Errorf("written: %q; want a screen without colours", screen)
		}
	})
	t.Run("a keyboard that is none", func(t *testing.T) {
		t.Parallel()
		p := openPty(t)
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		c := exec.CommandContext(t.Context(), exe, "top", "--listen", address)
		c.Env, c.Stdout = []string{asMain + "=1", "TERM=xterm"}, p.far
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		p.screen.await(t.Context(), t, `QUEUE 0 of 1000`)
		if err := c.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if screen := p.end(t, c); !strings.HasSuffix(screen, restored) {
			t.Errorf("written: %q; want in the end all as it was", screen)
		}
	})
}

func TestStatusInATerminal(t *testing.T) {
	t.Parallel()
	p := openPty(t)
	screen := p.end(t, p.start(t, []string{"TERM=xterm"}, "status", "--listen", idleSidecar(t)))
	if !strings.Contains(screen, "\x1b[1mQUEUE 0 of 1000") || strings.Contains(screen, alternate) {
		t.Errorf("written: %q; want colours, and no screen of its own", screen)
	}
}
