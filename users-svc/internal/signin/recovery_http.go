package signin

import (
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/mail"
	"github.com/realmgate/realmgate/users-svc/internal/mailaddr"
	"github.com/realmgate/realmgate/users-svc/internal/passwords"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// postForgot requests a mail with a reset link. The answer does not reveal whether the address has
// an account.
func (s *Service) postForgot(c *fiber.Ctx) error {
	body, err := httpx.Body(c)
	if err != nil {
		return err
	}
	email := mailaddr.KnownField(body, "email")
	if err := body.Err(); err != nil {
		return err
	}
	key, err := account.StoredKey(c.UserContext(), s.Pool, email)
	if err != nil {
		return err
	}
	if err := s.outbox.Enqueue(c.UserContext(), mail.KindReset, key, ""); err != nil {
		return err
	}
	return httpx.OK(c, "If the account exists, a password reset email has been sent", nil)
}

func (s *Service) postReset(c *fiber.Ctx) error {
	body, err := httpx.Body(c)
	if err != nil {
		return err
	}
	token := mail.TokenField(body)
	if !body.Has("password") {
		body.Fail("password", "is required")
	}
	newPassword, _ := body.Text("password")
	if err := body.Err(); err != nil {
		return err
	}
	if err := passwords.CheckStrength(newPassword); err != nil {
		return err
	}
	if err := s.reset(c.UserContext(), token, newPassword, request.DeviceOf(c, nil)); err != nil {
		return err
	}
	return httpx.OK(c, "Password reset successfully", nil)
}
