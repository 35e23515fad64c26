package gateway

import (
	"net/netip"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/realmgate/realmgate/gateway/internal/edge"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/netaddr"
)

// strictTransport makes browsers use TLS for a year (RFC 6797). It leaves out subdomains of the
// host: realms send the same header themselves, and others need not have TLS.
const strictTransport = "max-age=31536000"

// secure reports whether the client sent its request over TLS, to this gateway or, as far as that
// can be believed, to a proxy.
func (g *gateway) secure(c *fiber.Ctx) bool {
	if g.cfg.TLS.Cert != "" {
		return true
	}
	return len(g.trusted) > 0 && c.Get(fiber.HeaderXForwardedProto) == "https" &&
		netaddr.Contains(g.trusted, netaddr.Peer(c.Context().RemoteAddr()))
}

// isForwarded reports whether a header of a service's answer is passed on: those that pkg/httpx and
// the pages of services set. The name is in fasthttp's spelling.
func isForwarded(name []byte) bool {
	switch string(name) {
	case "Content-Type", "Content-Length", "Transfer-Encoding", "Date", "Cache-Control", "X-Content-Type-Options",
		"Content-Security-Policy", "Referrer-Policy",
		"Allow", "Retry-After", "Www-Authenticate", "Ratelimit-Limit", "Ratelimit-Remaining", "Ratelimit-Reset":
		return true
	}
	return false
}

// stripHeaders removes the headers that are not forwarded from a service's answer.
func stripHeaders(h *fasthttp.ResponseHeader) {
	var others []string // most often none
	for name := range h.All() {
		if !isForwarded(name) {
			others = append(others, string(name))
		}
	}
	for _, name := range others {
		h.Del(name)
	}
}

// setHeaders sets the headers of every answer, whether of a service or of the gateway itself.
func (g *gateway) setHeaders(c *fiber.Ctx, ex *exchange) {
	h := &c.Response().Header
	h.Set(fiber.HeaderXRequestID, httpx.RequestID(c)) // the answer of a service has replaced all headers
	h.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	if len(h.Peek(fiber.HeaderCacheControl)) == 0 {
		h.Set(fiber.HeaderCacheControl, "no-store")
	}
	if g.secure(c) {
		h.Set(fiber.HeaderStrictTransportSecurity, strictTransport)
	}
	setLimitHeaders(c, ex)
	g.cors.setHeaders(c)
	closeUnreadBody(c, ex)
}

// clientAddr returns the address of the request's client. The first X-Forwarded-For of an untrusted
// peer is logged, because it may come from a proxy that TRUSTED_PROXIES lacks, whose clients then
// share one address in limits and logs. Any client can send one, so it is logged only once.
func (g *gateway) clientAddr(c *fiber.Ctx) netip.Addr {
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
