package upstream

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// errStray is what the transport gets from a connection on which something came that nobody had asked for.
var errStray = errors.New("upstream: unasked bytes on an idle connection")

// errRetired is what it gets from a connection that is not to be used again.
var errRetired = errors.New("upstream: the connection is not used any more")

// answerGrace is how long after a failed write an answer may still be read from the connection: what had come before the peer
// closed lies in the receive buffer.
const answerGrace = time.Second

// connState is what bytes from the peer mean.
type connState uint8

const (
	busy    connState = iota // they are an answer, or frames of HTTP/2
	resting                  // the last answer has been read whole: nothing may come
	claimed                  // given to a request of which nothing has been written yet: nothing may come
	spoiled                  // something came: no request may use the connection
)

// conn is a connection under an http.Transport. It closes a hole of net/http: on HTTP/1 whatever the peer sends is taken for the
// answer to the next request, so an unasked second answer reaches another client (golang/go#31259). It guarantees that a byte which
// had reached this host before the first byte of a request was written is never read as that request's answer:
//
//   - claim, called before a request is put on a pooled connection, waits until the transport's reader is parked: back in Read,
//     with nothing left in its own buffer. Leftovers of the last answer are found by that reader before it parks, and end the
//     connection;
//   - from then until the request's first byte is written, bytes that are read spoil the connection;
//   - just before that first byte is written, the socket's receive buffer is looked into, under the same lock under which the
//     reader takes bytes out of it. So nothing can be on its way from the buffer to the reader meanwhile.
//
// A spoiled connection takes no byte, so the transport sends the request on another one. The last look also finds a connection
// that the peer has closed. What reaches this host later cannot be told from an answer by anybody.
//
// All methods may be called concurrently, but one Read and one Write at a time, as the transport does.
type conn struct {
	net.Conn
	strays *atomic.Uint64
	tls    bool // bytes may be the peer's alerts
	born   time.Time
	raw    rawReader // of the socket; zero in an in-memory network

	// inBody says that the read comes from whoever reads the body of the running answer. No request can be given the connection
	// meanwhile, so that read needs no look under the lock.
	inBody atomic.Bool

	mu      sync.Mutex // guards the following; held for no call that can block
	moved   sync.Cond  // broadcast when parked or closed becomes true
	state   connState
	parked  bool // the transport's reader is in Read
	holding bool // the last Read gave bytes: while not parked, the reader may have some left
	closed  bool
	deaf    bool // a write failed: further ones are dropped
	counted bool // as a stray
	carried usage
	flushes *attempt // the attempt whose request ends with the next Write
	muxed   bool     // HTTP/2
	known   bool     // muxed has been looked up
}

func newConn(c net.Conn, overTLS bool, strays *atomic.Uint64) *conn {
	w := &conn{Conn: c, tls: overTLS, strays: strays, born: time.Now()}
	w.moved.L = &w.mu
	if s, ok := c.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			w.raw.bind(w, raw)
		}
	}
	return w
}

// unwrap finds the conn below what a transport shows of a connection, and whether it speaks HTTP/2.
func unwrap(c net.Conn) (w *conn, muxed bool) {
	protocol, _ := c.(*tls.Conn)
	for {
		switch layer := c.(type) {
		case *conn:
			return layer, layer.isMuxed(protocol)
		case interface{ NetConn() net.Conn }:
			c = layer.NetConn()
		default:
			return nil, false
		}
	}
}

// isMuxed asks the TLS layer once, since the answer costs an allocation.
func (c *conn) isMuxed(protocol *tls.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known {
		c.known = true
		c.muxed = protocol != nil && protocol.ConnectionState().NegotiatedProtocol == "h2"
	}
	return c.muxed
}

// usage is what a connection had carried at some moment.
type usage struct {
	turn    uint64 // which request has it
	read    int64
	written int64 // a write that is under way counts
	ended   bool  // a read has failed
}

