package upstream

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"time"
)

const (
	// dialTimeout bounds connecting and, once more, the TLS handshake: an upstream that does not answer must be known as
	// unreachable while a request still has time for another attempt.
	dialTimeout = 4 * time.Second
	// idlePool is how long an unused connection is kept, and maxIdle how many: enough for every stream of a busy sidecar.
	idlePool = 90 * time.Second
	maxIdle  = 512
	// maxAge is how long a connection is given to new requests, so that a changed address of the upstream is followed.
	maxAge = 5 * time.Minute
	// maxHead is the largest head of an answer; net/http's default is 10 MiB.
	maxHead = 256 << 10
	// bufferSize is that of each of a connection's two buffers, half of net/http's default: an open stream keeps both. One holds the head
	// of an answer and a small body, or some events, the other a short request; what is larger goes past them.
	bufferSize = 2 << 10
	// pingAfter and pingTimeout find an HTTP/2 connection that has died without a word.
	pingAfter   = 30 * time.Second
	pingTimeout = 15 * time.Second
)

// newTransport returns a transport that can reach the base URL's host only. It is used by RoundTrip directly, so that redirects
// are answers like any other: following one would take the key along.
func newTransport(base *url.URL, d dialer) *http.Transport {
	d.allowed = []string{address(base)}
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: base}) // never for a loopback host
	if err != nil {
		proxy = nil
	}
	if proxy != nil {
		d.allowed = append(d.allowed, address(proxy))
	}
	if d.dial == nil {
		d.dial = new(net.Dialer).DialContext
	}
	d.tls = base.Scheme == "https"
	return &http.Transport{
		Proxy:                  http.ProxyURL(proxy),
		DialContext:            d.dialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    dialTimeout,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
		ReadBufferSize:         bufferSize,
		WriteBufferSize:        bufferSize,
		DisableCompression:     true, // compressed answers pass as they are, and none is asked for that the client did not
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        idlePool,
		MaxResponseHeaderBytes: maxHead,
	}
}

// address is the host:port that net/http dials for a URL.
func address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// dialer makes the connections of one transport.
type dialer struct {
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	allowed []string
	tls     bool
	strays  *atomic.Uint64
}

// dialContext refuses every address but the allowed ones: whatever a request says, our key goes nowhere else.
func (d dialer) dialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if !slices.Contains(d.allowed, addr) {
		return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("upstream: %s is not this provider's address", addr)}
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c, err := d.dial(ctx, network, addr)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err} // whatever the dialer calls it
	}
	return newConn(c, d.tls, d.strays), nil
}
