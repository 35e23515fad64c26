package users

import (
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/httpx"
)

func (s *signIns) mount(server *httpx.Server) {
	server.Post("/api/v1/users/auth/login", s.postLogin)
	server.Post("/api/v1/auth/forgot-password", s.postForgot)
	server.Post("/api/v1/auth/reset-password", s.postReset)
}

func (s *signIns) postLogin(c *fiber.Ctx) error {
	o, err := httpx.Body(c)
	if err != nil {
		return err
	}
	in, err := readLogin(o)
	if err != nil {
		return err
	}
	data, err := s.login(c.UserContext(), in, deviceOf(c, in.Client))
	if err != nil {
		return err
	}
	return httpx.OK(c, "Login successful", data)
}