// begin gives a connection to its next request and returns what it has carried before. A pooled HTTP/1 connection is claimed; one
// that is too old is closed instead, whereupon the transport takes another.
func (c *conn) begin(pooled bool) usage {
	c.mu.Lock()
	defer c.mu.Unlock()
	if pooled && !c.muxed {
		c.claimLocked()
	}
	c.carried.turn++
	c.flushes = nil
	return c.carried
}

func (c *conn) claimLocked() {
	for !c.parked && !c.closed {
		c.moved.Wait() // short: the reader is on its way back to Read, or to Close
	}
	switch {
	case c.closed:
		c.strayLocked(c.holding)
	case c.state == spoiled:
	case time.Since(c.born) >= maxAge:
		c.state = spoiled
	default:
		c.state = claimed
	}
}

// end tells that the answer to the request of that turn has been read whole.
func (c *conn) end(turn uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.carried.turn != turn || c.muxed {
		return
	}
	c.state = resting
	c.strayLocked(c.closed && c.holding)
}

// strayLocked counts the connection once, if something stray is there.
func (c *conn) strayLocked(there bool) {
	if there && !c.tls && !c.counted {
		c.counted = true
		c.strays.Add(1)
	}
}

// since returns what has been carried since begin returned u.
func (c *conn) since(u usage) usage {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.carried
	now.read -= u.read
	now.written -= u.written
	return now
}

// Read parks the transport's reader until bytes come.
func (c *conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	if c.state == spoiled {
		c.mu.Unlock()
		return 0, errStray
	}
	c.parked = true
	c.moved.Broadcast()
	c.mu.Unlock()
	if c.raw.ready() && !c.inBody.Load() {
		return c.raw.read(p)
	}
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.arrivedLocked(n, err)
}

// arrivedLocked judges what a read has taken from the socket.
func (c *conn) arrivedLocked(n int, err error) (int, error) {
	c.parked = false
	c.holding = n > 0
	c.carried.read += int64(n)
	c.carried.ended = err != nil
	if n > 0 && c.state != busy {
		c.strayLocked(c.state != spoiled)
		c.state = spoiled
		return 0, errStray
	}
	return n, err
}

// Write sends bytes of a request. On HTTP/1 a write that fails inside a request is reported as if it had gone well, and later ones
// are dropped: an upstream may have answered and closed without reading the rest, and a write error would make the transport throw
// that answer away. The reader then finds the answer, or how the connection ended, within answerGrace.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	first := c.state == claimed || c.state == resting
	err := c.openLocked(first)
	if err != nil || c.deaf {
		c.mu.Unlock()
		if err != nil {
			return 0, err
		}
		return len(p), nil
	}
	c.carried.written += int64(len(p))
	c.mu.Unlock()

	n, err := c.Conn.Write(p)

	c.mu.Lock()
	c.carried.written -= int64(len(p) - n)
	var sent *attempt
	switch {
	case err == nil:
		sent, c.flushes = c.flushes, nil
	case !c.closed && !c.muxed && !(first && n == 0):
		c.deaf = true
		_ = c.Conn.SetReadDeadline(time.Now().Add(answerGrace))
		n, err = len(p), nil
	}
	c.mu.Unlock()
	if sent != nil {
		sent.sent()
	}
	return n, err
}

// openLocked lets a request begin. first tells that it is one on a pooled connection.
func (c *conn) openLocked(first bool) error {
	switch {
	case c.state == spoiled:
		return errRetired
	case !first:
		return nil
	case c.deaf:
		return errRetired
	}
	if c.raw.ready() {
		if n, ended := c.raw.peek(); n > 0 || ended {
			c.strayLocked(n > 0)
			c.state = spoiled
			return errRetired
		}
	}
	c.state = busy
	return nil
}

// endsWith tells that a's request has left the transport's hands but for what the next Write sends.
func (c *conn) endsWith(a *attempt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flushes = a
}

// isDeaf reports whether a write has failed.
func (c *conn) isDeaf() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.deaf
}

// Close closes the socket.
func (c *conn) Close() error {
	c.mu.Lock()
	c.closed = true
	c.strayLocked(c.state == resting && c.holding && !c.parked)
	c.moved.Broadcast()
	c.mu.Unlock()
	return c.Conn.Close()
}
