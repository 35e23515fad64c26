package apitoken

import (
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

func (d *Service) mountRevocation(app *httpx.Server) {
	app.Get("/api/v1/users/:id/tokens", d.getTokensOf)
	app.Delete("/api/v1/users/:id/tokens", d.deleteTokensOf)
	app.Delete("/api/v1/users/:id/tokens/:tid", d.deleteTokenOf)
}

func (d *Service) getTokensOf(c *fiber.Ctx) error {
	userID, err := request.TargetUser(c)
	if err != nil {
		return err
	}
	list, err := d.listFor(c.UserContext(), userID)
	if err != nil {
		return err
	}
	request.RecordOn(c, userID)
	return httpx.OK(c, "Auth tokens retrieved successfully", list)
}

func (d *Service) deleteTokensOf(c *fiber.Ctx) error {
	userID, err := request.TargetUser(c)
	if err != nil {
		return err
	}
	revoked, err := d.revokeAll(c.UserContext(), userID, request.ActorDevice(c, userID))
	if err != nil {
		return err
	}
	request.RecordOn(c, userID)
	return httpx.OK(c, "Auth tokens deleted successfully", map[string]int64{"deleted_count": revoked})
}

func (d *Service) deleteTokenOf(c *fiber.Ctx) error {
	userID, err := request.TargetUser(c)
	if err != nil {
		return err
	}
	tokenID, err := httpx.PathID(c, "tid")
	if err != nil {
		return err
	}
	if err := d.revokeOne(c.UserContext(), userID, tokenID, request.ActorDevice(c, userID)); err != nil {
		return err
	}
	request.RecordOn(c, userID)
	return httpx.OK(c, "Auth token deleted successfully", nil)
}
