package gateway

import (
	"net"
	"net/netip"
	"strings"
)

// clientAddr returns the address of the client: that of the connection, or, when a trusted proxy holds the connection, the last address in
// X-Forwarded-For, read from right to left, that no trusted proxy has. Whatever stands left of it was written by the client and is not
// believed; neither is anything that is no address.
func clientAddr(peer net.Addr, forwarded []string, trusted []netip.Prefix) netip.Addr {
	at := peerAddr(peer)
	if len(trusted) == 0 || !contains(trusted, at) {
		return at
	}
	for i := len(forwarded) - 1; i >= 0; i-- {
		for rest, more := forwarded[i], true; more; {
			var entry string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, entry = rest[:comma], rest[comma+1:]
			} else {
				entry, more = rest, false
			}
			next, ok := forwardedAddr(strings.Trim(entry, " \t"))
			if !ok {
				return at
			}
			if at = next; !contains(trusted, at) {
				return at
			}
		}
	}
	return at
}

func peerAddr(peer net.Addr) netip.Addr {
	if tcp, ok := peer.(*net.TCPAddr); ok {
		a, _ := netip.AddrFromSlice(tcp.IP)
		return a.Unmap()
	}
	return netip.Addr{}
}

// forwardedAddr reads one entry: an address, with or without a port.
func forwardedAddr(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		withPort, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		a = withPort.Addr()
	}
	return a.Unmap().WithZone(""), true
}

func contains(prefixes []netip.Prefix, a netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// addressKey is what requests without a user are counted by: the address, of IPv6 the /64 that one customer has.
func addressKey(a netip.Addr) string {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr().String()
		}
	}
	return a.String()
}
