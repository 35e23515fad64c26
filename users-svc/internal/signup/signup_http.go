package signup

import (
	"slices"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/mail"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// Mount registers the routes of the domain.
func (s *Service) Mount(server *httpx.Server) {
	server.Post("/api/v1/auth/signup", s.postSignup)
	server.Get("/api/v1/auth/config", s.getConfig)
	server.Post("/api/v1/auth/verify-email", s.postVerifyEmail)
	server.Post("/api/v1/auth/resend-verification", account.MailRequestHandler(s.Pool, s.outbox, mail.KindVerify,
		"If the account exists, a verification email has been sent"))
}

// authConfig tells a client which ways to sign in exist.
type authConfig struct {
	AppName        string     `json:"appName"`
	SignupEnabled  bool       `json:"signupEnabled"`
	InviteRequired bool       `json:"inviteRequired"`
	GithubEnabled  bool       `json:"githubEnabled"`
	GoogleEnabled  bool       `json:"googleEnabled"`
	Providers      []Provider `json:"providers"`
}

func (s *Service) getConfig(c *fiber.Ctx) error {
	has := func(name string) bool {
		return slices.ContainsFunc(s.providers, func(p Provider) bool { return p.Name == name })
	}
	return httpx.OK(c, "Auth configuration retrieved successfully", authConfig{
		AppName: s.appName, SignupEnabled: s.cfg.Enabled, InviteRequired: s.cfg.InviteRequired,
		GithubEnabled: has("github"), GoogleEnabled: has("google"), Providers: s.providers,
	})
}

func (s *Service) postSignup(c *fiber.Ctx) error {
	if !s.cfg.Enabled {
		return errSignupDisabled()
	}
	body, err := httpx.Body(c)
	if err != nil {
		return err
	}
	in, err := readRequest(body)
	if err != nil {
		return err
	}
	if err := s.Allowed(in.Email); err != nil {
		return err
	}
	if err := s.register(c.UserContext(), in, httpx.Caller(c).ClientAddr); err != nil {
		return err
	}
	return httpx.OK(c, "Signup successful", map[string]string{"email": in.Email})
}

func (s *Service) postVerifyEmail(c *fiber.Ctx) error {
	body, err := httpx.Body(c)
	if err != nil {
		return err
	}
	token := mail.TokenField(body)
	if err := body.Err(); err != nil {
		return err
	}
	device := request.DeviceOf(c, nil)
	email, changed, err := s.changes.Redeem(c.UserContext(), token, device)
	if err == nil && !changed {
		email, err = s.verifyEmail(c.UserContext(), token, device)
	}
	if err != nil {
		return err
	}
	return httpx.OK(c, "Email verified successfully", map[string]string{"email": email})
}
