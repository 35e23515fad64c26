package gateway

import (
	"bytes"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/gateway/console"
	"github.com/realmgate/realmgate/gateway/openapi"
	"github.com/realmgate/realmgate/pkg/apperr"
)

func (g *gateway) openapiYAML(c *fiber.Ctx, _ *exchange) error {
	return sendDocument(c, "application/yaml", g.docs.YAML())
}

func (g *gateway) openapiJSON(c *fiber.Ctx, _ *exchange) error {
	return sendDocument(c, "application/json", g.docs.JSON())
}

func (g *gateway) docsPage(c *fiber.Ctx, _ *exchange) error {
	return sendDocument(c, "text/html; charset=utf-8", g.docs.Page())
}

func (g *gateway) docsError(c *fiber.Ctx, ex *exchange) error {
	page, ok := g.docs.ErrorPage(lastSegment(ex.path))
	if !ok {
		return apperr.RouteNotFound()
	}
	return sendDocument(c, "text/html; charset=utf-8", page)
}

func (g *gateway) docsAsset(c *fiber.Ctx, ex *exchange) error {
	content, contentType, ok := g.docs.Asset(lastSegment(ex.path))
	if !ok {
		return apperr.RouteNotFound()
	}
	return sendDocument(c, contentType, content)
}

// root answers a browser with the console and any other client with the API reference.
func (g *gateway) root(c *fiber.Ctx, ex *exchange) error {
	if g.wantsPage(c, ex) {
		return g.console.ServePage(c, string(ex.path))
	}
	return c.Redirect("docs", fiber.StatusFound) // relative: PUBLIC_URL may have a path
}

func sendDocument(c *fiber.Ctx, contentType string, content []byte) error {
	c.Set(fiber.HeaderContentSecurityPolicy, openapi.ContentSecurityPolicy)
	c.Set(fiber.HeaderReferrerPolicy, "no-referrer")
	c.Set(fiber.HeaderCacheControl, "no-cache")
	c.Set(fiber.HeaderContentType, contentType)
	c.Response().SetBodyRaw(content)
	return nil
}

func lastSegment(path []byte) string {
	return string(path[bytes.LastIndexByte(path, '/')+1:])
}

// wantsPage reports whether the console's page is the answer. It declares that Accept decides.
func (g *gateway) wantsPage(c *fiber.Ctx, ex *exchange) bool {
	return g.console != nil && console.WantsPage(c, string(ex.path))
}

// mailedPage answers a link in a mail: a browser with the console, otherwise with the page of
// users-svc.
func (g *gateway) mailedPage(c *fiber.Ctx, ex *exchange) error {
	if g.wantsPage(c, ex) {
		return g.console.ServePage(c, string(ex.path))
	}
	err := g.forward(c, ex)
	if g.console != nil {
		c.Vary(fiber.HeaderAccept) // the answer of the service has replaced all headers
	}
	return err
}

func (g *gateway) consoleFile(c *fiber.Ctx, ex *exchange) error {
	ok, err := g.console.ServeFile(c, string(ex.path))
	if !ok {
		return apperr.RouteNotFound()
	}
	return err
}

// beginConsole checks a request to a route of the cookie session, and one of the console whose
// answer may have a refresh token.
func (g *gateway) beginConsole(c *fiber.Ctx, ex *exchange) (err error) {
	if ex.route.traits&cookieSession == 0 && (ex.route.traits&givesRefresh == 0 || g.console == nil ||
		!console.IsConsole(c)) {
		return nil
	}
	ex.console, err = console.NewSession(c, g.secure(c))
	return err
}

// forwardConsole forwards a request of the console, and moves the refresh token of the answer into
// the cookie.
func (g *gateway) forwardConsole(c *fiber.Ctx, ex *exchange) error {
	if ex.route.traits&cookieSession == 0 {
		if err := g.forward(c, ex); err != nil {
			return err
		}
		return ex.console.Finish(c)
	}
	calls, err := ex.console.Calls(c, string(ex.path), ex.body)
	if err != nil {
		return err
	}
	if len(calls) == 0 {
		return console.SignedOut(c)
	}
	for _, call := range calls {
		ex.consoleCall = &call
		if err := g.forward(c, ex); err != nil {
			return err
		}
		if err := ex.console.Finish(c); err != nil {
			return err
		}
	}
	return nil
}
