package users

import (
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/httpx"
)

// permitted returns the caller, who must be a user with the permission.
func permitted(c *fiber.Ctx, permission string) (auth.Identity, error) {
	caller, err := httpx.User(c)
	if err != nil {
		return caller, err
	}
	return caller, demand(caller, permission)
}
