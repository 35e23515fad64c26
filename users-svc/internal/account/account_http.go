package account

import (
	"errors"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/internalapi"
	"github.com/realmgate/realmgate/users-svc/internal/apitoken"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// Mount registers the routes of the domain.
func (s *Service) Mount(server *httpx.Server) {
	server.Get("/api/v1/users/me", s.getMe)
	server.Get("/api/v1/users/auth/me", s.getMe)
	server.Get("/api/v1/users/:id", s.getUser)
	server.Patch("/api/v1/users/:id", s.patchUser)
	server.Put("/api/v1/users/:id", s.patchUser)
	server.Get(internalapi.UsersPath+":id", s.getFound)
}

// getFound tells the gateway whether there is a user, before another service answers about it.
func (s *Service) getFound(c *fiber.Ctx) error {
	if err := httpx.RequireSystem(c); err != nil {
		return err
	}
	id, err := httpx.PathID(c, "id")
	if err == nil {
		err = core.RequireUser(c.UserContext(), s.Pool, id)
	}
	if e, ok := errors.AsType[*apperr.Error](err); ok && e.Code == core.UserNotFound().Code {
		return httpx.JSON(c, fiber.StatusOK, internalapi.UserFound{})
	}
	if err != nil {
		return err
	}
	return httpx.JSON(c, fiber.StatusOK, internalapi.UserFound{Found: true})
}

func (s *Service) getMe(c *fiber.Ctx) error {
	caller, err := httpx.User(c)
	if err != nil {
		return err
	}
	account, err := ByID(c.UserContext(), s.Pool, caller.UserID)
	if err != nil {
		return err
	}
	return httpx.OK(c, "Current user retrieved successfully", account.visibleTo(caller))
}

func (s *Service) getUser(c *fiber.Ctx) error {
	caller, err := httpx.User(c)
	if err != nil {
		return err
	}
	id, err := httpx.PathID(c, "id")
	if err != nil {
		return err
	}
	switch {
	case id == caller.UserID:
	case caller.Banned:
		return apperr.AccountBanned()
	case !caller.Admin:
		return apperr.InsufficientPermissions()
	}
	account, err := ByID(c.UserContext(), s.Pool, id)
	if err != nil {
		return err
	}
	if caller.Admin {
		use, err := readUsage(c.UserContext(), s.Pool, id, s.Now())
		if err != nil {
			return err
		}
		return httpx.OK(c, "User retrieved successfully", account.forAdmin(use, s.quotaMB))
	}
	return httpx.OK(c, "User retrieved successfully", account.visibleTo(caller))
}

func (s *Service) patchUser(c *fiber.Ctx) error {
	caller, err := request.User(c)
	if err != nil {
		return err
	}
	id, err := httpx.PathID(c, "id")
	if err != nil {
		return err
	}
	if id != caller.UserID && !caller.Admin {
		return errCannotModifyOther()
	}
	if err := caller.Require(auth.PermUpdateAccount); err != nil {
		return err
	}
	body, err := httpx.Body(c)
	if err != nil {
		return err
	}
	patch, err := readPatch(body, caller, id)
	if err != nil {
		return err
	}
	updated, err := s.updateProfile(c.UserContext(), caller, id, patch, request.ActorDevice(c, id))
	if err != nil {
		return err
	}
	request.RecordOn(c, id)
	if patch.Password != nil {
		return httpx.OK(c, "User updated successfully",
			passwordChanged{updated.User, apitoken.RevokedTokens{TokensRevoked: updated.Revoked.Tokens}})
	}
	return httpx.OK(c, "User updated successfully", updated.visibleTo(caller))
}

// passwordChanged answers an update that set a new password.
type passwordChanged struct {
	User
	apitoken.RevokedTokens
}
