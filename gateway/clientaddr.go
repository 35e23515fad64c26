package gateway

import (
	"net"
	"net/netip"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/netaddr"
)

// clientAddress returns the address of the request's client. The first X-Forwarded-For of a peer
// that is not trusted is logged: it is the sign of a proxy that TRUSTED_PROXIES lacks, whose clients
// then share one address in limits and logs. Anybody may send it, so it is logged only once.
func (g *gateway) clientAddress(c *fiber.Ctx) netip.Addr {
	peer := c.Context().RemoteAddr()
	lines := c.Request().Header.PeekAll(fiber.HeaderXForwardedFor)
	if len(lines) == 0 {
		return peerAddr(peer)
	}
	if !netaddr.Contains(g.trusted, peerAddr(peer)) {
		g.untrusted.Do(func() {
			g.log.Warn("X-Forwarded-For is ignored: if the peer is a proxy, add it to TRUSTED_PROXIES", "peer", peerAddr(peer).String())
		})
		return peerAddr(peer)
	}
	forwarded := make([]string, len(lines))
	for i, line := range lines {
		forwarded[i] = string(line)
	}
	return clientAddr(peer, forwarded, g.trusted)
}

// clientAddr returns the address of the client: that of the connection, or, when a trusted proxy holds the connection, the last address in
// X-Forwarded-For, read from right to left, that no trusted proxy has. Whatever stands left of it was written by the client and is not
// believed; neither is anything that is no address. Empty elements of the list are ignored (RFC 9110, section 5.6.1).
func clientAddr(peer net.Addr, forwarded []string, trusted []netip.Prefix) netip.Addr {
	at := peerAddr(peer)
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

// addressSite is what large bodies without a user are accounted to: the address, of IPv6 the /48 that
// a site gets, whose /64 networks would otherwise count as 65,536 senders.
func addressSite(a netip.Addr) string {
	if a.Is6() {
		if p, err := a.Prefix(48); err == nil {
			return p.String()
		}
	}
	return a.String()
}
