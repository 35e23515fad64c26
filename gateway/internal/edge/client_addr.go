package edge

import (
	"net"
	"net/netip"
	"strings"

	"github.com/realmgate/realmgate/pkg/netaddr"
)

// ClientAddr returns the address of the client: that of the connection, or, when a trusted proxy
// holds the connection, the last address in X-Forwarded-For, read from right to left, that no
// trusted proxy has. Whatever stands left of it was written by the client and is not believed;
// neither is anything that is no address. Empty elements of the list are ignored (RFC 9110, section
// 5.6.1).
func ClientAddr(peer net.Addr, forwarded []string, trusted []netip.Prefix) netip.Addr {
	at := netaddr.Peer(peer)
	if len(trusted) == 0 || !netaddr.Contains(trusted, at) {
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
			if entry = strings.Trim(entry, " \t"); entry == "" {
				continue
			}
			next, ok := forwardedAddr(entry)
			if !ok {
				return at
			}
			if at = next; !netaddr.Contains(trusted, at) {
				return at
			}
		}
	}
	return at
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
