package signing

import (
	"net/http"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/internalapi"
	"github.com/realmgate/realmgate/users-svc/internal/core"
)

// Mount adds the routes of the public keys to the server: the JWKS (RFC 7517), and the same with
// its age limits for the gateways.
func (k *Keyring) Mount(server *httpx.Server) {
	server.Get("/.well-known/jwks.json", func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderCacheControl, "public, max-age=300")
		set, _ := k.publicKeys(c.UserContext())
		return httpx.JSON(c, http.StatusOK, set)
	})
	server.Get(internalapi.KeysPath, func(c *fiber.Ctx) error {
		if err := httpx.RequireSystem(c); err != nil {
			return err
		}
		httpx.Unlogged(c) // each gateway asks twice a second
		set, fresh := k.publicKeys(c.UserContext())
		return httpx.JSON(c, http.StatusOK,
			auth.Published{JWKS: set, MaxSeconds: core.CeilSeconds(k.accessTTL), Stale: !fresh})
	})
}
