package users

import (
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/httpx"
)

func (a *accounts) mountSignup(s *httpx.Server) {
	s.Post("/api/v1/auth/signup", a.signup)
	s.Get("/api/v1/auth/config", a.authConfig)
}

// AuthConfig tells a client which ways to sign in there are.
type AuthConfig struct {
	AppName        string `json:"appName"`
	SignupEnabled  bool   `json:"signupEnabled"`
	InviteRequired bool   `json:"inviteRequired"`
	GithubEnabled  bool   `json:"githubEnabled"`
	GoogleEnabled  bool   `json:"googleEnabled"`
}

func (a *accounts) authConfig(c *fiber.Ctx) error {
	return httpx.OK(c, "Auth configuration retrieved successfully", AuthConfig{
		AppName: a.cfg.AppName, SignupEnabled: a.cfg.Signup.Enabled, InviteRequired: a.cfg.Signup.InviteRequired,
	})
}

func (a *accounts) signup(c *fiber.Ctx) error {
	if !a.cfg.Signup.Enabled {
		return apperr.New(apperr.Forbidden, "SIGNUP_DISABLED", "Signup is disabled")
	}
	o, err := httpx.Body(c)
	if err != nil {
		return err
	}
	in, err := readSignup(o)
	if err != nil {
		return err
	}
	if err := a.signUp(c.UserContext(), in, httpx.Caller(c).ClientAddr); err != nil {
		return err
	}
	return httpx.OK(c, "Signup successful", map[string]string{"email": in.Email})
}
