package memnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

const addr = "127.0.0.1:9190"

// pair returns both ends of a connection over n and closes them with the test.
func pair(t *testing.T, n *Network) (client, server *Conn) {
	t.Helper()
	l, err := n.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := n.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		s.Close()
		l.Close()
		if got := n.Open(); got != 0 {
			t.Errorf("Open() = %d after everything was closed; want 0", got)
		}
	})
	return c.(*Conn), s.(*Conn)
}

func mustWrite(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if n, err := c.Write([]byte(text)); n != len(text) || err != nil {
		t.Fatalf("Write(%q) = %d, %v; want %d, nil", text, n, err, len(text))
	}
}

func TestBytesArriveInOrderInBothDirections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := pair(t, new(Network))
		mustWrite(t, client, "ask")
		mustWrite(t, client, "ing")
		mustWrite(t, server, "answer")
		for _, end := range []struct {
			conn net.Conn
			want string
		}{{server, "asking"}, {client, "answer"}} {
			got := make([]byte, len(end.want))
			if _, err := io.ReadFull(end.conn, got); err != nil || string(got) != end.want {
				t.Errorf("ReadFull = %q, %v; want %q, nil", got, err, end.want)
			}
		}
	})
}

// TestBufferIsBounded measures back-pressure: a writer runs ahead of its reader by exactly the buffer.
func TestBufferIsBounded(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name         string
		buffer, want int
	}{
		{"default", 0, 64 << 10},
		{"chosen", 10, 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, server := pair(t, &Network{Buffer: test.buffer})
				client.SetWriteDeadline(time.Now().Add(30 * time.Second))
				began := time.Now()
				n, err := client.Write(make([]byte, test.want+1))
				if n != test.want || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("Write to a peer that never reads = %d, %v; want %d, a passed deadline", n, err, test.want)
				}
				if took := time.Since(began); took != 30*time.Second {
					t.Errorf("Write took %v; want 30s", took)
				}
				if n, err := server.Read(make([]byte, 1)); n != 1 || err != nil {
					t.Errorf("Read = %d, %v; want 1, nil", n, err)
				}
				client.SetWriteDeadline(time.Time{})
				if n, err := client.Write([]byte{1}); n != 1 || err != nil {
					t.Errorf("Write after one byte was read = %d, %v; want 1, nil", n, err)
				}
			})
		})
	}
}

func TestBlockedWriterGoesOnWhenThePeerReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := pair(t, &Network{Buffer: 7})
		sent := bytes.Repeat([]byte("0123456789"), 1000)
		var writer sync.WaitGroup
		writer.Go(func() {
			if n, err := client.Write(sent); n != len(sent) || err != nil {
				t.Errorf("Write = %d, %v; want %d, nil", n, err, len(sent))
			}
			client.Close()
		})
		got, err := io.ReadAll(server)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("ReadAll = %d bytes, %v; want the %d bytes sent, nil", len(got), err, len(sent))
		}
		writer.Wait()
	})
}

func TestDeadlines(t *testing.T) {
	t.Parallel()
	read := func(c *Conn) error { _, err := c.Read(make([]byte, 1)); return err }
	write := func(c *Conn) error { _, err := c.Write([]byte("12")); return err } // the buffer holds 1
	for _, test := range []struct {
		name string
		set  func(c *Conn, at time.Time) error
		call func(*Conn) error
	}{
		{"read", (*Conn).SetReadDeadline, read},
		{"write", (*Conn).SetWriteDeadline, write},
		{"both, read", (*Conn).SetDeadline, read},
		{"both, write", (*Conn).SetDeadline, write},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, _ := pair(t, &Network{Buffer: 1})
				began := time.Now()
				test.set(client, began.Add(time.Second))
				test.set(client, began.Add(time.Minute)) // the later call counts
				err := test.call(client)
				if took := time.Since(began); took != time.Minute {
					t.Errorf("the call took %v; want 1m", took)
				}
				var timeout net.Error
				if !errors.As(err, &timeout) || !timeout.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("the call gave %v; want a time-out that is os.ErrDeadlineExceeded", err)
				}
			})
		})
	}
}

// TestDeadlineSetLaterEndsACallThatWaits is what net/http's server does to its background read.
func TestDeadlineSetLaterEndsACallThatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := pair(t, new(Network))
		var reader sync.WaitGroup
		reader.Go(func() {
			if _, err := client.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Read = %v; want os.ErrDeadlineExceeded", err)
			}
		})
		synctest.Wait()
		client.SetReadDeadline(time.Unix(1, 0))
		reader.Wait()
		mustWrite(t, server, "x")
		client.SetReadDeadline(time.Time{})
		if n, err := client.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("Read after the deadline was removed = %d, %v; want 1, nil", n, err)
		}
	})
}

