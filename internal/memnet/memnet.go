// Package memnet is an in-memory network, so that servers run inside a synctest bubble.
//
// A real socket blocks in the kernel, where testing/synctest cannot see that a goroutine is idle, so virtual time
// would stand still. Everything here waits on a [sync.Cond], which the bubble understands. Unlike [net.Pipe], each
// direction has a bounded buffer, as a socket has: a writer goes on until the buffer is full, so back-pressure and
// write deadlines can be tested exactly. Bytes travel in no time at all and never get lost or reordered.
//
// Make the [Network] and use it inside one bubble; outside of bubbles it works in real time.
package memnet

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
)

// DefaultBuffer is how many bytes one direction of a connection holds when Network.Buffer is zero.
const DefaultBuffer = 64 << 10

// firstPort is where automatically chosen ports begin: the start of the dynamic range (RFC 6335).
const firstPort = 49152

// Network is a set of listeners and the connections between them. The zero value is an empty network, ready to use;
// it must not be copied. All methods may be called concurrently.
type Network struct {
	// Buffer is how many bytes each direction of a connection holds before its writer blocks; 0 means DefaultBuffer.
	// It is read when a connection is made and must not be changed while others dial.
	Buffer int

	mu        sync.Mutex // guards the following
	listeners map[string]*listener
	lastPort  int
	open      int
}

// Addr is an address of the in-memory network, in the form host:port. The host may be any text: there is no DNS.
type Addr string

// Network returns "tcp", the network that memnet stands in for.
func (Addr) Network() string { return "tcp" }

// String returns the address as it was given to Listen or DialContext.
func (a Addr) String() string { return string(a) }

// Listen announces addr, a host:port. Port 0 is replaced by a free one, to be read from the listener's Addr. An
// address that is taken gives syscall.EADDRINUSE until its listener is closed.
func (n *Network) Listen(addr string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, opError("listen", "", addr, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if port == "0" {
		addr = n.freeAddrLocked(host)
	}
	if n.listeners[addr] != nil {
		return nil, opError("listen", "", addr, syscall.EADDRINUSE)
	}
	if n.listeners == nil {
		n.listeners = make(map[string]*listener)
	}
	l := &listener{network: n, addr: Addr(addr), arrived: sync.NewCond(&n.mu)}
	n.listeners[addr] = l
	return l, nil
}

// DialContext connects to the listener at addr, at once: the connection waits in the listener's backlog, which has
// no bound, until it is accepted. It gives syscall.ECONNREFUSED when nobody listens there, and the context's error
// when ctx has already ended. The network is not looked at, so the method fits http.Transport.DialContext. What it
// returns is a *Conn, whose local address is a new port of 127.0.0.1.
func (n *Network) DialContext(ctx context.Context, _, addr string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, opError("dial", "", addr, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.listeners[addr]
	if l == nil {
		return nil, opError("dial", "", addr, syscall.ECONNREFUSED)
	}
	n.open++
	client, server := connect(Addr(n.freeAddrLocked("127.0.0.1")), l.addr, n.bufferSize(), n.closed)
	l.backlog = append(l.backlog, server)
	l.arrived.Signal()
	return client, nil
}

// Open returns the number of connections of which at least one end has not been closed yet, the unaccepted ones
// included. A test that ends with a number other than 0 has found a leak.
func (n *Network) Open() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.open
}

func (n *Network) closed() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open--
}

func (n *Network) bufferSize() int {
	if n.Buffer > 0 {
		return n.Buffer
	}
	return DefaultBuffer
}

// freeAddrLocked returns host with a port that was never used before on this network, by listener or dialler.
func (n *Network) freeAddrLocked(host string) string {
	n.lastPort = max(n.lastPort+1, firstPort)
	return net.JoinHostPort(host, fmt.Sprint(n.lastPort))
}

// listener is one announced address. Its fields below addr are guarded by network.mu.
type listener struct {
	network *Network
	addr    Addr

	arrived *sync.Cond // signalled on each dial and on Close
	backlog []*Conn
	done    bool
}

// Accept waits for the next connection; after Close it gives net.ErrClosed.
func (l *listener) Accept() (net.Conn, error) {
	l.network.mu.Lock()
	defer l.network.mu.Unlock()
	for len(l.backlog) == 0 && !l.done {
		l.arrived.Wait()
	}
	if l.done {
		return nil, opError("accept", "", string(l.addr), net.ErrClosed)
	}
	c := l.backlog[0]
	l.backlog = l.backlog[1:]
	return c, nil
}

// Close frees the address, ends every Accept and resets what was not yet accepted, as a kernel does.
func (l *listener) Close() error {
	l.network.mu.Lock()
	if l.done {
		l.network.mu.Unlock()
		return opError("close", "", string(l.addr), net.ErrClosed)
	}
	l.done = true
	delete(l.network.listeners, string(l.addr))
	orphans := l.backlog
	l.backlog = nil
	l.arrived.Broadcast()
	l.network.mu.Unlock()
	for _, c := range orphans { // outside the lock, which a closing connection takes
		c.Reset()
	}
	return nil
}

// Addr returns the announced address, with the port that was chosen.
func (l *listener) Addr() net.Addr { return l.addr }

func opError(op string, local Addr, remote string, err error) error {
	e := &net.OpError{Op: op, Net: "tcp", Addr: Addr(remote), Err: err}
	if local != "" {
		e.Source = local
	}
	return e
}
