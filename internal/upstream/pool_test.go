package upstream

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/hint"
)

// impatient answers one request and closes the connection after a while, idle or with another request on it.
func impatient(served *atomic.Int64, after time.Duration) func(net.Conn) {
	return each(func(c net.Conn, _ *http.Request, _ string) bool {
		served.Add(1)
		_, _ = io.WriteString(c, ok)
		time.AfterFunc(after, func() { c.Close() })
		return true
	})
}

func TestAClosedPooledConnectionIsReplacedWithoutASecondAttempt(t *testing.T) {
	t.Parallel()
	var served atomic.Int64
	bubble(t, Provider{}, impatient(&served, time.Second), func(r *rig) {
		for range 150 {
			a := r.post()
			expectWhole(t, a, "ok")
			a.Close()
			time.Sleep(time.Second + 1)
		}
		if served.Load() != 150 {
			t.Errorf("the upstream served %d requests; want 150", served.Load())
		}
	})
}

// On a real socket the peer's end may be in the receive buffer unread when the request comes.
func TestAPooledConnectionThatEndsAsTheRequestComesIsReplaced(t *testing.T) {
	t.Parallel()
	var served atomic.Int64
	table := newTable(t, Provider{URL: serveSocket(t, each(func(c net.Conn, _ *http.Request, _ string) bool {
		served.Add(1)
		_, _ = io.WriteString(c, ok)
		return false
	}))}, nil)
	defer table.Close()
	var lost atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				a := post(t.Context(), table, "hello")
				if a.Outcome.Class == hint.OK {
					expectWhole(t, a, "ok")
				} else if lost.Add(1); !a.Reused || a.Outcome.Fault != hint.FaultNoResponse {
					t.Errorf("Outcome = %+v, reused %t; want what may be sent again", a.Outcome, a.Reused)
				}
				a.Close()
			}
		})
	}
	wg.Wait()
	if served.Load() != 200-lost.Load() {
		t.Errorf("%d served, %d lost; want 200 together: none was sent twice", served.Load(), lost.Load())
	}
}

func TestARequestThatWasWrittenIsNotReplayedInSecret(t *testing.T) {
	t.Parallel()
	requests := map[string]*Request{
		"POST":                 {Method: "POST", Path: "/x", Body: []byte("hello")},
		"GET":                  {Method: "GET", Path: "/x"},
		"with Idempotency-Key": {Method: "POST", Path: "/x", Header: http.Header{"Idempotency-Key": {"k"}}, Body: []byte("hello")},
	}
	for name, request := range requests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var served atomic.Int64
			second := each(func(c net.Conn, _ *http.Request, _ string) bool {
				if served.Add(1) == 1 {
					_, _ = io.WriteString(c, ok)
					return true
				}
				return false // the second request is read, and not answered
			})
			bubble(t, Provider{}, second, func(r *rig) {
				a := r.attemptFirst(r.t.Context(), request)
				expectWhole(t, a, "ok")
				a.Close()
				a = r.attemptFirst(r.t.Context(), request)
				defer a.Close()
				expectOutcome(t, a, hint.Broken, hint.FaultNoResponse)
				if !a.Written || !a.Reused || served.Load() != 2 {
					t.Errorf("written %t, reused %t, %d served; want true, true, 2", a.Written, a.Reused, served.Load())
				}
			})
		})
	}
}

func TestConnectionsAreRecycled(t *testing.T) {
	t.Parallel()
	bubble(t, Provider{}, replies(ok, false), func(r *rig) {
		start := time.Now()
		var fresh []time.Duration
		for time.Since(start) <= 11*time.Minute {
			a := r.post()
			expectWhole(t, a, "ok")
			a.Close()
			if !a.Reused {
				fresh = append(fresh, time.Since(start))
			}
			time.Sleep(30 * time.Second)
		}
		if len(fresh) != 3 || fresh[1] != maxAge || fresh[2] != 2*maxAge {
			t.Errorf("new connections at %v; want every 5 minutes", fresh)
		}
		time.Sleep(idlePool)
		synctest.Wait()
		if open := r.network.Open(); open != 0 {
			t.Errorf("%d idle connections are open", open)
		}
	})
}

func TestTheTransportReachesItsProviderOnly(t *testing.T) {
	t.Parallel()
	bubble(t, Provider{}, replies(ok, false), func(r *rig) {
		for _, addr := range []string{"evil.test:80", "up.test:81", "up.test.evil.test:80", "127.0.0.1:80"} {
			request, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "http://"+addr, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			if response, err := r.first.transport.RoundTrip(request); err == nil {
				response.Body.Close()
				t.Errorf("%s was reached", addr)
			}
		}
	})
}

// pipeConn is a socket whose reads a test feeds: it makes the order of events on a conn exact.
type pipeConn struct {
	net.Conn
	writes int
}

func (c *pipeConn) Write(p []byte) (int, error) { c.writes++; return c.Conn.Write(p) }

// pipe returns a conn, its peer, and what it wraps.
func pipe(t *testing.T, strays *atomic.Uint64) (*conn, net.Conn, *pipeConn) {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { near.Close(); far.Close() })
	inner := &pipeConn{Conn: near}
	return newConn(inner, false, strays), far, inner
}

