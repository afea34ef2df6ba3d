package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/config"
	"nimsidecar/internal/memnet"
)

func TestFromSystemdTakesWhatIsMeantForThisProcess(t *testing.T) {
	t.Parallel()
	self := fmt.Sprint(os.Getpid())
	for _, tt := range []struct {
		name     string
		environ  []string
		watchdog time.Duration
		notifies bool
	}{
		{"nothing", nil, 0, false},
		{"a watchdog for whoever is started", []string{"WATCHDOG_USEC=30000000"}, 30 * time.Second, false},
		{"a watchdog for this process", []string{"WATCHDOG_USEC=1500", "WATCHDOG_PID=" + self}, 1500 * time.Microsecond, false},
		{"a watchdog for its parent", []string{"WATCHDOG_USEC=1500", "WATCHDOG_PID=1" + self}, 0, false},
		{"a watchdog that is no number", []string{"WATCHDOG_USEC=soon"}, 0, false},
		{"an ear", []string{"NOTIFY_SOCKET=/nobody/listens"}, 0, true},
		{"an empty name", []string{"NOTIFY_SOCKET="}, 0, false},
		{"a socket for its parent", []string{"LISTEN_FDS=1", "LISTEN_PID=1" + self}, 0, false},
		{"a socket for nobody", []string{"LISTEN_FDS=1"}, 0, false},
	} {
		s, err := FromSystemd(tt.environ)
		if err != nil || s.Listener != nil || s.Address() != "" || s.Watchdog != tt.watchdog || (s.Notify != nil) != tt.notifies {
			t.Errorf("%s: FromSystemd(%q) = %+v, %v; want the watchdog %s, notifies %t, no listener", tt.name, tt.environ, s, err, tt.watchdog, tt.notifies)
		}
		s.tell("READY=1") // nobody there is no fault
	}
}

func TestFromSystemdTakesOneSocket(t *testing.T) {
	t.Parallel()
	for _, count := range []string{"0", "2", "many", ""} {
		_, err := FromSystemd([]string{fmt.Sprintf("LISTEN_PID=%d", os.Getpid()), "LISTEN_FDS=" + count})
		if _, ok := errors.AsType[*config.Problem](err); !ok {
			t.Errorf("with LISTEN_FDS=%s FromSystemd() = %v; want a *config.Problem", count, err)
		}
	}
}

func TestTheManagerHearsWholeMessages(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("it has no datagram sockets with names")
	}
	dir, err := os.MkdirTemp("", "ns") // the name of t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "s")
	ear, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ear.Close() }()
	s, err := FromSystemd([]string{"NOTIFY_SOCKET=" + path})
	if err != nil {
		t.Fatal(err)
	}
	s.tell("READY=1", "STATUS=serving")
	buffer := make([]byte, 100)
	n, err := ear.Read(buffer)
	if want := "READY=1\nSTATUS=serving"; err != nil || string(buffer[:n]) != want {
		t.Errorf("the manager hears %q, %v; want %q", buffer[:n], err, want)
	}
}

func TestTheWatchdogIsFedAsLongAsTheLoopTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const hangs = 4 * time.Minute
		began := time.Now()
		var fed []time.Duration
		s := Service{Watchdog: 30 * time.Second, Notify: func(state string) {
			if state != "WATCHDOG=1" {
				t.Errorf("the manager hears %q; want WATCHDOG=1", state)
			}
			fed = append(fed, time.Since(began))
		}}
		var turns uint64
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := s.feed(ctx, func() uint64 { // the loop turns after each beat, until it hangs
			if time.Since(began) < hangs {
				turns++
			}
			return turns
		}); err != nil {
			t.Errorf("feed() = %v; want nil", err)
		}
		for i, at := range fed {
			if want := time.Duration(i+1) * 10 * time.Second; at != want {
				t.Errorf("fed for the %d. time at %s; want %s", i+1, at, want)
			}
		}
		if last := fed[len(fed)-1]; last >= hangs || hangs-last > s.Watchdog/3 {
			t.Errorf("fed last at %s; want just before the loop hangs at %s", last, hangs)
		}
	})
}

func TestWithoutAWatchdogNobodyIsFed(t *testing.T) {
	t.Parallel()
	s := Service{Notify: func(state string) { t.Errorf("the manager hears %q; want nothing", state) }}
	if err := s.feed(t.Context(), func() uint64 { t.Error("the loop is beaten"); return 0 }); err != nil {
		t.Errorf("feed() = %v; want nil", err)
	}
}

// TestTheManagerIsTold runs a whole sidecar whose listener was passed, in virtual time.
func TestTheManagerIsToldOfEachStepOfALife(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n memnet.Network
		passed, err := n.Listen("127.0.0.1:7000")
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var heard []string
		c := settings(t)
		o := options(c, &n, io.Discard)
		o.Reload = func() (*config.Config, error) { return nil, errors.New("not now") }
		o.Service = Service{Listener: passed, Watchdog: 3 * time.Second, Notify: func(state string) {
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, state)
		}}
		if got := o.Service.Address(); got != "127.0.0.1:7000" {
			t.Errorf("Address() = %q; want 127.0.0.1:7000", got)
		}
		a, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() {
			if err := a.Run(ctx); err != nil {
				t.Errorf("Run() = %v; want nil", err)
			}
		})
		time.Sleep(3500 * time.Millisecond)
		if got := get(ctx, &n, "127.0.0.1:7000", "/livez"); got != 200 {
			t.Errorf("GET /livez where the passed listener is = %d; want 200", got)
		}
		wantFree(t, &n, c.Listen)
		if err := a.Reload(ctx); err == nil {
			t.Error("Reload() = nil; want an error")
		}
		stop()
		group.Wait()
		got := slices.DeleteFunc(heard, func(s string) bool { return strings.HasPrefix(s, "RELOADING=1\nMONOTONIC_USEC=") })
		want := []string{
			"READY=1\nSTATUS=serving on 127.0.0.1:7000", "WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1", "READY=1", "STOPPING=1\nSTATUS=draining",
		}
		if !slices.Equal(got, want) {
			t.Errorf("the manager hears %q; want %q", got, want)
		}
	})
}
