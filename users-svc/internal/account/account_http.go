package account

import (
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/users-svc/internal/apitoken"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

func (a *Service) Mount(s *httpx.Server) {
	s.Get("/api/v1/users/me", a.getMe)
	s.Get("/api/v1/users/auth/me", a.getMe)
	s.Get("/api/v1/users/:id", a.getUser)
	s.Patch("/api/v1/users/:id", a.patchUser)
	s.Put("/api/v1/users/:id", a.patchUser)
}

func (a *Service) getMe(c *fiber.Ctx) error {
	caller, err := httpx.User(c)
	if err != nil {
		return err
	}
	u, err := ByID(c.UserContext(), a.Pool, caller.UserID)
	if err != nil {
		return err
	}
	return httpx.OK(c, "Current user retrieved successfully", u.VisibleTo(caller))
}

func (a *Service) getUser(c *fiber.Ctx) error {
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
	u, err := ByID(c.UserContext(), a.Pool, id)
	if err != nil {
		return err
	}
	if caller.Admin {
		return httpx.OK(c, "User retrieved successfully", u.forAdmins())
	}
	return httpx.OK(c, "User retrieved successfully", u.VisibleTo(caller))
}

func (a *Service) patchUser(c *fiber.Ctx) error {
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
	o, err := httpx.Body(c)
	if err != nil {
		return err
	}
	p, err := readPatch(o, caller, id)
	if err != nil {
		return err
	}
	u, err := a.updateProfile(c.UserContext(), caller, id, p, request.ActorDevice(c, id))
	if err != nil {
		return err
	}
	request.RecordOn(c, id)
	if p.Password != nil {
		return httpx.OK(c, "User updated successfully",
			PasswordChanged{u.User, apitoken.RevokedTokens{TokensRevoked: u.Revoked.Tokens}})
	}
	return httpx.OK(c, "User updated successfully", u.VisibleTo(caller))
}
