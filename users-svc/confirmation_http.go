package users

import (
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/httpx"
)

func (t *twoFactor) mountConfirmation(app *httpx.Server) {
	app.Post("/api/v1/users/me/confirm", t.postConfirm)
}

func (t *twoFactor) postConfirm(c *fiber.Ctx) error {
	caller, body, err := ownFactor(c)
	if err != nil {
		return err
	}
	body.DropNull("password", "code")
	var p proof
	p.password = readStoredPassword(body, "password", 0)
	p.code, _ = body.String("code", minCode, maxCode)
	if err := body.Err(); err != nil {
		return err
	}
	if p.password == "" {
		return errPasswordRequired("Current password is required")
	}
	confirmation, err := t.confirmSession(c.UserContext(), caller.UserID, p, deviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.OK(c, "Session confirmed", confirmation)
}
