package apitoken

import (
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// mountRevocation adds the routes for admins to the server.
func (s *Service) mountRevocation(server *httpx.Server) {
	server.Get("/api/v1/users/:id/tokens", s.getTokensOf)
	server.Delete("/api/v1/users/:id/tokens", s.deleteTokensOf)
	server.Delete("/api/v1/users/:id/tokens/:tid", s.deleteTokenOf)
}

func (s *Service) getTokensOf(c *fiber.Ctx) error {
	userID, err := request.TargetUser(c)
	if err != nil {
		return err
	}
	list, err := s.listFor(c.UserContext(), userID)
	if err != nil {
		return err
	}
	request.RecordOn(c, userID)
	return httpx.OK(c, "Auth tokens retrieved successfully", list)
}

func (s *Service) deleteTokensOf(c *fiber.Ctx) error {
	userID, err := request.TargetUser(c)
	if err != nil {
		return err
	}
	revoked, err := s.revokeAll(c.UserContext(), userID, request.ActorDevice(c, userID))
	if err != nil {
		return err
	}
	request.RecordOn(c, userID)
	return httpx.OK(c, "Auth tokens deleted successfully", map[string]int64{"deleted_count": revoked})
}

func (s *Service) deleteTokenOf(c *fiber.Ctx) error {
	userID, err := request.TargetUser(c)
	if err != nil {
		return err
	}
	tokenID, err := httpx.PathID(c, "tid")
	if err != nil {
		return err
	}
	if err := s.revokeOne(c.UserContext(), userID, tokenID, request.ActorDevice(c, userID)); err != nil {
		return err
	}
	request.RecordOn(c, userID)
	return httpx.OK(c, "Auth token deleted successfully", nil)
}
