package console

import (
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/httpx"
)

// The lives of answers in caches: of a path that has a version, and of all others.
const (
	cacheForever    = "public, max-age=31536000, immutable"
	cacheRevalidate = "no-cache"
)

// WantsPage reports whether a request gets the console's page instead of another answer: a browser
// opens a path that is not for programs. The answer depends on Accept in any case, and says so.
func WantsPage(c *fiber.Ctx, requested string) bool {
	if c.Method() != fiber.MethodGet && c.Method() != fiber.MethodHead || isReserved(requested) {
		return false
	}
	c.Vary(fiber.HeaderAccept)
	return httpx.Accepts(c, "text/html")
}

// ServePage answers with the page: with 200 at the console's own paths and 404 elsewhere, where
// the page says that there is nothing.
func (s *Console) ServePage(c *fiber.Ctx, requested string) error {
	if isPage(requested) {
		httpx.SetRoute(c, "console")
		return s.page.serve(c, cacheRevalidate)
	}
	s.page.write(c, cacheRevalidate)
	httpx.NotFoundPage(c)
	return nil
}

// ServeFile answers with a file below /console/; ok is false when there is none.
func (s *Console) ServeFile(c *fiber.Ctx, requested string) (ok bool, err error) {
	f, forever, ok := s.find(requested)
	if !ok {
		return false, nil
	}
	if forever {
		return true, f.serve(c, cacheForever)
	}
	return true, f.serve(c, cacheRevalidate)
}

// serve answers with the file, or with 304 when the client has it.
func (f file) serve(c *fiber.Ctx, cache string) error {
	tag := f.write(c, cache)
	c.Set(fiber.HeaderETag, tag)
	if matches(strings.Join(lines(c, fiber.HeaderIfNoneMatch), ","), tag) {
		c.Response().ResetBody()
		c.Response().Header.Del(fiber.HeaderContentEncoding)
		c.Status(http.StatusNotModified)
	}
	return nil
}

// write writes the file and its headers. It returns the tag of the representation.
func (f file) write(c *fiber.Ctx, cache string) (tag string) {
	c.Vary(fiber.HeaderAcceptEncoding)
	c.Set(fiber.HeaderContentType, f.contentType)
	c.Set(fiber.HeaderContentSecurityPolicy, contentSecurityPolicy)
	c.Set("Cross-Origin-Opener-Policy", "same-origin")
	c.Set(fiber.HeaderReferrerPolicy, "no-referrer")
	c.Set(fiber.HeaderPermissionsPolicy, "camera=(), microphone=(), geolocation=()")
	c.Set(fiber.HeaderCacheControl, cache)
	if f.gzip != nil && acceptsGzip(strings.Join(lines(c, fiber.HeaderAcceptEncoding), ",")) {
		c.Set(fiber.HeaderContentEncoding, "gzip")
		c.Response().SetBodyRaw(f.gzip)
		return f.taggedGzip
	}
	c.Response().SetBodyRaw(f.plain)
	return f.tag
}