func TestAClaimWaitsUntilTheReaderIsParked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var strays atomic.Uint64
		c, far, _ := pipe(t, &strays)
		go io.WriteString(far, "leftover")
		if _, err := c.Read(make([]byte, 64)); err != nil { // the reader now holds bytes
			t.Fatal(err)
		}
		claimed := false
		go func() {
			c.begin(true)
			claimed = true
		}()
		synctest.Wait()
		if claimed {
			t.Error("begin returned while the reader may hold bytes")
		}
		go c.Read(make([]byte, 64))
		synctest.Wait()
		if !claimed {
			t.Error("begin does not return although the reader is parked")
		}
		if strays.Load() != 0 {
			t.Errorf("%d strays; want 0", strays.Load())
		}
		c.Close()
	})
}

func TestAClaimEndsWhenTheReaderCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var strays atomic.Uint64
		c, far, _ := pipe(t, &strays)
		go io.WriteString(far, "leftover")
		if _, err := c.Read(make([]byte, 64)); err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(time.Second)
			c.Close() // as the transport does when it finds the leftover
		}()
		start := time.Now()
		c.begin(true)
		if took := time.Since(start); took != time.Second || strays.Load() != 1 {
			t.Errorf("begin took %v with %d strays; want 1s, 1", took, strays.Load())
		}
	})
}

func TestBytesBetweenClaimAndWriteSpoilTheConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var strays atomic.Uint64
		c, far, inner := pipe(t, &strays)
		read := make(chan error, 1)
		go func() {
			_, err := c.Read(make([]byte, 64))
			read <- err
		}()
		c.begin(true)
		go io.WriteString(far, "unasked")
		if err := <-read; err != errStray {
			t.Errorf("Read = %v; want errStray", err)
		}
		if n, err := c.Write([]byte("request")); n != 0 || err == nil || inner.writes != 0 {
			t.Errorf("Write = %d, %v, %d writes below; want 0, an error, none", n, err, inner.writes)
		}
		if _, err := c.Read(make([]byte, 64)); err != errStray || strays.Load() != 1 {
			t.Errorf("Read again = %v, %d strays; want errStray, 1", err, strays.Load())
		}
	})
}

func TestBytesAfterTheWriteAreTheAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var strays atomic.Uint64
		c, far, _ := pipe(t, &strays)
		go func() {
			b := make([]byte, 64)
			_, _ = far.Read(b)
			_, _ = io.WriteString(far, "answer")
		}()
		answer := make(chan string, 1)
		go func() {
			b := make([]byte, 64)
			n, _ := c.Read(b)
			answer <- string(b[:n])
		}()
		before := c.begin(true)
		if _, err := c.Write([]byte("request")); err != nil {
			t.Fatal(err)
		}
		if got := <-answer; got != "answer" {
			t.Errorf("Read = %q; want the answer", got)
		}
		if got := c.since(before); got.read != 6 || got.written != 7 || got.ended {
			t.Errorf("since = %+v; want 6 read, 7 written, not ended", got)
		}
		c.end(before.turn + 1) // of another turn: no effect
		if c.state != busy {
			t.Errorf("state = %d after the end of another turn; want busy", c.state)
		}
		c.end(before.turn)
		if c.state != resting {
			t.Errorf("state = %d after the end; want resting", c.state)
		}
	})
}

// numb is a socket that cannot be written to, and of whose end the reader hears nothing.
type numb struct{ net.Conn }

func (numb) Write([]byte) (int, error) { return 0, syscall.EPIPE }

func TestAFailedWriteIsReportedByTheReaderUnlessNothingHasLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var strays atomic.Uint64
		near, _ := net.Pipe()
		defer near.Close()
		c := newConn(numb{near}, false, &strays)
		start := time.Now()
		if n, err := c.Write([]byte("request")); n != 7 || err != nil {
			t.Errorf("Write = %d, %v; want 7, nil: an answer may be there already", n, err)
		}
		if n, err := c.Write([]byte("more")); n != 4 || err != nil || c.since(usage{}).written != 0 {
			t.Errorf("Write again = %d, %v; want 4, nil, and nothing counted", n, err)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil || time.Since(start) != answerGrace {
			t.Errorf("Read = %v after %v; want an error after %v", err, time.Since(start), answerGrace)
		}

		pooled := newConn(numb{near}, false, &strays)
		pooled.state = claimed
		if n, err := pooled.Write([]byte("request")); n != 0 || err == nil {
			t.Errorf("first Write on a pooled connection = %d, %v; want 0, an error: another may take the request", n, err)
		}
	})
}

func TestAConnectErrorGivesUpTheOldConnections(t *testing.T) {
	t.Parallel()
	bubble(t, Provider{}, replies(streamHead+event+lastChunk, false), func(r *rig) {
		stream := r.post()
		defer stream.Close()
		r.first.transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		}
		refused := r.post()
		defer refused.Close()
		expectOutcome(t, refused, hint.Broken, hint.FaultConnect)
		expectWhole(t, stream, "data: x\n\n")
		synctest.Wait()
		if open := r.network.Open(); open != 0 {
			t.Errorf("%d old connections are kept", open)
		}
	})
}

func TestAddressIsWhatTheTransportDials(t *testing.T) {
	t.Parallel()
	tests := []struct{ url, want string }{
		{"http://a.test", "a.test:80"},
		{"https://a.test", "a.test:443"},
		{"https://a.test:8443/v1", "a.test:8443"},
		{"http://[::1]:8000", "[::1]:8000"},
		{"socks5://p.test", "p.test:1080"},
	}
	for _, tt := range tests {
		if got := address(parseURL(t, tt.url)); got != tt.want {
			t.Errorf("address(%s) = %q; want %q", tt.url, got, tt.want)
		}
	}
}
