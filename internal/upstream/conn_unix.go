//go:build unix

package upstream

import (
	"io"
	"os"
	"syscall"
)

// rawReader reads a socket with the conn's lock held while bytes are taken out of the receive buffer, and looks into that buffer.
// The calls under the lock are non-blocking ones; waiting is the runtime's, without the lock. The zero value is not ready.
type rawReader struct {
	socket syscall.RawConn
	c      *conn
	take   func(fd uintptr) bool // bound once, so that a read allocates nothing
	look   func(fd uintptr)

	// Owned by the one Read at a time.
	into []byte
	n    int
	err  error

	// Guarded by c.mu.
	one   [1]byte
	seen  int
	ended bool
}

func (r *rawReader) bind(c *conn, socket syscall.RawConn) {
	r.c, r.socket = c, socket
	r.take, r.look = r.takeBytes, r.lookInside
}

func (r *rawReader) ready() bool { return r.socket != nil }

// read is Read of the socket.
func (r *rawReader) read(p []byte) (int, error) {
	r.into = p
	err := r.socket.Read(r.take)
	r.into = nil
	if err == nil {
		return r.n, r.err
	}
	r.c.mu.Lock() // closed, or past its deadline: takeBytes had nothing
	defer r.c.mu.Unlock()
	return r.c.arrivedLocked(0, err)
}

// takeBytes reads once; false means that nothing is there and the runtime must wait.
func (r *rawReader) takeBytes(fd uintptr) bool {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	n, err := syscall.Read(int(fd), r.into)
	for err == syscall.EINTR {
		n, err = syscall.Read(int(fd), r.into)
	}
	switch {
	case err == syscall.EAGAIN:
		return false
	case err != nil:
		n, err = 0, os.NewSyscallError("read", err)
	case n == 0 && len(r.into) > 0:
		err = io.EOF
	}
	r.n, r.err = r.c.arrivedLocked(n, err)
	return true
}

// peek reports whether bytes wait in the receive buffer, or else whether the connection has ended. c.mu must be held.
func (r *rawReader) peek() (n int, ended bool) {
	r.seen, r.ended = 0, true
	_ = r.socket.Control(r.look) // fails only when closed: ended
	return r.seen, r.ended
}

func (r *rawReader) lookInside(fd uintptr) {
	n, _, err := syscall.Recvfrom(int(fd), r.one[:], syscall.MSG_PEEK)
	r.seen, r.ended = max(n, 0), err != syscall.EAGAIN && err != syscall.EINTR
}