// ends names what a call on a connection may give, so that the table below reads like a sentence.
func ends(err error) string {
	for _, known := range []struct {
		err  error
		name string
	}{
		{nil, "ok"},
		{io.EOF, "EOF"},
		{net.ErrClosed, "closed"},
		{syscall.EPIPE, "broken pipe"},
		{syscall.ECONNRESET, "reset"},
	} {
		if errors.Is(err, known.err) {
			return known.name
		}
	}
	return err.Error()
}

func TestHowAConnectionEnds(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		do   func(c, peer *Conn)
		// what further calls give: reads and writes of the end that acted, and of its peer
		read, write, peerRead, peerWrite string
	}{
		{"close", func(c, _ *Conn) { c.Close() }, "closed", "closed", "EOF", "broken pipe"},
		{"close twice", func(c, _ *Conn) { c.Close(); c.Close() }, "closed", "closed", "EOF", "broken pipe"},
		{"close after write", func(c, _ *Conn) { c.Write([]byte("x")); c.Close() }, "closed", "closed", "ok then EOF", "broken pipe"},
		{"close with bytes unread", func(c, peer *Conn) { peer.Write([]byte("x")); c.Close() }, "closed", "closed", "reset", "broken pipe"},
		{"both close", func(c, peer *Conn) { c.Close(); peer.Close() }, "closed", "closed", "closed", "closed"},
		{"reset", func(c, _ *Conn) { c.Reset() }, "closed", "closed", "reset", "reset"},
		{"reset loses what was written", func(c, _ *Conn) { c.Write([]byte("x")); c.Reset() }, "closed", "closed", "reset", "reset"},
		{"reset after close", func(c, _ *Conn) { c.Close(); c.Reset() }, "closed", "closed", "EOF", "broken pipe"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				conn, peer := pair(t, new(Network))
				test.do(conn, peer)
				reads := func(c *Conn) string {
					n, err := c.Read(make([]byte, 10))
					if n == 0 {
						return ends(err)
					}
					_, next := c.Read(make([]byte, 10))
					return ends(err) + " then " + ends(next)
				}
				writes := func(c *Conn) string { _, err := c.Write([]byte("y")); return ends(err) }
				for _, call := range []struct{ name, got, want string }{
					{"Read", reads(conn), test.read},
					{"Write", writes(conn), test.write},
					{"the peer's Read", reads(peer), test.peerRead},
					{"the peer's Write", writes(peer), test.peerWrite},
				} {
					if call.got != call.want {
						t.Errorf("%s gives %s; want %s", call.name, call.got, call.want)
					}
				}
			})
		})
	}
}

// TestWaitingCallsEndWithTheConnection blocks one call at each end, then ends the connection.
func TestWaitingCallsEndWithTheConnection(t *testing.T) {
	t.Parallel()
	reading := func(c *Conn) error { _, err := c.Read(make([]byte, 1)); return err }
	writing := func(c *Conn) error { _, err := c.Write([]byte("12")); return err } // the buffer holds 1
	closes := func(c *Conn) { c.Close() }
	for _, test := range []struct {
		name      string
		end       func(*Conn)
		call      func(*Conn) error
		own, peer string
	}{
		{"close, reading", closes, reading, "closed", "EOF"},
		{"close, writing", closes, writing, "closed", "broken pipe"},
		{"reset, reading", (*Conn).Reset, reading, "closed", "reset"},
		{"reset, writing", (*Conn).Reset, writing, "closed", "reset"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				conn, peer := pair(t, &Network{Buffer: 1})
				var calls sync.WaitGroup
				calls.Go(func() {
					if got := ends(test.call(conn)); got != test.own {
						t.Errorf("the waiting call gives %s; want %s", got, test.own)
					}
				})
				calls.Go(func() {
					if got := ends(test.call(peer)); got != test.peer {
						t.Errorf("the peer's waiting call gives %s; want %s", got, test.peer)
					}
				})
				synctest.Wait()
				test.end(conn)
				calls.Wait()
			})
		})
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := new(Network)
		l, err := n.Listen("upstream.test:443")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		client, err := n.DialContext(t.Context(), "tcp", "upstream.test:443")
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		if got := l.Addr().String(); got != "upstream.test:443" {
			t.Errorf("Addr() = %s; want upstream.test:443", got)
		}
		if got := client.RemoteAddr(); got != l.Addr() || got.Network() != "tcp" {
			t.Errorf("RemoteAddr() = %s %s; want tcp %s", got.Network(), got, l.Addr())
		}
		if host, port, err := net.SplitHostPort(client.LocalAddr().String()); host != "127.0.0.1" || port == "0" || err != nil {
			t.Errorf("LocalAddr() = %s; want a port of 127.0.0.1", client.LocalAddr())
		}
		if server.RemoteAddr() != client.LocalAddr() || server.LocalAddr() != client.RemoteAddr() {
			t.Errorf("the server sees %s to %s, the client %s to %s; want the mirror image",
				server.RemoteAddr(), server.LocalAddr(), client.LocalAddr(), client.RemoteAddr())
		}
	})
}

