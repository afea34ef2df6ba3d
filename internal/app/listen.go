package app

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"

	"golang.org/x/net/netutil"
)

// ListenError is a listener that could not be bound, most often because its port is taken.
type ListenError struct {
	Setting string // that names the address
	Address string // as it was given
	Err     error  // what the system said
}

// Error names the setting, the address and the remedy.
func (e *ListenError) Error() string {
	return fmt.Sprintf("cannot listen on %s (%s): %v: stop what uses it, or choose another address", e.Address, e.Setting, e.Err)
}

// Unwrap returns the cause.
func (e *ListenError) Unwrap() error { return e.Err }

// bind opens a listener and registers its undo.
func (a *App) bind(listen func(network, address string) (net.Listener, error), setting, address string) (net.Listener, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	l, err := listen(network, address)
	if err != nil {
		return nil, &ListenError{Setting: setting, Address: address, Err: err}
	}
	a.undo.add(setting+" "+address, func() error {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	return l, nil
}

// The descriptors that are kept from the connections of clients, a part of all: for the metrics port, the state, the log, the parts of the
// process.
const (
	leastSpare = 16
	mostSpare  = 256
)

// mostConnections returns how many connections of clients may be open at once where that many descriptors are; 0 = any number. Three of
// five of those that can be had: a request that is under way needs another one to its provider, but most clients wait or are idle.
func mostConnections(descriptors int) int {
	if descriptors == 0 {
		return 0
	}
	return max(1, 3*(descriptors-min(max(leastSpare, descriptors/8), mostSpare))/5)
}

// spare lets a listener accept so many connections at once only that descriptors are left for the rest: who comes beyond them waits in the
// system's queue, and the probes on the metrics port are answered.
func spare(l net.Listener, descriptors int) net.Listener {
	if n := mostConnections(descriptors); n > 0 {
		return netutil.LimitListener(l, n)
	}
	return l
}

// listen returns what the proxy's listener is made with: the one that was passed is already there.
func (s Service) listen(bind func(network, address string) (net.Listener, error)) func(network, address string) (net.Listener, error) {
	if s.Listener == nil {
		return bind
	}
	return func(string, string) (net.Listener, error) { return s.Listener, nil }
}

// winRefused is Windows' ECONNREFUSED.
const winRefused = syscall.Errno(10061)

// listen opens a real listener. A Unix socket is for its owner only, and a stale one, left by a killed process, is replaced. Stale is
// one whose connections are refused: a listener that is merely busy fails otherwise.
func listen(network, address string) (net.Listener, error) {
	if network != "unix" {
		return net.Listen(network, address)
	}
	switch conn, err := net.Dial(network, address); {
	case err == nil:
		_ = conn.Close()
		return nil, errors.New("another process listens on this socket")
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, winRefused):
		if err := removeSocket(address); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(address, 0o600); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// removeSocket removes what is at path if it is a socket; of anything else net.Listen will say that it is in the way.
func removeSocket(path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return nil
	}
	return os.Remove(path)
}
