package gateway

import (
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
)

// What scripts of other origins may do and read, when CORS_ORIGINS lets them. CORS_HEADERS names
// what they may send beyond corsHeaders.
const (
	corsMethods = "GET, HEAD, POST, PUT, PATCH, DELETE"
	corsHeaders = "Authorization, Content-Type, Accept, X-Request-ID"
	corsExposed = "X-Request-ID, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, Allow"
	corsMaxAge  = "600"
)

// anySubdomain stands at the beginning of a host in CORS_ORIGINS for one or more labels.
const anySubdomain = "*."

// cors answers the questions of the Fetch standard about scripts of other origins. Credentials
// travel in the Authorization header only, so cookies are never allowed.
type cors struct {
	origins []string // as in CORS_ORIGINS; none: no script of another origin may call
	headers string
}

func newCORS(cfg EdgeConfig) cors {
	return cors{cfg.CORSOrigins, strings.Join(append([]string{corsHeaders}, cfg.CORSHeaders...), ", ")}
}

// allows reports whether scripts of the origin may call.
func (s cors) allows(origin string) bool {
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

// preflight reports whether the request is a browser's question about another request, which
// scripts of its origin may send.
func (s cors) preflight(c *fiber.Ctx) bool {
	return c.Method() == fiber.MethodOptions && c.Get(fiber.HeaderAccessControlRequestMethod) != "" &&
		s.allows(c.Get(fiber.HeaderOrigin))
}

// setHeaders tells the browser what the script may do.
func (s cors) setHeaders(c *fiber.Ctx) {
	if len(s.origins) == 0 {
		return
	}
	c.Vary(fiber.HeaderOrigin)
	origin := c.Get(fiber.HeaderOrigin)
	if !s.allows(origin) {
		return
	}
	preflight := s.preflight(c)
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
