package users

import (
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/input"
)

func (m *mails) mount(s *httpx.Server) {
	m.mountPages(s)
	s.Post("/api/v1/auth/verify-email", m.postVerify)
	s.Post("/api/v1/auth/resend-verification",
		m.postAsk(mailVerify, "If the account exists, a verification email has been sent"))
	s.Post("/api/v1/auth/forgot-password",
		m.postAsk(mailReset, "If the account exists, a password reset email has been sent"))
	s.Post("/api/v1/auth/reset-password", m.postReset)
}

const maxMailToken = 512

func readToken(o *input.Object) string {
	if !o.Has("token") {
		o.Fail("token", "is required")
	}
	token, _ := o.String("token", 1, maxMailToken)
	return token
}

func (m *mails) postVerify(c *fiber.Ctx) error {
	o, err := httpx.Body(c)
	if err != nil {
		return err
	}
	token := readToken(o)
	if err := o.Err(); err != nil {
		return err
	}
	email, err := m.verify(c.UserContext(), token, deviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.OK(c, "Email verified successfully", map[string]string{"email": email})
}

// postAsk notes a mail of the kind; the answer is the same whether or not there is an account.
func (m *mails) postAsk(kind, message string) fiber.Handler {
	return func(c *fiber.Ctx) error {
		o, err := httpx.Body(c)
		if err != nil {
			return err
		}
		email := readKnownEmail(o, "email")
		if err := o.Err(); err != nil {
			return err
		}
		if err := m.ask(c.UserContext(), kind, email, ""); err != nil {
			return err
		}
		return httpx.OK(c, message, nil)
	}
}

func (m *mails) postReset(c *fiber.Ctx) error {
	o, err := httpx.Body(c)
	if err != nil {
		return err
	}
	token := readToken(o)
	if !o.Has("password") {
		o.Fail("password", "is required")
	}
	password, _ := o.Text("password")
	if err := o.Err(); err != nil {
		return err
	}
	if err := checkStrength(password); err != nil {
		return err
	}
	if err := m.reset(c.UserContext(), token, password, deviceOf(c, nil)); err != nil {
		return err
	}
	return httpx.OK(c, "Password reset successfully", nil)
}
