package edge

import (
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
)

// The permissions of scripts of the origins in CORS_ORIGINS. CORS_HEADERS adds to corsHeaders.
const (
	corsMethods = "GET, HEAD, POST, PUT, PATCH, DELETE"
	corsHeaders = "Authorization, Content-Type, Accept, X-Request-ID, If-Match, If-None-Match, If-Modified-Since, " +
		"If-Unmodified-Since"
	corsExposed = "X-Request-ID, ETag, Last-Modified, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, Allow"
	corsMaxAge  = "600"
)

// anySubdomain begins a host in CORS_ORIGINS and matches one or more labels.
const anySubdomain = "*."

// CORS answers browsers whether scripts of other origins may call (Fetch standard). Credentials
// travel in the Authorization header only, so cookies are never allowed.
type CORS struct {
	origins []string // as in CORS_ORIGINS; empty: no script of another origin may call
	headers string
}

// NewCORS returns the permissions of the settings.
func NewCORS(cfg Config) CORS {
	return CORS{cfg.CORSOrigins, strings.Join(append([]string{corsHeaders}, cfg.CORSHeaders...), ", ")}
}

// allows reports whether scripts of the origin may call.
func (s CORS) allows(origin string) bool {
	return origin != "" && slices.ContainsFunc(s.origins, func(allowed string) bool {
		return allowed == "*" || allowed == origin || matchesSubdomain(allowed, origin)
	})
}

// matchesSubdomain reports whether origin is one of the subdomains that an entry such as
// https://*.example.com allows. The domain itself is none.
func matchesSubdomain(allowed, origin string) bool {
	scheme, domain, ok := strings.Cut(allowed, anySubdomain)
	if !ok {
		return false
	}
	labels, begins := strings.CutPrefix(origin, scheme)
	labels, ends := strings.CutSuffix(labels, "."+domain)
	if !begins || !ends {
		return false
	}
	for label := range strings.SplitSeq(labels, ".") {
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" || strings.Trim(label, "-") == "" {
			return false
		}
	}
	return true
}

// IsPreflight reports whether the request is a browser's question about another request, which
// scripts of its origin may send.
func (s CORS) IsPreflight(c *fiber.Ctx) bool {
	return c.Method() == fiber.MethodOptions && c.Get(fiber.HeaderAccessControlRequestMethod) != "" &&
		s.allows(c.Get(fiber.HeaderOrigin))
}

// SetHeaders tells the browser the permissions of the script.
func (s CORS) SetHeaders(c *fiber.Ctx) {
	if len(s.origins) == 0 {
		return
	}
	c.Vary(fiber.HeaderOrigin)
	origin := c.Get(fiber.HeaderOrigin)
	if !s.allows(origin) {
		return
	}
	preflight := s.IsPreflight(c)
	if slices.Contains(s.origins, "*") {
		origin = "*"
	}
	c.Set(fiber.HeaderAccessControlAllowOrigin, origin)
	c.Set(fiber.HeaderAccessControlExposeHeaders, corsExposed)
	if preflight {
		c.Set(fiber.HeaderAccessControlAllowMethods, corsMethods)
		c.Set(fiber.HeaderAccessControlAllowHeaders, s.headers)
		c.Set(fiber.HeaderAccessControlMaxAge, corsMaxAge)
	}
}
