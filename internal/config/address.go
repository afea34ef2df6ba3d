package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Address is where a listener listens. The zero value is any port on all interfaces.
type Address struct {
	Path string // of a Unix socket; "" is TCP
	Host string // "" is all interfaces
	Port int    // 0 is any
}

var errAddress = errors.New("want host:port, :port or unix:/path")

// ParseAddress reads host:port, :port or unix:/path.
func ParseAddress(s string) (Address, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if path == "" {
			return Address{}, errAddress
		}
		return Address{Path: path}, nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || strings.ContainsAny(host, " /") {
		return Address{}, errAddress
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return Address{}, fmt.Errorf("port %q is not 0 to 65535: %w", clip(port), errAddress)
	}
	return Address{Host: strings.ToLower(host), Port: int(n)}, nil
}

// Loopback reports whether only this machine can reach the address. A name other than localhost may mean any machine.
func (a Address) Loopback() bool {
	return a.Path != "" || a.Host == "localhost" || a.ip().IsLoopback()
}

// Dial returns where this machine reaches the listener, as net.Dial takes it: all interfaces include loopback.
func (a Address) Dial() (network, address string) {
	host := a.Host
	switch {
	case a.Path != "":
		return "unix", a.Path
	case a.Host == "" || a.ip() == netip.IPv4Unspecified():
		host = "127.0.0.1"
	case a.everywhere():
		host = "::1"
	}
	return "tcp", net.JoinHostPort(host, strconv.Itoa(a.Port))
}

// everywhere reports whether the address is on all interfaces.
func (a Address) everywhere() bool {
	return a.Path == "" && (a.Host == "" || a.ip().IsUnspecified())
}

// ip returns the address if it is a literal one; else the zero Addr, which is in no range.
func (a Address) ip() netip.Addr {
	ip, err := netip.ParseAddr(a.Host)
	if err != nil {
		return netip.Addr{}
	}
	return ip.Unmap()
}

// clashes reports whether two listeners cannot have these addresses at once, as far as can be told without asking the system.
func (a Address) clashes(b Address) bool {
	if a.Path != "" || b.Path != "" {
		return a.Path == b.Path
	}
	return a.Port == b.Port && a.Port != 0 && (a.Host == b.Host || a.everywhere() || b.everywhere())
}
