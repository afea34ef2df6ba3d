package faults

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// authority signs the certificates of upstreams.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // its certificate, for SSL_CERT_FILE
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, file: filepath.Join(t.TempDir(), "ca.pem")}
	a.key, a.cert = a.make(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	if err := os.WriteFile(a.file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// make makes a certificate that by signs; nil signs itself.
func (a *authority) make(template *x509.Certificate, by *authority) (*ecdsa.PrivateKey, *x509.Certificate) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber, template.Subject = big.NewInt(1), pkix.Name{CommonName: "faults"}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	template.NotBefore = template.NotAfter.Add(-24 * time.Hour)
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return key, cert
}

// TestATransportThatCannotBeTrustedGetsNothing is threat 12: towards an upstream whose certificate is not good, or whose TLS is old, not one
// byte of a request leaves, the key least of all.
func TestATransportThatCannotBeTrustedGetsNothing(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("needs SSL_CERT_FILE")
	}
	home := []net.IP{net.IPv4(127, 0, 0, 1)}
	for _, test := range []struct {
		name     string
		template x509.Certificate
		itself   bool // signed by itself
		newest   uint16
		good     bool
	}{
		{name: "a good certificate", template: x509.Certificate{IPAddresses: home}, good: true},
		{name: "TLS 1.2", template: x509.Certificate{IPAddresses: home}, newest: tls.VersionTLS12, good: true},
		{name: "TLS 1.1", template: x509.Certificate{IPAddresses: home}, newest: tls.VersionTLS11},
		{name: "expired", template: x509.Certificate{IPAddresses: home, NotAfter: time.Now().Add(-time.Hour)}},
		{name: "another's name", template: x509.Certificate{DNSNames: []string{"evil.example"}}},
		{name: "signed by itself", template: x509.Certificate{IPAddresses: home}, itself: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ca := newAuthority(t)
			signer := ca
			if test.itself {
				signer = nil
			}
			key, cert := ca.make(&test.template, signer)
			u := serveOn(t, tls.NewListener(listenTCP(t), &tls.Config{
				MinVersion: tls.VersionTLS10, MaxVersion: test.newest, Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}},
			}), func(x *turn) { x.ok() })
			s := start(t, nil, unpaced, "SIDECAR_UPSTREAM_URL=https://"+u.listener.Addr().String()+"/v1", "SSL_CERT_FILE="+ca.file, "SSL_CERT_DIR="+t.TempDir())
			got := dial(t, s.proxy).ask(chat())
			if test.good {
				if got.status != 200 {
					t.Errorf("answer: %s; want 200", got)
				}
				return
			}
			if got.status != 502 || got.reason() != "upstream_unreachable" {
				t.Errorf("answer: %s; want 502 upstream_unreachable", got)
			}
			u.wantSeen(0)
			if v := s.gauge(`sidecar_upstream_errors_total{provider="upstream",status_code="tls"}`); v < 1 {
				t.Errorf("upstream errors of kind tls = %v; want 1 at least", v)
			}
		})
	}
}

// frame is a frame of HTTP/2.
func frame(kind, flags byte, stream uint32, payload []byte) []byte {
	n := len(payload)
	head := []byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags, byte(stream >> 24), byte(stream >> 16), byte(stream >> 8), byte(stream)}
	return append(head, payload...)
}

// The frames that are needed, and what opens a connection.
const (
	headersFrame, resetFrame, settingsFrame, continuationFrame = 1, 3, 4, 9
	endStream, endHeaders                                      = 1, 4
	preface                                                    = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
)

// h2get is the head of GET /v1/models in HPACK.
var h2get = append([]byte{0x82, 0x86, 0x44, 10}, "/v1/models\x41\x09127.0.0.1"...)

// TestHTTP2FloodsCostNothing is row 32: streams that are opened and reset at once, and a head that does not end, from raw clients.
func TestHTTP2FloodsCostNothing(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) {
		pause(20 * time.Millisecond)
		x.ok()
	})
	s := start(t, u, unpaced, "SIDECAR_H2C=true", "SIDECAR_LOG_LEVEL=info")
	if got := dial(t, s.proxy).ask(chat()); got.status != 200 {
		t.Fatalf("the first request: %s", got)
	}
	routines := s.gauge("go_goroutines")
	open := func() *client {
		c := dial(t, s.proxy)
		c.send(preface + string(frame(settingsFrame, 0, 0, nil)))
		return c
	}
	one := open() // so that it is known to be spoken rightly
	one.send(string(frame(headersFrame, endStream|endHeaders, 1, h2get)))
	u.wantSeen(2)
	_ = one.Close()
	flood := func(c *client) {
		for i := range uint32(5000) {
			var b bytes.Buffer
			b.Write(frame(headersFrame, endStream|endHeaders, 2*i+1, h2get))
			b.Write(frame(resetFrame, 0, 2*i+1, []byte{0, 0, 0, 8}))
			if _, err := c.Write(b.Bytes()); err != nil {
				return
			}
		}
	}
	endless := func(c *client) {
		c.send(string(frame(headersFrame, endStream, 1, h2get)))
		for range 2000 {
			if _, err := c.Write(frame(continuationFrame, 0, 1, append([]byte{0, 1, 'x', 0x7f, 0x81, 0x7e}, bytes.Repeat([]byte("y"), 16000)...))); err != nil {
				return
			}
		}
	}
	done := make(chan *client, 4)
	for _, attack := range []func(*client){flood, endless, flood, endless} {
		c := open()
		go func() { attack(c); done <- c }()
	}
	began := time.Now()
	if got := dial(t, s.proxy).ask(chat()); got.status != 200 || time.Since(began) > soon {
		t.Errorf("another client meanwhile: %s after %s; want 200 soon", got, time.Since(began))
	}
	for range 4 {
		c := <-done
		c.abort()
	}
	if !until(patience, func() bool {
		return s.gauge("go_goroutines") <= routines+15 && s.gauge("sidecar_open_connections") <= 3
	}) {
		t.Errorf("%v goroutines are left; there were %v before", s.gauge("go_goroutines"), routines)
	}
	if most := s.memory("VmHWM"); most > 96<<10 {
		t.Errorf("the program took %d KiB", most)
	}
}
