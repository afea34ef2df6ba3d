package top

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// shown is a view on a fake terminal.
type shown struct {
	*rig
	terminal *fake
	keys     *io.PipeWriter
	ended    chan error
	cancel   context.CancelFunc
	person   emulator
}

// show shows a view until the test ends it; it begins and ends inside of a bubble.
func show(t *testing.T) *shown {
	s := &shown{rig: newRig(t), ended: make(chan error, 1)}
	s.terminal, s.keys = newFake()
	ctx, cancel := context.WithCancel(t.Context())
	s.cancel = cancel
	go func() { s.ended <- Run(ctx, Options{Client: s.client, Terminal: s.terminal}) }()
	synctest.Wait()
	return s
}

// look returns what is on the screen now.
func (s *shown) look() []string {
	synctest.Wait()
	s.person.obey(s.t, s.terminal.taken())
	return s.person.lines
}

// close ends everything, and wants no error.
func (s *shown) close() {
	s.cancel()
	if err := <-s.ended; err != nil {
		s.t.Errorf("Run = %v; want nil", err)
	}
	_ = s.keys.Close()
	s.end()
}

func TestTheViewMovesAndOnlyWhatChangesIsSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := show(t)
		first := s.terminal.taken()
		if !strings.HasPrefix(first, enter) {
			t.Errorf("it begins with %.40q; want the alternate screen", first)
		}
		s.person.obey(t, first)
		for range 3 {
			time.Sleep(time.Second)
			synctest.Wait()
			moved := s.terminal.taken()
			s.person.obey(t, moved)
			want := Lines(s.View(), Look{Width: 80, Height: 24, Live: true, Where: "127.0.0.1:9190", Now: time.Now(), Heard: time.Now()})
			// The sample stands still but for its clock, and the times that are told from it.
			if strings.Join(s.person.lines[:1], "") != want[0] || len(s.person.lines) != len(want) {
				t.Errorf("the screen begins with %q; want %q", s.person.lines[0], want[0])
			}
			if len(moved) > len(first)/2 {
				t.Errorf("%d bytes were sent for a second, %d in the beginning; want far less", len(moved), len(first))
			}
		}
		s.close()
	})
}

func TestAKeyASignalAndAnEndEachRestoreTheTerminal(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*shown){
		"q":              func(s *shown) { _, _ = io.WriteString(s.keys, "xyzq") },
		"Q":              func(s *shown) { _, _ = io.WriteString(s.keys, "Q") },
		"Ctrl-C":         func(s *shown) { _, _ = io.WriteString(s.keys, "\x03") },
		"Ctrl-D":         func(s *shown) { _, _ = io.WriteString(s.keys, "\x04") },
		"SIGTERM":        func(s *shown) { s.cancel() },
		"a gone console": func(s *shown) { _ = s.keys.CloseWithError(errors.New("input/output error")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := show(t)
				began := time.Now()
				end(s)
				if err := <-s.ended; err != nil || time.Since(began) != 0 {
					t.Errorf("Run = %v after %v; want nil at once", err, time.Since(began))
				}
				if text := s.terminal.taken(); !strings.HasSuffix(text, leave) {
					t.Errorf("the last that is written is %q; want %q", text, leave)
				}
				_ = s.keys.Close()
				s.end()
			})
		})
	}
}

func TestOtherKeysDoNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := show(t)
		_, _ = io.WriteString(s.keys, "abc\x1b[A\r ")
		synctest.Wait()
		select {
		case err := <-s.ended:
			t.Fatalf("Run = %v; want it to go on", err)
		default:
		}
		s.close()
	})
}

func TestAPanicRestoresTheTerminal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		terminal, keys := newFake()
		terminal.panics = true
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_ = Run(t.Context(), Options{Client: r.client, Terminal: terminal})
		}()
		if text := terminal.taken(); text != enter+leave {
			t.Errorf("written: %q; want %q", text, enter+leave)
		}
		_ = keys.Close()
		r.end()
	})
}

func TestATerminalThatCannotBeWrittenEndsTheView(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := show(t)
		s.terminal.mu.Lock()
		s.terminal.gone = true
		s.terminal.mu.Unlock()
		if err := <-s.ended; err != nil {
			t.Errorf("Run = %v; want nil", err)
		}
		_ = s.keys.Close()
		s.end()
	})
}

func TestAResizedTerminalIsDrawnAnewAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := show(t)
		s.look()
		s.terminal.change(40, 10)
		began := time.Now()
		s.terminal.resized <- nil
		synctest.Wait()
		text := s.terminal.taken()
		if !strings.HasPrefix(text, wipe) || time.Since(began) != 0 {
			t.Errorf("after %v %.20q is written; want the screen wiped at once", time.Since(began), text)
		}
		s.person.obey(t, text)
		if n := len(s.person.lines); n != 10 {
			t.Errorf("%d lines are shown; want 10", n)
		}
		s.terminal.change(100, 30) // without a signal, as on Windows
		time.Sleep(period)
		if n := len(s.look()); n <= 10 {
			t.Errorf("%d lines are shown on a larger terminal after a second; want more", n)
		}
		s.close()
	})
}

func TestALostSidecarIsMarkedUntilItComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := show(t)
		stale := func() bool {
			return slices.ContainsFunc(s.look(), func(l string) bool { return strings.HasPrefix(l, "STALE") })
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		s.end()
		time.Sleep(5 * time.Second)
		if stale() {
			t.Error("it is stale 5 s after the last event; want it later")
		}
		time.Sleep(time.Second)
		if !stale() {
			t.Errorf("it is not stale 6 s after the last event:\n%s", strings.Join(s.person.lines, "\n"))
		}
		s.version = "0.2.0"
		s.serve()
		time.Sleep(2 * time.Second)
		if stale() || !strings.HasPrefix(s.person.lines[0], "nim-sidecar 0.2.0") {
			t.Errorf("after the return the screen is\n%s\nwant the new sidecar's", strings.Join(s.person.lines, "\n"))
		}
		s.close()
	})
}

func TestWhereNothingAnswersNothingIsShown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.end()
		terminal, keys := newFake()
		defer func() { _ = keys.Close() }()
		if err := Run(t.Context(), Options{Client: r.client, Terminal: terminal}); err == nil || terminal.taken() != "" {
			t.Errorf("Run = %v; want an error, and a terminal as it was", err)
		}
	})
}

// counting is a writer that counts the views and ends after some.
type counting struct {
	views int
	text  strings.Builder
	full  int
}

func (c *counting) Write(p []byte) (int, error) {
	if c.views == c.full {
		return 0, errors.New("broken pipe")
	}
	c.views++
	return c.text.Write(p)
}

func TestWithoutATerminalTheViewIsWrittenOnceASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ctx, cancel := context.WithTimeout(t.Context(), 4500*time.Millisecond)
		defer cancel()
		out := &counting{full: 100}
		if err := Run(ctx, Options{Client: r.client, Out: out}); err != nil || out.views != 5 {
			t.Errorf("Run = %v, %d views in 4.5 s; want nil and 5", err, out.views)
		}
		if text := out.text.String(); strings.Contains(text, "\x1b") || strings.Count(text, "QUEUE 31 of 1000\n") != 5 {
			t.Errorf("written:\n%s\nwant 5 views without control sequences", text)
		}
		began := time.Now()
		if err := Run(t.Context(), Options{Client: r.client, Out: &counting{full: 2}}); err != nil || time.Since(began) != 2*period {
			t.Errorf("Run = %v after %v; want nil when nobody reads any more, after 2 s", err, time.Since(began))
		}
		r.end()
	})
}
