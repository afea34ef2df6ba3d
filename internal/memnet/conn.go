package memnet

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Conn is one end of a connection, made by DialContext and Accept. It keeps the contract of [net.Conn]: reads and
// writes may run concurrently with each other and with every other method, and a deadline ends calls that are already
// waiting. There is no half-close.
type Conn struct {
	local, remote Addr
	in, out       *half
	ended         func() // called once, when this end closes
	closing       atomic.Bool
}

// connect returns the two ends of a new connection. gone is called once, when both ends are closed.
func connect(client, server Addr, buffer int, gone func()) (c, s *Conn) {
	var ends atomic.Int32
	ended := func() {
		if ends.Add(1) == 2 {
			gone()
		}
	}
	up, down := newHalf(buffer), newHalf(buffer)
	return &Conn{local: client, remote: server, in: down, out: up, ended: ended},
		&Conn{local: server, remote: client, in: up, out: down, ended: ended}
}

// Read waits for at least one byte. What the peer wrote before its Close can still be read; then Read gives io.EOF.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	if err != nil && err != io.EOF {
		err = opError("read", c.local, string(c.remote), err)
	}
	return n, err
}

// Write waits until all of p lies in the buffer. Once the peer has closed it gives syscall.EPIPE.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	if err != nil {
		err = opError("write", c.local, string(c.remote), err)
	}
	return n, err
}

// Close ends both directions. The peer reads what was written before and then io.EOF, or, as with TCP, ECONNRESET if
// this end leaves bytes unread.
func (c *Conn) Close() error {
	if c.closing.Swap(true) {
		return opError("close", c.local, string(c.remote), net.ErrClosed)
	}
	end := io.EOF
	if c.in.shutReader(syscall.EPIPE) {
		end = syscall.ECONNRESET
	}
	c.out.shutWriter(end)
	c.ended()
	return nil
}

// Reset breaks the connection as an RST does: bytes under way in either direction are lost, and from now on the
// peer's reads and writes give syscall.ECONNRESET. This end is closed. On a closed connection it does nothing.
func (c *Conn) Reset() {
	if c.closing.Swap(true) {
		return
	}
	c.in.shutReader(syscall.ECONNRESET)
	c.out.shutWriter(syscall.ECONNRESET)
	c.out.drop()
	c.ended()
}

// LocalAddr returns the Addr of this end.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the Addr of the peer.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines; the zero time removes them.
func (c *Conn) SetDeadline(t time.Time) error {
	c.in.reader.set(t)
	c.out.writer.set(t)
	return nil
}

// SetReadDeadline makes reads at and after t give os.ErrDeadlineExceeded; the zero time removes the deadline.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.in.reader.set(t)
	return nil
}

// SetWriteDeadline makes writes at and after t give os.ErrDeadlineExceeded; the zero time removes the deadline.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.out.writer.set(t)
	return nil
}

// half is one direction: a bounded buffer between the end that writes and the end that reads.
type half struct {
	limit int

	mu             sync.Mutex // guards the following
	changed        *sync.Cond // broadcast after every change
	buf            bytes.Buffer
	reader, writer side
}

// side is what one end of a half is told: nothing while both live, then its error, and its deadline.
type side struct {
	half     *half
	err      error
	deadline time.Time
	wake     *time.Timer
}

func newHalf(limit int) *half {
	h := &half{limit: limit}
	h.changed = sync.NewCond(&h.mu)
	h.reader.half, h.writer.half = h, h
	return h
}

func (h *half) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	for {
		switch {
		case h.reader.err == net.ErrClosed:
			return 0, net.ErrClosed
		case h.reader.expiredLocked():
			return 0, os.ErrDeadlineExceeded
		case h.buf.Len() > 0:
			h.changed.Broadcast()
			return h.buf.Read(p)
		case h.reader.err != nil:
			return 0, h.reader.err
		}
		h.changed.Wait()
	}
}

func (h *half) write(p []byte) (n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.writer.err != nil:
			return n, h.writer.err
		case n == len(p):
			return n, nil
		case h.writer.expiredLocked():
			return n, os.ErrDeadlineExceeded
		}
		if room := h.limit - h.buf.Len(); room > 0 {
			m, _ := h.buf.Write(p[n:min(len(p), n+room)]) // a bytes.Buffer never fails
			n += m
			h.changed.Broadcast()
			continue
		}
		h.changed.Wait()
	}
}

// shutReader closes the reading end and tells the writer why it may write no more. It reports whether bytes were left
// unread; they are dropped.
func (h *half) shutReader(why error) (unread bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	unread = h.buf.Len() > 0
	h.buf.Reset()
	h.shutLocked(&h.reader, &h.writer, why)
	return unread
}

// shutWriter closes the writing end and tells the reader how the bytes end.
func (h *half) shutWriter(how error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.shutLocked(&h.writer, &h.reader, how)
}

func (h *half) shutLocked(own, peer *side, told error) {
	own.err = net.ErrClosed
	if peer.err == nil {
		peer.err = told
	}
	if own.wake != nil {
		own.wake.Stop()
	}
	h.changed.Broadcast()
}

// drop loses the bytes that are under way.
func (h *half) drop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.buf.Reset()
}

func (s *side) expiredLocked() bool {
	return !s.deadline.IsZero() && !time.Now().Before(s.deadline)
}

// set replaces the deadline. The timer only wakes those who wait; they compare the time themselves, so that a timer
// that fires late, after its deadline was moved, does no harm.
func (s *side) set(t time.Time) {
	h := s.half
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.wake != nil {
		s.wake.Stop()
		s.wake = nil
	}
	s.deadline = t
	if !t.IsZero() {
		s.wake = time.AfterFunc(time.Until(t), func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.changed.Broadcast()
		})
	}
	h.changed.Broadcast()
}
