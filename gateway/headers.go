package gateway

import (
	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/realmgate/realmgate/pkg/httpx"
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
	return c.Get(fiber.HeaderXForwardedProto) == "https" && g.proxies.Trusted(c.Context().RemoteAddr())
}

// isForwarded reports whether a header of a service's answer is passed on: those that pkg/httpx and
// the pages of services set. The name is in fasthttp's spelling.
func isForwarded(name []byte) bool {
	switch string(name) {
	case "Etag", "Last-Modified", "Content-Type", "Content-Length", "Transfer-Encoding", "Date", "Cache-Control",
		"X-Content-Type-Options",
		"Content-Security-Policy", "Referrer-Policy", "Content-Disposition",
		"Allow", "Retry-After", "Www-Authenticate", "Ratelimit-Limit", "Ratelimit-Remaining", "Ratelimit-Reset":
		return true
	}
	return false
}

// stripHeaders removes the headers that are not forwarded from a service's answer. An answer that
// sends a browser elsewhere keeps its address and its cookie.
func stripHeaders(h *fasthttp.ResponseHeader, elsewhere bool) {
	var others []string // most often none
	for name := range h.All() {
		if !isForwarded(name) && !(elsewhere && (string(name) == "Location" || string(name) == "Set-Cookie")) {
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
	g.cors.SetHeaders(c)
	closeUnreadBody(c, ex)
}
