package users

import (
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/httpx"
)

func (a *accounts) mount(s *httpx.Server) {
	s.Get("/api/v1/users/me", a.me)
	s.Get("/api/v1/users/auth/me", a.me)
	s.Get("/api/v1/users/:id", a.get)
	s.Patch("/api/v1/users/:id", a.patch)
	s.Put("/api/v1/users/:id", a.patch)
}

// notBanned returns the caller, who must be a user that is not banned.
func notBanned(c *fiber.Ctx) (auth.Identity, error) {
	caller, err := httpx.User(c)
	if err == nil && caller.Banned {
		err = apperr.AccountBanned()
	}
	return caller, err
}

// inSession returns the caller, who must be signed in by a session: an auth token may not manage
// sessions.
func inSession(c *fiber.Ctx) (auth.Identity, error) {
	caller, err := httpx.User(c)
	if err == nil {
		err = caller.RequireSession()
	}
	return caller, err
}

// ownSessions returns the caller, who must be in a session and not banned.
func ownSessions(c *fiber.Ctx) (auth.Identity, error) {
	if _, err := notBanned(c); err != nil {
		return auth.Identity{}, err
	}
	return inSession(c)
}

// admin returns the caller, who must be an admin in a session and not banned.
func admin(c *fiber.Ctx) (auth.Identity, error) {
	if _, err := notBanned(c); err != nil {
		return auth.Identity{}, err
	}
	return httpx.Admin(c)
}

const maxUserAgent = 400

// deviceOf describes where the request comes from; client is what the client calls itself.
func deviceOf(c *fiber.Ctx, client *string) device {
	agent := strings.ReplaceAll(strings.ToValidUTF8(c.Get(fiber.HeaderUserAgent), "?"), "\x00", "?")
	if r := []rune(agent); len(r) > maxUserAgent {
		agent = string(r[:maxUserAgent])
	}
	return device{Address: httpx.Caller(c).ClientAddr, UserAgent: strings.Clone(agent), Client: client,
		SessionID: httpx.Caller(c).SessionID}
}

func (a *accounts) me(c *fiber.Ctx) error {
	caller, err := httpx.User(c)
	if err != nil {
		return err
	}
	u, err := accountByID(c.UserContext(), a.pool, caller.UserID)
	if err != nil {
		return err
	}
	return httpx.OK(c, "Current user retrieved successfully", u.seenBy(caller))
}

func (a *accounts) get(c *fiber.Ctx) error {
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
	u, err := accountByID(c.UserContext(), a.pool, id)
	if err != nil {
		return err
	}
	if caller.Admin {
		return httpx.OK(c, "User retrieved successfully", u.forAdmins())
	}
	return httpx.OK(c, "User retrieved successfully", u.seenBy(caller))
}

func (a *accounts) patch(c *fiber.Ctx) error {
	caller, err := notBanned(c)
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
	u, err := a.change(c.UserContext(), caller, id, p, actorOf(c, id))
	if err != nil {
		return err
	}
	actedOn(c, id)
	if p.Password != nil {
		return httpx.OK(c, "User updated successfully", PasswordChanged{u.User, RevokedTokens{u.Revoked.Tokens}})
	}
	return httpx.OK(c, "User updated successfully", u.seenBy(caller))
}
