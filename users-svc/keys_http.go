package users

import (
	"net/http"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/httpx"
)

func (k *keyring) mount(s *httpx.Server) {
	s.Get("/.well-known/jwks.json", func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderCacheControl, "public, max-age=300")
		return httpx.JSON(c, http.StatusOK, k.published(c.UserContext()))
	})
}
