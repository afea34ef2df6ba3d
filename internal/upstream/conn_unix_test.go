//go:build unix

package upstream

import (
	"bytes"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
)

// sockets returns a conn over a real socket and its peer.
func sockets(t *testing.T, strays *atomic.Uint64) (*conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return newConn(near, false, strays), far
}

// awaitArrival waits until something can be read, and leaves it there.
func awaitArrival(t *testing.T, c *conn) {
	t.Helper()
	err := c.raw.socket.Read(func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK)
		return err != syscall.EAGAIN
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The transport's reader is taken to be parked but not yet awake: the bytes lie in the socket, and only the look before the first
// write can find them.
func TestTheFirstWriteLooksIntoTheReceiveBuffer(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		peer    func(net.Conn)
		written string
		strays  uint64
	}{
		{"nothing", nil, "request", 0},
		{"unasked bytes", func(c net.Conn) { _, _ = io.WriteString(c, "unasked") }, "", 1},
		{"the peer's end", func(c net.Conn) { c.(*net.TCPConn).CloseWrite() }, "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var strays atomic.Uint64
			c, far := sockets(t, &strays)
			c.state = claimed
			if tt.peer != nil {
				tt.peer(far)
				awaitArrival(t, c)
			}
			n, err := c.Write([]byte("request"))
			if n != len(tt.written) || (err == nil) != (tt.written != "") || strays.Load() != tt.strays {
				t.Errorf("Write = %d, %v, %d strays; want %d, %d strays", n, err, strays.Load(), len(tt.written), tt.strays)
			}
			c.Close()
			if got, _ := io.ReadAll(far); string(got) != tt.written {
				t.Errorf("the peer read %q; want %q", got, tt.written)
			}
		})
	}
}

func TestAConnReadsASocketToItsEnd(t *testing.T) {
	t.Parallel()
	var strays atomic.Uint64
	c, far := sockets(t, &strays)
	want := bytes.Repeat([]byte("0123456789"), 100_000)
	go func() {
		_, _ = far.Write(want)
		far.Close()
	}()
	if got, err := io.ReadAll(c); !bytes.Equal(got, want) || err != nil {
		t.Errorf("ReadAll = %d bytes, %v; want %d, nil", len(got), err, len(want))
	}
	if got := c.since(usage{}); got.read != int64(len(want)) || !got.ended {
		t.Errorf("since = %+v; want %d bytes, ended", got, len(want))
	}
}

func TestAReadOfASocketEndsWithItsReset(t *testing.T) {
	t.Parallel()
	var strays atomic.Uint64
	c, far := sockets(t, &strays)
	_ = far.(*net.TCPConn).SetLinger(0)
	far.Close()
	if _, err := c.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("Read = %v; want a reset", err)
	}
}
