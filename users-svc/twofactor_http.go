package users

import (
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/ascii"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/input"
)

func (t *twoFactor) mount(app *httpx.Server) {
	app.Post("/api/v1/users/auth/2fa/setup", t.postSetup)
	app.Post("/api/v1/users/auth/2fa/verify-setup", t.postVerifySetup)
	app.Get("/api/v1/users/auth/2fa/status", t.getStatus)
	app.Post("/api/v1/users/auth/2fa/verify", t.postVerify)
	app.Delete("/api/v1/users/auth/2fa", t.deleteFactor)
	app.Post("/api/v1/users/auth/2fa/backup-codes/regenerate", t.postRegenerate)
	app.Put("/api/v1/users/auth/2fa/token-gate", t.putGate)
	app.Delete("/api/v1/users/:id/2fa", t.deleteOfUser)
	t.mountConfirmation(app)
}

// ownFactor returns the caller and the body of a request about the caller's second factor. Auth
// tokens are refused: a token that could change what guards the account would be more than the
// account's password.
func ownFactor(c *fiber.Ctx) (auth.Identity, *input.Object, error) {
	caller, err := ownSessions(c)
	if err != nil {
		return caller, nil, err
	}
	body, err := httpx.Body(c)
	return caller, body, err
}

// currentPassword reads the password that is asked for again: 400 CURRENT_PASSWORD_REQUIRED when it
// is missing, unless a field that was read before breaks its rule.
func currentPassword(body *input.Object) (string, error) {
	body.DropNull("password")
	password := readStoredPassword(body, "password", 0)
	if err := body.Err(); err != nil {
		return "", err
	}
	if password == "" {
		return "", errPasswordRequired("Current password is required")
	}
	return password, nil
}

// passwordAndCode reads the password and the code that are asked for again.
func passwordAndCode(body *input.Object, codeName string) (password, code string, err error) {
	code, _ = body.String(codeName, minCode, maxCode)
	if password, err = currentPassword(body); err != nil {
		return "", "", err
	}
	require(body, codeName)
	return password, code, body.Err()
}

// codeField reads a required field that holds a code of the authenticator or a backup code.
func codeField(body *input.Object, name string) string {
	require(body, name)
	code, _ := body.String(name, minCode, maxCode)
	return code
}

func require(body *input.Object, name string) {
	if !body.Has(name) {
		body.Fail(name, "is required")
	}
}

func (t *twoFactor) postSetup(c *fiber.Ctx) error {
	caller, body, err := ownFactor(c)
	if err != nil {
		return err
	}
	password, err := currentPassword(body)
	if err != nil {
		return err
	}
	setup, err := t.setup(c.UserContext(), caller.UserID, password, deviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.OK(c, "2FA setup started", setup)
}

func (t *twoFactor) postVerifySetup(c *fiber.Ctx) error {
	caller, body, err := ownFactor(c)
	if err != nil {
		return err
	}
	require(body, "code")
	code, ok := body.Text("code")
	code = cleanCode(code)
	if ok && !sixDigits.MatchString(code) {
		body.Fail("code", "must be six digits")
	}
	withTokens := readRevokeTokens(body)
	if err := body.Err(); err != nil {
		return err
	}
	changed, err := t.enable(c.UserContext(), caller.UserID, code, withTokens, deviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.OK(c, "2FA enabled successfully", changed)
}

func (t *twoFactor) getStatus(c *fiber.Ctx) error {
	caller, err := ownSessions(c)
	if err != nil {
		return err
	}
	status, err := t.status(c.UserContext(), caller.UserID)
	if err != nil {
		return err
	}
	return httpx.OK(c, "2FA status retrieved successfully", status)
}

// postVerify is public: the temporary token says who it is about.
func (t *twoFactor) postVerify(c *fiber.Ctx) error {
	body, err := httpx.Body(c)
	if err != nil {
		return err
	}
	token, sent := body.String("temp_token", 1, maxRefreshToken)
	code := codeField(body, "code")
	if err := body.Err(); err != nil {
		return err
	}
	if !sent {
		if token = bearer(c); token == "" {
			return apperr.MissingToken()
		}
	}
	in, err := t.finish(c.UserContext(), token, code, deviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.OK(c, "Login successful", in)
}

// bearer returns the token of an Authorization header (RFC 6750), "" when there is none.
func bearer(c *fiber.Ctx) string {
	scheme, token, _ := strings.Cut(c.Get(fiber.HeaderAuthorization), " ")
	if !ascii.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.Clone(strings.TrimSpace(token))
}

// confirmed returns the caller, and the password and code with which they confirm a change of their
// own second factor.
func confirmed(c *fiber.Ctx) (caller auth.Identity, password, code string, err error) {
	caller, body, err := ownFactor(c)
	if err != nil {
		return caller, "", "", err
	}
	password, code, err = passwordAndCode(body, "code")
	return caller, password, code, err
}

func (t *twoFactor) deleteFactor(c *fiber.Ctx) error {
	caller, password, code, err := confirmed(c)
	if err != nil {
		return err
	}
	changed, err := t.disable(c.UserContext(), caller.UserID, password, code, deviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.OK(c, "2FA disabled successfully", changed)
}

func (t *twoFactor) postRegenerate(c *fiber.Ctx) error {
	caller, password, code, err := confirmed(c)
	if err != nil {
		return err
	}
	codes, err := t.regenerate(c.UserContext(), caller.UserID, password, code, deviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.OK(c, "Backup codes regenerated successfully", map[string][]string{"backup_codes": codes})
}

func (t *twoFactor) putGate(c *fiber.Ctx) error {
	caller, body, err := ownFactor(c)
	if err != nil {
		return err
	}
	require(body, "enabled")
	on, ok := body.Bool("enabled")
	var password, code string
	if ok && !on {
		if password, code, err = passwordAndCode(body, "otp_code"); err != nil {
			return err
		}
	} else {
		password = readStoredPassword(body, "password", minCurrentPassword)
		code, _ = body.String("otp_code", minCode, maxCode)
	}
	if err := body.Err(); err != nil {
		return err
	}
	if err := t.setGate(c.UserContext(), caller.UserID, on, password, code, deviceOf(c, nil)); err != nil {
		return err
	}
	return httpx.OK(c, "Token gate updated successfully", map[string]bool{"require_for_tokens": on})
}

func (t *twoFactor) deleteOfUser(c *fiber.Ctx) error {
	userID, err := target(c)
	if err != nil {
		return err
	}
	if err := t.reset(c.UserContext(), userID, actorOf(c, userID)); err != nil {
		return err
	}
	actedOn(c, userID)
	return httpx.OK(c, "Two-factor authentication reset successfully", nil)
}
