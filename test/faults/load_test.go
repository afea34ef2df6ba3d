package faults

import (
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// loader is a client among many, which may be broken off: unlike a client it fails no test, and keeps nothing of what it received.
type loader struct {
	client
	number   int64
	received int
}

// loaders counts them.
var loaders atomic.Int64

// connect dials; nil when nobody listens. The connection ends when done is closed.
func connect(address string, done <-chan struct{}) *loader {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return nil
	}
	c := &loader{number: loaders.Add(1)}
	c.wire = newWire(conn)
	go func() {
		select {
		case <-done:
			_ = c.Close()
		case <-c.gone:
		}
	}()
	return c
}

// ask sends a request and reads its answer; the zero one when there is none.
func (c *loader) ask(text string) answer {
	c.received = 0
	c.send(text)
	method, _, _ := strings.Cut(text, " ")
	got := c.receive(method)
	c.mu.Lock()
	c.received = got.status + len(c.data)
	c.mu.Unlock()
	return got
}

func itoa(n int) string { return strconv.Itoa(n) }
