package admin

import (
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/field"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

func (a *Service) Mount(s *httpx.Server) {
	s.Get("/api/v1/users", a.listUsers)
	s.Post("/api/v1/users", a.postUser)
	s.Post("/api/v1/users/:id/ban", a.postBan)
	s.Post("/api/v1/users/:id/unban", a.postUnban)
	s.Post("/api/v1/users/:id/logout", a.postLogout)
	s.Put("/api/v1/users/:id/quota", a.putQuota)
	s.Get("/api/v1/users/:id/security-history", a.getSecurityHistory)
}

func (a *Service) postUser(c *fiber.Ctx) error {
	if _, err := request.Admin(c); err != nil {
		return err
	}
	o, err := httpx.Body(c)
	if err != nil {
		return err
	}
	in, err := readNewUser(o)
	if err != nil {
		return err
	}
	in.Address = httpx.Caller(c).ClientAddr
	u, err := a.createAccount(c.UserContext(), in, account.MethodAdmin)
	if err != nil {
		return err
	}
	request.RecordOn(c, u.ID)
	return httpx.Created(c, "User created successfully", u)
}

func (a *Service) postBan(c *fiber.Ctx) error {
	id, err := request.TargetUser(c)
	if err != nil {
		return err
	}
	o, err := httpx.Body(c)
	if err != nil {
		return err
	}
	if !o.Has("reason") {
		o.Fail("reason", "is required")
	}
	reason, _ := o.String("reason", 1, maxBanReason)
	if err := o.Err(); err != nil {
		return err
	}
	banned := true
	return a.apply(c, id, account.Patch{Banned: &banned, BanReason: &reason}, "User banned successfully")
}

func (a *Service) postUnban(c *fiber.Ctx) error {
	id, err := request.TargetUser(c)
	if err != nil {
		return err
	}
	banned := false
	return a.apply(c, id, account.Patch{Banned: &banned}, "User unbanned successfully")
}

func (a *Service) apply(c *fiber.Ctx, id string, p account.Patch, message string) error {
	changed, err := a.accounts.Update(c.UserContext(), id, p, "", "", "", request.ActorDevice(c, id))
	if err != nil {
		return err
	}
	request.RecordOn(c, id)
	return httpx.OK(c, message, changed.User)
}

func (a *Service) postLogout(c *fiber.Ctx) error {
	id, err := request.TargetUser(c)
	if err != nil {
		return err
	}
	o, err := httpx.Body(c)
	if err != nil {
		return err
	}
	withTokens := field.RevokeTokens(o)
	if err := o.Err(); err != nil {
		return err
	}
	revoked, err := a.logOut(c.UserContext(), id, withTokens, request.ActorDevice(c, id))
	if err != nil {
		return err
	}
	request.RecordOn(c, id)
	return httpx.OK(c, "User logged out successfully", revoked)
}

func (a *Service) putQuota(c *fiber.Ctx) error {
	id, err := request.TargetUser(c)
	if err != nil {
		return err
	}
	o, err := httpx.Body(c)
	if err != nil {
		return err
	}
	quota, bytes, err := readQuota(o)
	if err != nil {
		return err
	}
	if _, err := a.accounts.Update(c.UserContext(), id, account.Patch{VaultQuota: &bytes}, "", "", "",
		request.ActorDevice(c, id)); err != nil {
		return err
	}
	request.RecordOn(c, id)
	return httpx.OK(c, "Quota updated successfully", quota)
}

func (a *Service) getSecurityHistory(c *fiber.Ctx) error {
	id, err := request.TargetUser(c)
	if err != nil {
		return err
	}
	if _, err := account.ByID(c.UserContext(), a.Pool, id); err != nil {
		return err
	}
	request.RecordOn(c, id)
	return a.history.Answer(c, id)
}
