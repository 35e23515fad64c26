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
	body.DropNull("code")
	var p proof
	p.code, _ = body.String("code", minCode, maxCode)
	if p.password, err = currentPassword(body); err != nil {
		return err
	}
	confirmation, err := t.confirmSession(c.UserContext(), caller.UserID, p, deviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.OK(c, "Session confirmed", confirmation)
}
