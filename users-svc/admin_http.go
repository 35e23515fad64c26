package users

import (
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/internalapi"
)

func (a *administration) mount(s *httpx.Server) {
	s.Get("/api/v1/users", a.list)
	s.Post("/api/v1/users", a.create)
	s.Post("/api/v1/users/:id/ban", a.ban)
	s.Post("/api/v1/users/:id/unban", a.unban)
	s.Post("/api/v1/users/:id/logout", a.logout)
	s.Put("/api/v1/users/:id/quota", a.quota)
	s.Get("/api/v1/users/:id/security-history", a.securityHistory)
}

// target returns the user that the path names, to an admin.
func target(c *fiber.Ctx) (string, error) {
	if _, err := admin(c); err != nil {
		return "", err
	}
	return httpx.PathID(c, "id")
}

// actedOn has the event of this request recorded for the user id too, when that is not the caller.
func actedOn(c *fiber.Ctx, id string) {
	if id != httpx.Caller(c).UserID {
		c.Set(internalapi.OnUserHeader, id)
	}
}

// actorOf describes where the request comes from to the user id, in whose history it will stand. Of
// another who acts on the user it says nothing: from where admins act is their own affair.
func actorOf(c *fiber.Ctx, id string) device {
	if id != httpx.Caller(c).UserID {
		return device{}
	}
	return deviceOf(c, nil)
}

func (a *administration) create(c *fiber.Ctx) error {
	if _, err := admin(c); err != nil {
		return err
	}
	o, err := httpx.Body(c)
	if err != nil {
		return err
	}
	in, err := readCreation(o)
	if err != nil {
		return err
	}
	in.Address = httpx.Caller(c).ClientAddr
	u, err := a.createAccount(c.UserContext(), in, methodAdmin)
	if err != nil {
		return err
	}
	actedOn(c, u.ID)
	return httpx.Created(c, "User created successfully", u)
}

func (a *administration) ban(c *fiber.Ctx) error {
	id, err := target(c)
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
	return a.apply(c, id, patch{Banned: &banned, BanReason: &reason}, "User banned successfully")
}

func (a *administration) unban(c *fiber.Ctx) error {
	id, err := target(c)
	if err != nil {
		return err
	}
	banned := false
	return a.apply(c, id, patch{Banned: &banned}, "User unbanned successfully")
}

func (a *administration) apply(c *fiber.Ctx, id string, p patch, message string) error {
	changed, err := a.accounts.update(c.UserContext(), id, p, "", "", "", actorOf(c, id))
	if err != nil {
		return err
	}
	actedOn(c, id)
	return httpx.OK(c, message, changed.User)
}

func (a *administration) logout(c *fiber.Ctx) error {
	id, err := target(c)
	if err != nil {
		return err
	}
	o, err := httpx.Body(c)
	if err != nil {
		return err
	}
	withTokens := readRevokeTokens(o)
	if err := o.Err(); err != nil {
		return err
	}
	revoked, err := a.logOut(c.UserContext(), id, withTokens, actorOf(c, id))
	if err != nil {
		return err
	}
	actedOn(c, id)
	return httpx.OK(c, "User logged out successfully", revoked)
}

func (a *administration) quota(c *fiber.Ctx) error {
	id, err := target(c)
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
	if _, err := a.accounts.update(c.UserContext(), id, patch{VaultQuota: &bytes}, "", "", "",
		actorOf(c, id)); err != nil {
		return err
	}
	actedOn(c, id)
	return httpx.OK(c, "Quota updated successfully", quota)
}

func (a *administration) securityHistory(c *fiber.Ctx) error {
	id, err := target(c)
	if err != nil {
		return err
	}
	if _, err := accountByID(c.UserContext(), a.pool, id); err != nil {
		return err
	}
	actedOn(c, id)
	return a.history.answer(c, id)
}
