package twofactor

import (
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/users-svc/internal/field"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

func (s *Service) mountConfirmation(server *httpx.Server) {
	server.Post("/api/v1/users/me/confirm", s.postConfirm)
}

func (s *Service) postConfirm(c *fiber.Ctx) error {
	caller, body, err := readOwn(c)
	if err != nil {
		return err
	}
	body.DropNull("code")
	var proof request.Proof
	proof.Code, _ = body.String("code", field.MinCode, field.MaxCode)
	if proof.Password, err = field.CurrentPassword(body); err != nil {
		return err
	}
	confirmation, err := s.confirmSession(c.UserContext(), caller.UserID, proof, request.DeviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.OK(c, "Session confirmed", confirmation)
}
