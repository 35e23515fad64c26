package gateway

import (
	"bytes"

	"github.com/gofiber/fiber/v2"

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

func (g *gateway) toDocs(c *fiber.Ctx, _ *exchange) error {
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
