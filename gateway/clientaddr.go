package gateway

import (
	"net/netip"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/gateway/internal/edge"
	"github.com/realmgate/realmgate/pkg/netaddr"
)

// clientAddress returns the address of the request's client. The first X-Forwarded-For of a peer
// that is not trusted is logged: it is the sign of a proxy that TRUSTED_PROXIES lacks, whose
// clients then share one address in limits and logs. Anybody may send it, so it is logged only
// once.
func (g *gateway) clientAddress(c *fiber.Ctx) netip.Addr {
	conn := c.Context().RemoteAddr()
	peer := netaddr.Peer(conn)
	lines := c.Request().Header.PeekAll(fiber.HeaderXForwardedFor)
	if len(lines) == 0 {
		return peer
	}
	if !netaddr.Contains(g.trusted, peer) {
		g.untrusted.Do(func() {
			g.log.Warn("X-Forwarded-For is ignored: if the peer is a proxy, add it to TRUSTED_PROXIES", "peer", peer.String())
		})
		return peer
	}
	forwarded := make([]string, len(lines))
	for i, line := range lines {
		forwarded[i] = string(line)
	}
	return edge.ClientAddr(conn, forwarded, g.trusted)
}