func TestListen(t *testing.T) {
	t.Parallel()
	n := new(Network)
	first, err := n.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Listen(addr); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("Listen(%s) twice = %v; want EADDRINUSE", addr, err)
	}
	if _, err := n.Listen("no port"); err == nil {
		t.Error(`Listen("no port") = nil; want an error`)
	}
	first.Close()
	if err := first.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Close() twice = %v; want net.ErrClosed", err)
	}
	again, err := n.Listen(addr)
	if err != nil {
		t.Errorf("Listen(%s) after Close = %v; want nil", addr, err)
	}
	again.Close()
	a, _ := n.Listen("127.0.0.1:0")
	b, _ := n.Listen("127.0.0.1:0")
	if a.Addr() == b.Addr() {
		t.Errorf("two listeners on port 0 both got %s; want different ports", a.Addr())
	}
}

func TestDialIsRefusedWhereNobodyListens(t *testing.T) {
	t.Parallel()
	n := new(Network)
	if _, err := n.DialContext(t.Context(), "tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("DialContext before Listen = %v; want ECONNREFUSED", err)
	}
	l, err := n.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.DialContext(ended, "tcp", addr); !errors.Is(err, context.Canceled) {
		t.Errorf("DialContext with an ended context = %v; want context.Canceled", err)
	}
	l.Close()
	if _, err := n.DialContext(t.Context(), "tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("DialContext after Close = %v; want ECONNREFUSED", err)
	}
	if got := n.Open(); got != 0 {
		t.Errorf("Open() = %d after dials that failed; want 0", got)
	}
}

func TestClosedListenerEndsAcceptAndResetsItsBacklog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := new(Network)
		l, err := n.Listen(addr)
		if err != nil {
			t.Fatal(err)
		}
		waiting, err := n.DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := n.Open(); got != 1 {
			t.Errorf("Open() = %d with one connection in the backlog; want 1", got)
		}
		l.Close()
		if _, err := waiting.Read(make([]byte, 1)); ends(err) != "reset" {
			t.Errorf("Read of a connection that was never accepted gives %s; want reset", ends(err))
		}
		waiting.Close()
		if got := n.Open(); got != 0 {
			t.Errorf("Open() = %d; want 0", got)
		}

		l, err = n.Listen(addr)
		if err != nil {
			t.Fatal(err)
		}
		var accept sync.WaitGroup
		accept.Go(func() {
			if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Accept = %v; want net.ErrClosed", err)
			}
		})
		synctest.Wait()
		l.Close()
		accept.Wait()
	})
}

// TestHTTPInVirtualTime is what the package is for: a real server and client, and an hour that takes no time.
func TestHTTPInVirtualTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := new(Network)
		l, err := n.Listen(addr)
		if err != nil {
			t.Fatal(err)
		}
		gone := make(chan time.Duration, 1)
		began := time.Now()
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for range 60 {
				select {
				case <-time.After(time.Minute):
					fmt.Fprint(w, ".")
					http.NewResponseController(w).Flush()
				case <-r.Context().Done():
					gone <- time.Since(began)
					return
				}
			}
		})}
		var serving sync.WaitGroup
		serving.Go(func() { server.Serve(l) })
		transport := &http.Transport{DialContext: n.DialContext}
		client := &http.Client{Transport: transport}

		response, err := client.Get("http://" + addr)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if took := time.Since(began); len(body) != 60 || err != nil || took != time.Hour {
			t.Errorf("ReadAll = %d bytes, %v after %v; want 60, nil after 1h", len(body), err, took)
		}

		began = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
		defer cancel()
		request, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr, nil)
		if response, err = client.Do(request); err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if at := <-gone; at != 100*time.Second {
			t.Errorf("the handler saw its client go after %v; want 1m40s", at)
		}
		transport.CloseIdleConnections()
		server.Close()
		serving.Wait()
		if got := n.Open(); got != 0 {
			t.Errorf("Open() = %d after client and server have stopped; want 0", got)
		}
	})
}

// BenchmarkTransfer moves 32 KiB a turn through a connection whose reader runs beside it. Budget: 0 allocations.
func BenchmarkTransfer(b *testing.B) {
	n := new(Network)
	l, _ := n.Listen(addr)
	client, err := n.DialContext(b.Context(), "tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	server, _ := l.Accept()
	var reader sync.WaitGroup
	reader.Go(func() { io.Copy(io.Discard, server) })
	block := make([]byte, 32<<10)
	b.ReportAllocs()
	b.SetBytes(int64(len(block)))
	for b.Loop() {
		client.Write(block)
	}
	client.Close()
	reader.Wait()
}
