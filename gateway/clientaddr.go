package gateway

import (
	"net/netip"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/gateway/internal/edge"
	"github.com/realmgate/realmgate/pkg/netaddr"
)

// clientAddress returns the address of the request's client. The first X-Forwarded-For of a peer
// that is not trusted is logged: it is the sign of a proxy that TRUSTED_PROXIES lacks, whose clients
// then share one address in limits and logs. Anybody may send it, so it is logged only once.
func (g *gateway) clientAddress(c *fiber.Ctx) netip.Addr {
	peer := c.Context().RemoteAddr()
	lines := c.Request().Header.PeekAll(fiber.HeaderXForwardedFor)
	if len(lines) == 0 {
		return edge.PeerAddr(peer)
	}
	if !netaddr.Contains(g.trusted, edge.PeerAddr(peer)) {
		g.untrusted.Do(func() {
			g.log.Warn("X-Forwarded-For is ignored: if the peer is a proxy, add it to TRUSTED_PROXIES", "peer", edge.PeerAddr(peer).String())
		})
		return edge.PeerAddr(peer)
	}
	forwarded := make([]string, len(lines))
	for i, line := range lines {
		forwarded[i] = string(line)
	}
	return edge.ClientAddr(peer, forwarded, g.trusted)
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
