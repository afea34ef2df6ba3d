package guard

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestParseHost(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		host string
		name string // the name or address; empty = refused
	}{
		{"example.com", "example.com"},
		{"Example.COM:443", "Example.COM"},
		{"a_b-c.example", "a_b-c.example"},
		{"xn--bcher-kva.example", "xn--bcher-kva.example"},
		{"1.example", "1.example"},
		{"example:", "example"},
		{strings.Repeat("a", 63) + ".example", strings.Repeat("a", 63) + ".example"},
		{strings.Repeat("a", 64) + ".example", ""},
		{strings.Repeat("a.", 126) + "a", strings.Repeat("a.", 126) + "a"},
		{strings.Repeat("a.", 127) + "a", ""},
		{"10.0.0.1", "10.0.0.1"},
		{"10.0.0.1:80", "10.0.0.1"},
		{"[2001:db8::7]", "2001:db8::7"},
		{"[2001:db8::7]:80", "2001:db8::7"},
		{"[::ffff:10.0.0.1]", "10.0.0.1"},

		{"", ""},
		{":80", ""},
		{".", ""},
		{"a..b", ""},
		{".a", ""},
		{"a.", ""},
		{"10.0.0.1.", ""},
		{"10.0.0", ""},
		{"10.0.0.256", ""},
		{"10.0.0.01", ""},
		{"1.2.3.4.5", ""},
		{"a.7", ""},
		{"0x7f.1", ""},
		{"0x7f000001", ""},
		{"a.0X7F", ""},
		{"bücher.example", ""},
		{"localhoſt", ""}, // folds to localhost in Unicode
		{"a b", ""},
		{" a", ""},
		{"a/b", ""},
		{"a#@b", ""},
		{"a@b", ""},
		{"a%41", ""},
		{"a,b", ""},
		{"a\x00", ""},
		{"a:b", ""},
		{"a:-1", ""},
		{"a:100000", ""},
		{"a:1:2", ""},
		{"::1", ""},
		{"[::1", ""},
		{"::1]", ""},
		{"[::1]80", ""},
		{"[::1]:80:90", ""},
		{"[]", ""},
		{"[a]", ""},
		{"[10.0.0.1]", ""},
		{"[fe80::1%eth0]", ""},
		{"[[::1]]", ""},
	} {
		name, addr, ok := parseHost(tt.host)
		if ok && addr.IsValid() {
			name = addr.String()
		}
		if !ok {
			name = ""
		}
		if name != tt.name {
			t.Errorf("parseHost(%q) = %q, %v; want %q", tt.host, name, ok, tt.name)
		}
	}
}

// FuzzHostParser holds the parser against net/url, which reads an authority in a way of its own: whatever passes, both must take
// for the same loopback host.
func FuzzHostParser(f *testing.F) {
	for _, seed := range []string{
		"localhost", "LocalHost:9190", "a.localhost", "127.0.0.1:1", "[::1]:1", "127.0.0.1.nip.io", "localhost#@evil", "localhost.",
		"0x7f000001", "[::ffff:127.0.0.1]", "[fe80::1%25lo]", "localhoſt", "user@localhost", "localhost:1/..", "127.1", ":1", "",
	} {
		f.Add(seed)
	}
	plain := newHosts(nil, false)
	f.Fuzz(func(t *testing.T, host string) {
		if name, addr, ok := parseHost(host); ok && (name == "") != addr.IsValid() {
			t.Errorf("parseHost(%q) = %q, %v: want exactly one of the two", host, name, addr)
		}
		if !plain.allow(host) {
			return
		}
		u, err := url.Parse("http://" + host + "/v1")
		if err != nil {
			t.Fatalf("%q is allowed, but net/url refuses it: %v", host, err)
		}
		name := strings.ToLower(u.Hostname())
		addr, err := netip.ParseAddr(name)
		loopback := name == "localhost" || strings.HasSuffix(name, ".localhost") || err == nil && addr.Unmap().IsLoopback()
		if !loopback || u.Path != "/v1" || u.User != nil || strings.ContainsFunc(host, func(c rune) bool { return c <= ' ' || c > '~' }) {
			t.Errorf("%q is allowed, but net/url reads %+v", host, u)
		}
	})
}
