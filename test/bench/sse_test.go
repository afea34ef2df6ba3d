package main

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// cutting closes every tenth connection it accepts after some bytes of its first answer.
type cutting struct {
	net.Listener
	accepted atomic.Int64
}

func (c *cutting) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil && c.accepted.Add(1)%10 == 0 {
		return &cut{conn}, nil
	}
	return conn, err
}

type cut struct{ net.Conn }

func (c *cut) Write(p []byte) (int, error) {
	n, _ := c.Conn.Write(p[:len(p)/2])
	c.Close()
	return n, net.ErrClosed
}

// TestShortCountsEachLostStreamOnce has busyConns connections, of which every tenth is cut, and so are some of those that
// replace them: as many streams are lost as connections were cut, and the rest arrive.
func TestShortCountsEachLostStreamOnce(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &cutting{Listener: inner}
	var serving sync.WaitGroup
	serving.Go(func() { (&upstream{}).run(l) })
	var lost losses
	err = short(l.Addr().String(), 200, &lost)
	l.Close()
	serving.Wait()
	if got, want := lost.n.Load(), l.accepted.Load()/10; got != want || got < busyConns/10 || err != nil {
		t.Errorf("short = %v and counts %d lost streams; want nil and %d", err, got, want)
	}
	if why := lost.why.Load(); why != "EOF" && why != "unexpected EOF" {
		t.Errorf("the last stream was lost by %v; want the end of its connection", why)
	}
}
