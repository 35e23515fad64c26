package mail

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/httpx"
)

var (
	//go:embed pages/verify-email.html
	verifyPage string
	//go:embed pages/reset-password.html
	resetPage string
)

// Mount adds the pages to which links in mails lead to the server. A page redeems its token only
// when the reader presses the button, because mail scanners open the links of a mail before its
// reader.
func (o *Outbox) Mount(server *httpx.Server) {
	server.Get("/verify-email", servePage(verifyPage))
	server.Get("/reset-password", servePage(resetPage))
}

// servePage returns a handler for a page. Its Content-Security-Policy (CSP Level 3) allows no
// script but the one of the page.
func servePage(page string) fiber.Handler {
	_, rest, _ := strings.Cut(page, "<script>")
	script, _, _ := strings.Cut(rest, "</script>")
	sum := sha256.Sum256([]byte(script))
	policy := "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; base-uri 'none'; " +
		"form-action 'none'; frame-ancestors 'none'; script-src 'sha256-" +
		base64.StdEncoding.EncodeToString(sum[:]) + "'"
	return func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderContentSecurityPolicy, policy)
		c.Set(fiber.HeaderReferrerPolicy, "no-referrer")
		c.Set(fiber.HeaderCacheControl, "no-store")
		c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
		c.Set(fiber.HeaderContentType, fiber.MIMETextHTMLCharsetUTF8)
		return c.SendString(page)
	}
}
