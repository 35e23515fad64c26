package gateway

import (
	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/netaddr"
)

// keepTLS makes browsers use TLS for a year (RFC 6797). It leaves the host's subdomains out: the
// realms among them say the same themselves, and others need not have TLS.
const keepTLS = "max-age=31536000"

// secure reports whether the client sent its request over TLS, to this gateway or, as far as that
// can be believed, to a proxy.
func (g *gateway) secure(c *fiber.Ctx) bool {
	if g.cfg.TLS.Cert != "" {
		return true
	}
	return len(g.trusted) > 0 && c.Get(fiber.HeaderXForwardedProto) == "https" &&
		netaddr.Contains(g.trusted, netaddr.Peer(c.Context().RemoteAddr()))
}

// passes reports whether a service's header of this name, as fasthttp writes names, goes to the
// client: those that pkg/httpx and the services' pages set.
func passes(name []byte) bool {
	switch string(name) {
	case "Content-Type", "Content-Length", "Transfer-Encoding", "Date", "Cache-Control", "X-Content-Type-Options",
		"Content-Security-Policy", "Referrer-Policy",
		"Allow", "Retry-After", "Www-Authenticate", "Ratelimit-Limit", "Ratelimit-Remaining", "Ratelimit-Reset":
		return true
	}
	return false
}

// onlyOurs takes every other header off a service's answer.
func onlyOurs(h *fasthttp.ResponseHeader) {
	var strange []string // there is none, most often
	for name := range h.All() {
		if !passes(name) {
			strange = append(strange, string(name))
		}
	}
	for _, name := range strange {
		h.Del(name)
	}
}

// decorate puts on every answer what the gateway owes it, whoever wrote it.
func (g *gateway) decorate(c *fiber.Ctx, cl *call) {
	h := &c.Response().Header
	h.Set(fiber.HeaderXRequestID, httpx.RequestID(c)) // a service's answer has replaced all headers
	h.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	if len(h.Peek(fiber.HeaderCacheControl)) == 0 {
		h.Set(fiber.HeaderCacheControl, "no-store")
	}
	if g.secure(c) {
		h.Set(fiber.HeaderStrictTransportSecurity, keepTLS)
	}
	limitHeaders(c, cl)
	g.cors.setHeaders(c)
	leaveBody(c, cl)
}
