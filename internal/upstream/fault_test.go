package upstream

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/hint"
	"nimsidecar/internal/memnet"
)

func TestAnUpstreamThatIsNotReachedGetsNothingAndSaysWhy(t *testing.T) {
	t.Parallel()
	fails := func(err error) func(context.Context, string, string) (net.Conn, error) {
		return func(context.Context, string, string) (net.Conn, error) { return nil, err }
	}
	meets := func(handle func(net.Conn)) func(context.Context, string, string) (net.Conn, error) {
		return func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			go func() {
				defer far.Close()
				handle(far)
			}()
			return near, nil
		}
	}
	tests := []struct {
		name  string
		url   string
		dial  func(context.Context, string, string) (net.Conn, error)
		fault hint.Fault
		after time.Duration
	}{
		{"refused", "http://up.test", fails(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}), hint.FaultConnect, 0},
		{"refused by a dialer with its own words", "https://up.test", fails(errors.New("no")), hint.FaultConnect, 0},
		{"no such name", "http://up.test", fails(&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}}), hint.FaultDNS, 0},
		{"silence", "https://up.test", func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, hint.FaultConnect, dialTimeout},
		{"silence in the handshake", "https://up.test", meets(hangs), hint.FaultTLS, dialTimeout},
		{"an end in the handshake", "https://up.test", meets(func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }), hint.FaultTLS, 0},
		{"plain HTTP where TLS is expected", "https://up.test", meets(func(c net.Conn) {
			go io.Copy(io.Discard, c)
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
		}), hint.FaultTLS, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				table := newTable(t, Provider{URL: parseURL(t, tt.url)}, tt.dial)
				defer table.Close()
				start := time.Now()
				a := post(t.Context(), table, "hello")
				defer a.Close()
				expectOutcome(t, a, hint.Broken, tt.fault)
				if took := time.Since(start); took != tt.after || a.Written || a.Reused {
					t.Errorf("after %v, written %t, reused %t; want %v, false, false", took, a.Written, a.Reused, tt.after)
				}
				if err := table.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), string(tt.fault)) {
					t.Errorf("Ping = %v; want an error that names the fault", err)
				}
			})
		})
	}
}

func TestSentIsNotCalledForWhatWasNotWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		dial := func(context.Context, string, string) (net.Conn, error) { return numb{near}, nil }
		table := newTable(t, Provider{URL: parseURL(t, "http://up.test")}, dial)
		defer table.Close()
		a := table.attemptFirst(t.Context(), &Request{Method: "POST", Path: "/x", Body: []byte("x"), Sent: func() { t.Error("Sent was called") }})
		defer a.Close()
		expectOutcome(t, a, hint.Broken, hint.FaultNoResponse)
		if a.Written {
			t.Error("Written = true; want false")
		}
	})
}

func TestAfterARefusalTheUpstreamIsFoundAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := new(memnet.Network)
		table := newTable(t, Provider{URL: parseURL(t, "http://"+host)}, network.DialContext)
		defer table.Close()
		a := post(t.Context(), table, "hello")
		expectOutcome(t, a, hint.Broken, hint.FaultConnect)
		a.Close()
		l, err := network.Listen(host)
		if err != nil {
			t.Fatal(err)
		}
		stop := serve(l, replies(ok, true))
		defer stop()
		a = post(t.Context(), table, "hello")
		expectWhole(t, a, "ok")
		a.Close()
	})
}

// secure runs test before a TLS server in a bubble, HTTP/2 if muxed.
func secure(t *testing.T, muxed bool, handler http.HandlerFunc, test func(r *rig, connections *atomic.Int64)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, network: new(memnet.Network)}
		l, err := r.network.Listen("example.com:443")
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewUnstartedServer(handler)
		server.Listener.Close()
		server.Listener = l
		server.EnableHTTP2 = muxed
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		var connections atomic.Int64
		server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				connections.Add(1)
			}
		}
		server.StartTLS()
		defer server.Close()
		r.Table = newTable(t, Provider{URL: parseURL(t, "https://example.com")}, r.network.DialContext)
		roots := x509.NewCertPool()
		roots.AddCert(server.Certificate())
		r.first.transport.TLSClientConfig.RootCAs = roots
		defer r.Close()
		test(r, &connections)
	})
}

