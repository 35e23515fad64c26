package signin

import (
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/users-svc/internal/field"
	"github.com/realmgate/realmgate/users-svc/internal/mail"
	"github.com/realmgate/realmgate/users-svc/internal/passwords"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

func (s *Service) postReset(c *fiber.Ctx) error {
	body, err := httpx.Body(c)
	if err != nil {
		return err
	}
	token := mail.TokenField(body)
	field.Require(body, "password")
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
