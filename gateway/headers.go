package gateway

import (
	"slices"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/httpx"
)

// What scripts of other origins may do and read, when CORS_ORIGINS lets them.
const (
	corsMethods = "GET, HEAD, POST, PUT, PATCH, DELETE"
	corsHeaders = "Authorization, Content-Type, Accept, X-Request-ID"
	corsExposed = "X-Request-ID, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, Allow"
	corsMaxAge  = "600"
)

// decorate puts on every answer what the gateway owes it, whoever wrote it.
func (g *gateway) decorate(c *fiber.Ctx, cl *call) {
	h := &c.Response().Header
	h.Set(fiber.HeaderXRequestID, httpx.RequestID(c)) // a service's answer has replaced all headers
	h.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	if len(h.Peek(fiber.HeaderCacheControl)) == 0 {
		h.Set(fiber.HeaderCacheControl, "no-store")
	}
	limitHeaders(c, cl)
	if len(g.cfg.Edge.CORSOrigins) > 0 {
		g.allowOrigin(c)
	}
	leaveBody(c, cl)
}

// allowOrigin answers the Fetch standard's questions. Credentials travel in the Authorization header only, so cookies are never allowed.
func (g *gateway) allowOrigin(c *fiber.Ctx) {
	c.Vary(fiber.HeaderOrigin)
	origin := c.Get(fiber.HeaderOrigin)
	if origin == "" {
		return
	}
	any := slices.Contains(g.cfg.Edge.CORSOrigins, "*")
	if !any && !slices.Contains(g.cfg.Edge.CORSOrigins, origin) {
		return
	}
	if any {
		origin = "*"
	}
	c.Set(fiber.HeaderAccessControlAllowOrigin, origin)
	c.Set(fiber.HeaderAccessControlExposeHeaders, corsExposed)
	if c.Method() == fiber.MethodOptions && c.Get(fiber.HeaderAccessControlRequestMethod) != "" {
		c.Set(fiber.HeaderAccessControlAllowMethods, corsMethods)
		c.Set(fiber.HeaderAccessControlAllowHeaders, corsHeaders)
		c.Set(fiber.HeaderAccessControlMaxAge, corsMaxAge)
	}
}
