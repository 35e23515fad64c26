package admin

import (
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/field"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// Mount registers the routes of the domain.
func (s *Service) Mount(server *httpx.Server) {
	server.Get("/api/v1/users", s.listUsers)
	server.Post("/api/v1/users", s.postUser)
	server.Post("/api/v1/users/:id/ban", s.postBan)
	server.Post("/api/v1/users/:id/unban", s.postUnban)
	server.Post("/api/v1/users/:id/logout", s.postLogout)
	server.Post("/api/v1/users/:id/password", s.postPassword)
	server.Put("/api/v1/users/:id/quota", s.putQuota)
	server.Get("/api/v1/users/:id/security-history", s.getSecurityHistory)
}

func (s *Service) postUser(c *fiber.Ctx) error {
	if _, err := request.Admin(c); err != nil {
		return err
	}
	body, err := httpx.Body(c)
	if err != nil {
		return err
	}
	in, err := readNewUser(body)
	if err != nil {
		return err
	}
	in.Address = httpx.Caller(c).ClientAddr
	user, err := s.createAccount(c.UserContext(), in, account.MethodAdmin)
	if err != nil {
		return err
	}
	request.RecordOn(c, user.ID)
	return httpx.Created(c, "User created successfully", user)
}

func (s *Service) postBan(c *fiber.Ctx) error {
	userID, body, err := request.TargetUserBody(c)
	if err != nil {
		return err
	}
	field.Require(body, "reason")
	reason, _ := body.String("reason", 1, maxBanReason)
	if err := body.Err(); err != nil {
		return err
	}
	banned := true
	return s.applyPatch(c, userID, account.Patch{Banned: &banned, BanReason: &reason}, "User banned successfully")
}

func (s *Service) postUnban(c *fiber.Ctx) error {
	userID, err := request.TargetUser(c)
	if err != nil {
		return err
	}
	banned := false
	return s.applyPatch(c, userID, account.Patch{Banned: &banned}, "User unbanned successfully")
}

// applyPatch applies a patch to a user, records the user on the request's activity and answers with
// the user.
func (s *Service) applyPatch(c *fiber.Ctx, userID string, patch account.Patch, message string) error {
	updated, err := s.accounts.Update(c.UserContext(), userID, patch, "", "", "", request.ActorDevice(c, userID))
	if err != nil {
		return err
	}
	request.RecordOn(c, userID)
	return httpx.OK(c, message, updated.User)
}

func (s *Service) postLogout(c *fiber.Ctx) error {
	userID, body, err := request.TargetUserBody(c)
	if err != nil {
		return err
	}
	revokeTokens := field.RevokeTokens(body)
	if err := body.Err(); err != nil {
		return err
	}
	revoked, err := s.logout(c.UserContext(), userID, revokeTokens, request.ActorDevice(c, userID))
	if err != nil {
		return err
	}
	request.RecordOn(c, userID)
	return httpx.OK(c, "User logged out successfully", revoked)
}

func (s *Service) putQuota(c *fiber.Ctx) error {
	userID, body, err := request.TargetUserBody(c)
	if err != nil {
		return err
	}
	answer, bytes, err := readQuota(body)
	if err != nil {
		return err
	}
	if _, err := s.accounts.Update(c.UserContext(), userID, account.Patch{VaultQuota: &bytes}, "", "", "",
		request.ActorDevice(c, userID)); err != nil {
		return err
	}
	request.RecordOn(c, userID)
	return httpx.OK(c, "Quota updated successfully", answer)
}

func (s *Service) getSecurityHistory(c *fiber.Ctx) error {
	userID, err := request.TargetUser(c)
	if err != nil {
		return err
	}
	if _, err := account.ByID(c.UserContext(), s.Pool, userID); err != nil {
		return err
	}
	request.RecordOn(c, userID)
	return s.history.Answer(c, userID)
}
