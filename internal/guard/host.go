package guard

import (
	"net/netip"
	"slices"
	"strings"
)

// hosts are the names and addresses that the sidecar answers to.
type hosts struct {
	names     []string
	addrs     []netip.Addr
	everyAddr bool
}

func newHosts(allowed []string, everyAddr bool) hosts {
	h := hosts{everyAddr: everyAddr}
	for _, entry := range allowed {
		name, addr, ok := parseHost(strings.TrimSpace(entry))
		switch {
		case ok && addr.IsValid():
			h.addrs = append(h.addrs, addr)
		case ok:
			h.names = append(h.names, name)
		}
	}
	return h
}

// allow reports whether a Host header names the sidecar: a loopback name (RFC 6761: localhost and all below it) or address, or one
// that is allowed besides.
func (h *hosts) allow(host string) bool {
	name, addr, ok := parseHost(host)
	switch {
	case !ok:
		return false
	case addr.IsValid():
		return addr.IsLoopback() || h.everyAddr || slices.Contains(h.addrs, addr)
	}
	const localhost = "localhost"
	under := len(name) - len("."+localhost)
	return strings.EqualFold(name, localhost) || under > 0 && strings.EqualFold(name[under:], "."+localhost) ||
		slices.ContainsFunc(h.names, func(allowed string) bool { return strings.EqualFold(allowed, name) })
}

// parseHost reads a Host header, a domain name or IP address with or without a port, and gives the one or the other. It is
// stricter than RFC 9110, so that no two readers can take one value for two things: a name consists of letters, digits, hyphens
// and underscores in labels of 1 to 63 bytes, without a dot at the end; what a browser would take for an IPv4 address (the last
// label is a number, decimal or hexadecimal) must be one in its usual form. An IPv4 address inside an IPv6 one is given as IPv4.
func parseHost(host string) (name string, addr netip.Addr, ok bool) {
	name, port, bracketed := host, "", strings.HasPrefix(host, "[")
	if bracketed {
		name, port, ok = strings.Cut(host[1:], "]")
		if !ok || port != "" && port[0] != ':' {
			return "", addr, false
		}
		port = strings.TrimPrefix(port, ":")
	} else {
		name, port, _ = strings.Cut(host, ":")
	}
	if !isPort(port) {
		return "", addr, false
	}
	if bracketed || endsInNumber(name) {
		addr, err := netip.ParseAddr(name)
		ok := err == nil && addr.Zone() == "" && addr.Is6() == bracketed
		return "", addr.Unmap(), ok
	}
	return name, addr, isName(name)
}

// isPort reports whether a port has the form of one; none is good as well.
func isPort(port string) bool {
	return len(port) <= len("65535") && strings.Trim(port, "0123456789") == ""
}

// endsInNumber is the rule by which browsers tell an IPv4 address from a name (WHATWG URL, "ends in a number").
func endsInNumber(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if len(last) > 1 && last[0] == '0' && last[1]|0x20 == 'x' {
		return true
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// isName reports whether s is a domain name in the strict form that parseHost describes.
func isName(s string) bool {
	const longestName, longestLabel = 253, 63
	label := 0
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c|0x20 && c|0x20 <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
			label++
		case c == '.' && label > 0:
			label = 0
		default:
			return false
		}
		if label > longestLabel {
			return false
		}
	}
	return label > 0 && len(s) <= longestName
}
