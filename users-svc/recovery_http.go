package users

import (
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/httpx"
)

// postForgot asks for a mail with a reset link; the answer does not tell whether there is an account.
func (s *signIns) postForgot(c *fiber.Ctx) error {
	o, err := httpx.Body(c)
	if err != nil {
		return err
	}
	email := readKnownEmail(o, "email")
	if err := o.Err(); err != nil {
		return err
	}
	key, err := storedKey(c.UserContext(), s.pool, email)
	if err != nil {
		return err
	}
	if err := s.outbox.Enqueue(c.UserContext(), KindReset, key, ""); err != nil {
		return err
	}
	return httpx.OK(c, "If the account exists, a password reset email has been sent", nil)
}

func (s *signIns) postReset(c *fiber.Ctx) error {
	o, err := httpx.Body(c)
	if err != nil {
		return err
	}
	token := TokenField(o)
	if !o.Has("password") {
		o.Fail("password", "is required")
	}
	newPassword, _ := o.Text("password")
	if err := o.Err(); err != nil {
		return err
	}
	if err := checkStrength(newPassword); err != nil {
		return err
	}
	if err := s.reset(c.UserContext(), token, newPassword, deviceOf(c, nil)); err != nil {
		return err
	}
	return httpx.OK(c, "Password reset successfully", nil)
}