func TestAForeignCertificateIsATLSFault(t *testing.T) {
	t.Parallel()
	secure(t, true, func(http.ResponseWriter, *http.Request) {}, func(r *rig, _ *atomic.Int64) {
		r.first.transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		a := r.post()
		defer a.Close()
		expectOutcome(t, a, hint.Broken, hint.FaultTLS)
	})
}

func TestTLSConnectionsAreUsedAgainAndRetire(t *testing.T) {
	t.Parallel()
	for _, muxed := range []bool{false, true} {
		echo := func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }
		secure(t, muxed, echo, func(r *rig, connections *atomic.Int64) {
			for minute := range 11 {
				for range 3 {
					var sent atomic.Int64
					a := r.attemptFirst(r.t.Context(), &Request{Method: "POST", Path: "/x", Body: []byte("hello"), Sent: func() { sent.Add(1) }})
					expectWhole(t, a, "hello")
					a.Close()
					synctest.Wait()
					if a.attempt.muxed != muxed || !a.Written || sent.Load() != 1 {
						t.Errorf("HTTP/2 %t, written %t, sent %d times; want %t, true, 1", a.attempt.muxed, a.Written, sent.Load(), muxed)
					}
				}
				// The HTTP/2 connection takes one more request when its time is over.
				if want := int64(1 + minute/5); minute%5 != 0 && connections.Load() != want {
					t.Errorf("HTTP/2 %t, minute %d: %d connections; want %d", muxed, minute, connections.Load(), want)
				}
				time.Sleep(time.Minute)
			}
			if strays := r.Unsolicited(); strays != 0 {
				t.Errorf("Unsolicited() = %d; want 0", strays)
			}
		})
	}
}

func TestAResetStreamIsNotTakenForADeadConnection(t *testing.T) {
	t.Parallel()
	secure(t, true, func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > 2 {
			_, _ = io.WriteString(w, "data: x\n\n")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		if r.ContentLength > 1 {
			panic(http.ErrAbortHandler)
		}
	}, func(r *rig, _ *atomic.Int64) {
		first := post(r.t.Context(), r.Table, "1")
		first.Close()
		a := post(r.t.Context(), r.Table, "22")
		defer a.Close()
		expectOutcome(t, a, hint.Broken, hint.FaultNoResponse)
		if !a.Written || a.Reused {
			t.Errorf("written %t, reused %t; want true, false: the upstream may have run it", a.Written, a.Reused)
		}
		cut := post(r.t.Context(), r.Table, "333")
		defer cut.Close()
		expectBroken(t, cut, "data: x\n\n", hint.FaultReset)
	})
}

func TestAStreamOfHTTP2EndsWithItsClientAndAtItsTimeouts(t *testing.T) {
	t.Parallel()
	gone := make(chan time.Time, 3)
	secure(t, true, func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > 1 {
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
		gone <- time.Now()
	}, func(r *rig, _ *atomic.Int64) {
		r.first.headLimit, r.first.idleLimit = 7*time.Second, 5*time.Second
		tests := []struct {
			body  string
			leave time.Duration
			class hint.Class
			fault hint.Fault
			after time.Duration
		}{
			{"1", 3 * time.Second, hint.Cancelled, "", 3 * time.Second},
			{"1", time.Hour, hint.Broken, hint.FaultHeadTimeout, 7 * time.Second},
			{"22", time.Hour, hint.OK, hint.FaultIdle, 5 * time.Second},
		}
		for _, tt := range tests {
			ctx, cancel := context.WithTimeout(r.t.Context(), tt.leave)
			start := time.Now()
			a := post(ctx, r.Table, tt.body)
			if a.Outcome.Class != tt.class {
				t.Errorf("class %v; want %v", a.Outcome.Class, tt.class)
			}
			expectBroken(t, a, "", tt.fault)
			a.Close()
			if took := (<-gone).Sub(start); took != tt.after {
				t.Errorf("the upstream saw the end after %v; want %v", took, tt.after)
			}
			cancel()
		}
	})
}
