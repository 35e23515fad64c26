package emailchange

import (
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/users-svc/internal/field"
	"github.com/realmgate/realmgate/users-svc/internal/mailaddr"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// Mount registers the route of the domain.
func (s *Service) Mount(server *httpx.Server) {
	server.Post("/api/v1/users/me/email", s.postEmail)
}

func (s *Service) postEmail(c *fiber.Ctx) error {
	caller, body, err := request.OwnSessionBody(c)
	if err != nil {
		return err
	}
	email := mailaddr.Field(body, "email")
	password, err := field.CurrentPassword(body)
	if err != nil {
		return err
	}
	if err := s.request(c.UserContext(), caller.UserID, email, password, request.DeviceOf(c, nil)); err != nil {
		return err
	}
	if s.outbox.On() {
		return httpx.OK(c, "A link was sent to the new address", emailAnswer{Email: email, Pending: true})
	}
	return httpx.OK(c, "Email changed successfully", emailAnswer{Email: email})
}

// emailAnswer tells whether the address is in force already.
type emailAnswer struct {
	Email   string `json:"email"`
	Pending bool   `json:"pending"` // until the link in the mail is used
}
