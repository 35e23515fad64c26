package twofactor

import (
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/users-svc/internal/field"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

func (t *Service) mountConfirmation(app *httpx.Server) {
	app.Post("/api/v1/users/me/confirm", t.postConfirm)
}

func (t *Service) postConfirm(c *fiber.Ctx) error {
	caller, body, err := readOwn(c)
	if err != nil {
		return err
	}
	body.DropNull("code")
	var p request.Proof
	p.Code, _ = body.String("code", field.MinCode, field.MaxCode)
	if p.Password, err = field.CurrentPassword(body); err != nil {
		return err
	}
	confirmation, err := t.confirmSession(c.UserContext(), caller.UserID, p, request.DeviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.OK(c, "Session confirmed", confirmation)
}
