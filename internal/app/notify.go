package app

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"nimsidecar/internal/config"
)

// Service is what a service manager such as systemd gives the sidecar, and wants to hear from it. The zero value is none.
type Service struct {
	// Listener is the proxy's, which the manager made and keeps over restarts, so that none of them refuses a connection; nil: it is
	// bound where the settings say.
	Listener net.Listener
	// Notify takes the words of sd_notify(3), from several goroutines; nil: nobody wants to hear them.
	Notify func(state string)
	// Watchdog is the longest silence after which the manager takes the sidecar for hung and kills it; 0: it may be silent for ever.
	Watchdog time.Duration
}

// firstPassed is the first descriptor that a service manager passes: SD_LISTEN_FDS_START of sd_listen_fds(3).
const firstPassed = 3

// FromSystemd reads what systemd says in the environment (as os.Environ gives it), by the protocols of sd_listen_fds(3), sd_notify(3) and
// sd_watchdog_enabled(3), and takes the listener that it passes: call it once. Without systemd it returns the zero Service. Its errors
// are *config.Problem.
func FromSystemd(environ []string) (s Service, err error) {
	said := map[string]string{}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		said[name] = value
	}
	self := strconv.Itoa(os.Getpid())
	if said["LISTEN_PID"] == self { // else they are for a parent of ours
		if s.Listener, err = passed(said["LISTEN_FDS"]); err != nil {
			return Service{}, err
		}
	}
	if socket := said["NOTIFY_SOCKET"]; socket != "" {
		s.Notify = func(state string) { notify(socket, state) }
	}
	if pid := said["WATCHDOG_PID"]; pid == "" || pid == self {
		if microseconds, err := strconv.ParseInt(said["WATCHDOG_USEC"], 10, 64); err == nil {
			s.Watchdog = time.Duration(microseconds) * time.Microsecond
		}
	}
	return s, nil
}

// passed takes the one socket that was passed.
func passed(count string) (net.Listener, error) {
	if count != "1" {
		return nil, &config.Problem{Where: "LISTEN_FDS", What: fmt.Sprintf("%q sockets were passed: the socket unit must have exactly one ListenStream, the proxy's", count)}
	}
	f := os.NewFile(firstPassed, "LISTEN_FD_3")
	l, err := net.FileListener(f) // on a descriptor of its own, which no child inherits
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, &config.Problem{Where: "LISTEN_FDS", What: fmt.Sprintf("what was passed is no listening stream socket: %v", err)}
	}
	return l, nil
}

// Address is where the passed listener listens, as the setting listen says it; "" without one. Settings must be loaded with it in the
// place of that one: whether a listener may be open to everybody is judged by where it really listens.
func (s Service) Address() string {
	switch {
	case s.Listener == nil:
		return ""
	case s.Listener.Addr().Network() == "unix":
		return "unix:" + s.Listener.Addr().String()
	}
	return s.Listener.Addr().String()
}

// notify sends a datagram to a service manager. That one does not listen is no reason to stop serving.
func notify(socket, state string) {
	conn, err := net.Dial("unixgram", socket)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = conn.Write([]byte(state))
}

// tell says a state, as lines NAME=value, to who wants to hear it.
func (s Service) tell(state ...string) {
	if s.Notify != nil {
		s.Notify(strings.Join(state, "\n"))
	}
}

// feed tells the manager that the gate's loop turns, as long as it does, until ctx ends. It looks three times in the time that the
// manager bears, and beat has the loop turn once before it looks again: it returns how often the loop has turned.
func (s Service) feed(ctx context.Context, beat func() uint64) error {
	if s.Watchdog <= 0 {
		return nil
	}
	tick := time.NewTicker(s.Watchdog / 3)
	defer tick.Stop()
	for last := beat(); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if turns := beat(); turns != last {
			last = turns
			s.tell("WATCHDOG=1")
		}
	}
}
