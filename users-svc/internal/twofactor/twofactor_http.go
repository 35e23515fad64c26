package twofactor

import (
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/ascii"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/input"
	"github.com/realmgate/realmgate/users-svc/internal/field"
	"github.com/realmgate/realmgate/users-svc/internal/request"
	"github.com/realmgate/realmgate/users-svc/internal/session"
)

// Mount registers the routes of the domain.
func (s *Service) Mount(server *httpx.Server) {
	server.Post("/api/v1/users/auth/2fa/setup", s.postSetup)
	server.Post("/api/v1/users/auth/2fa/verify-setup", s.postVerifySetup)
	server.Get("/api/v1/users/auth/2fa/status", s.getStatus)
	server.Post("/api/v1/users/auth/2fa/verify", s.postVerify)
	server.Delete("/api/v1/users/auth/2fa", s.deleteFactor)
	server.Post("/api/v1/users/auth/2fa/backup-codes/regenerate", s.postRegenerate)
	server.Put("/api/v1/users/auth/2fa/token-gate", s.putTokenGate)
	server.Delete("/api/v1/users/:id/2fa", s.deleteUserFactor)
	s.mountConfirmation(server)
}

// readOwn returns the caller and the body of a request about the caller's own second factor. It
// refuses auth tokens: a token that could change the protection of the account would be worth more
// than the account's password.
func readOwn(c *fiber.Ctx) (auth.Identity, *input.Object, error) {
	caller, err := request.OwnSession(c)
	if err != nil {
		return caller, nil, err
	}
	body, err := httpx.Body(c)
	return caller, body, err
}

// passwordAndCode reads the current password and a code, both required.
func passwordAndCode(body *input.Object, codeName string) (password, code string, err error) {
	code, _ = body.String(codeName, field.MinCode, field.MaxCode)
	if password, err = field.CurrentPassword(body); err != nil {
		return "", "", err
	}
	field.Require(body, codeName)
	return password, code, body.Err()
}

func (s *Service) postSetup(c *fiber.Ctx) error {
	caller, body, err := readOwn(c)
	if err != nil {
		return err
	}
	password, err := field.CurrentPassword(body)
	if err != nil {
		return err
	}
	setup, err := s.setup(c.UserContext(), caller.UserID, password, request.DeviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.OK(c, "2FA setup started", setup)
}

func (s *Service) postVerifySetup(c *fiber.Ctx) error {
	caller, body, err := readOwn(c)
	if err != nil {
		return err
	}
	field.Require(body, "code")
	code, ok := body.Text("code")
	code = normalizeCode(code)
	if ok && !totpPattern.MatchString(code) {
		body.Fail("code", "must be six digits")
	}
	revokeTokens := field.RevokeTokens(body)
	if err := body.Err(); err != nil {
		return err
	}
	changed, err := s.enable(c.UserContext(), caller.UserID, code, revokeTokens, request.DeviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.OK(c, "2FA enabled successfully", changed)
}

func (s *Service) getStatus(c *fiber.Ctx) error {
	caller, err := request.OwnSession(c)
	if err != nil {
		return err
	}
	status, err := s.status(c.UserContext(), caller.UserID)
	if err != nil {
		return err
	}
	return httpx.OK(c, "2FA status retrieved successfully", status)
}

// postVerify is public: the temporary token identifies the account.
func (s *Service) postVerify(c *fiber.Ctx) error {
	body, err := httpx.Body(c)
	if err != nil {
		return err
	}
	token, sent := body.String("temp_token", 1, session.MaxRefreshToken)
	code := field.Code(body, "code")
	if err := body.Err(); err != nil {
		return err
	}
	if !sent {
		if token = bearer(c); token == "" {
			return apperr.MissingToken()
		}
	}
	result, err := s.completeLogin(c.UserContext(), token, code, request.DeviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.OK(c, "Login successful", result)
}

// bearer returns the token of an Authorization header (RFC 6750 section 2.1), or "".
func bearer(c *fiber.Ctx) string {
	scheme, token, _ := strings.Cut(c.Get(fiber.HeaderAuthorization), " ")
	if !ascii.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.Clone(strings.TrimSpace(token))
}

// readConfirmation returns the caller, and the password and code that confirm a change of their own
// second factor.
func readConfirmation(c *fiber.Ctx) (caller auth.Identity, password, code string, err error) {
	caller, body, err := readOwn(c)
	if err != nil {
		return caller, "", "", err
	}
	password, code, err = passwordAndCode(body, "code")
	return caller, password, code, err
}

func (s *Service) deleteFactor(c *fiber.Ctx) error {
	caller, password, code, err := readConfirmation(c)
	if err != nil {
		return err
	}
	changed, err := s.disable(c.UserContext(), caller.UserID, password, code, request.DeviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.OK(c, "2FA disabled successfully", changed)
}

func (s *Service) postRegenerate(c *fiber.Ctx) error {
	caller, password, code, err := readConfirmation(c)
	if err != nil {
		return err
	}
	codes, err := s.regenerate(c.UserContext(), caller.UserID, password, code, request.DeviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.OK(c, "Backup codes regenerated successfully", map[string][]string{"backup_codes": codes})
}

func (s *Service) putTokenGate(c *fiber.Ctx) error {
	caller, body, err := readOwn(c)
	if err != nil {
		return err
	}
	field.Require(body, "enabled")
	enabled, ok := body.Bool("enabled")
	var password, code string
	if ok && !enabled {
		if password, code, err = passwordAndCode(body, "otp_code"); err != nil {
			return err
		}
	} else {
		password = field.StoredPassword(body, "password", field.MinCurrentPassword)
		code, _ = body.String("otp_code", field.MinCode, field.MaxCode)
	}
	if err := body.Err(); err != nil {
		return err
	}
	if err := s.setTokenGate(c.UserContext(), caller.UserID, enabled, password, code,
		request.DeviceOf(c, nil)); err != nil {
		return err
	}
	return httpx.OK(c, "Token gate updated successfully", map[string]bool{"require_for_tokens": enabled})
}

func (s *Service) deleteUserFactor(c *fiber.Ctx) error {
	userID, err := request.TargetUser(c)
	if err != nil {
		return err
	}
	if err := s.reset(c.UserContext(), userID, request.ActorDevice(c, userID)); err != nil {
		return err
	}
	request.RecordOn(c, userID)
	return httpx.OK(c, "Two-factor authentication reset successfully", nil)
}
