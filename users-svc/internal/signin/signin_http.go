package signin

import (
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/mail"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// Mount registers the routes of the domain.
func (s *Service) Mount(server *httpx.Server) {
	server.Post("/api/v1/users/auth/login", s.postLogin)
	server.Post("/api/v1/auth/forgot-password", account.MailRequestHandler(s.Pool, s.outbox, mail.KindReset,
		"If the account exists, a password reset email has been sent"))
	server.Post("/api/v1/auth/reset-password", s.postReset)
}

func (s *Service) postLogin(c *fiber.Ctx) error {
	body, err := httpx.Body(c)
	if err != nil {
		return err
	}
	in, err := readCredentials(body)
	if err != nil {
		return err
	}
	data, err := s.login(c.UserContext(), in, request.DeviceOf(c, in.Client))
	if err != nil {
		return err
	}
	return httpx.OK(c, "Login successful", data)
}
