package oidc

import (
	_ "embed"
	"regexp"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/utils"

	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/input"
	"github.com/realmgate/realmgate/pkg/internalapi"
	"github.com/realmgate/realmgate/users-svc/internal/field"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// Mount registers the routes of the domain.
func (s *Service) Mount(server *httpx.Server) {
	server.Get("/api/v1/auth/oidc/:name", s.getBegin)
	server.Get("/api/v1/auth/oidc/:name/callback", s.getCallback)
	for _, name := range []string{google, github} {
		server.Get("/api/v1/auth/"+name, s.getBegin)
		server.Get("/api/v1/auth/"+name+"/callback", s.getCallback)
	}
	server.Post("/api/v1/auth/exchange", s.postExchange)
	server.Post("/api/v1/auth/link", s.postLink)
	server.Get("/api/v1/users/me/identities", s.getIdentities)
	server.Delete("/api/v1/users/me/identities", s.deleteIdentities)
	server.Delete("/api/v1/users/me/identities/:id", s.deleteIdentity)
}

// nameOf returns the name of the provider in the path.
func nameOf(c *fiber.Ctx) string {
	if name := c.Params("name"); name != "" {
		return utils.CopyString(name)
	}
	if c.Path() == "/api/v1/auth/"+google || c.Path() == "/api/v1/auth/"+google+"/callback" {
		return google
	}
	return github
}

const (
	maxRedirectURI = 2048 // characters
	maxClient      = 256
	maxInviteCode  = 255
	maxCode        = 2048
)

// challengePattern matches the code challenge of the method S256 (RFC 7636, section 4.2).
var challengePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

func (s *Service) getBegin(c *fiber.Ctx) error {
	q := httpx.Query(c)
	in := beginRequest{RedirectURI: q.Text("redirect_uri", maxRedirectURI),
		CodeChallenge: q.Text("code_challenge", maxRedirectURI), InviteCode: q.Text("invite_code", maxInviteCode),
		browser: s.browserOf(c)}
	if client := q.Text("client", maxClient); client != "" {
		in.Client = &client
	}
	for name, value := range map[string]string{"redirect_uri": in.RedirectURI, "code_challenge": in.CodeChallenge} {
		if value == "" && !q.Has(name) {
			q.Fail(name, "is required")
		}
	}
	if in.CodeChallenge != "" && !challengePattern.MatchString(in.CodeChallenge) {
		q.Fail("code_challenge", "must be the SHA-256 of the verifier in base64url, 43 characters")
	}
	name := nameOf(c)
	if s.providers[name] == nil {
		return errProviderNotFound()
	}
	if err := q.Err(); err != nil {
		return err
	}
	location, browser, err := s.begin(c.UserContext(), name, in)
	if err != nil {
		return err
	}
	c.Cookie(&fiber.Cookie{Name: s.cookieName(), Value: browser, Path: "/", MaxAge: int(flowTTL.Seconds()),
		Secure: s.secureCookie, HTTPOnly: true, SameSite: fiber.CookieSameSiteLaxMode})
	return redirect(c, location)
}

// cookieName returns the name of the cookie that binds sign-ins to the browser in which they began.
func (s *Service) cookieName() string {
	if s.secureCookie {
		return internalapi.SecureSignInCookie
	}
	return internalapi.SignInCookie
}

// browserOf returns the key in the browser's cookie, "" for none.
func (s *Service) browserOf(c *fiber.Ctx) string {
	if value := c.Cookies(s.cookieName()); challengePattern.MatchString(value) {
		return utils.CopyString(value)
	}
	return ""
}

// redirect answers with an address that holds secrets: it must reach no log and no other site.
func redirect(c *fiber.Ctx, location string) error {
	c.Set(fiber.HeaderReferrerPolicy, "no-referrer")
	c.Set(fiber.HeaderCacheControl, "no-store")
	return c.Redirect(location, fiber.StatusFound)
}

//go:embed invalid-state.html
var invalidStatePage string

func (s *Service) getCallback(c *fiber.Ctx) error {
	param := func(name string) string { return utils.CopyString(c.Query(name)) }
	secret := secretsOf{state: param("state"), browser: s.browserOf(c)}
	answer := callbackAnswer{Code: param("code"), Error: param("error"), Issuer: param("iss")}
	location, err := s.callback(c.UserContext(), nameOf(c), secret, answer, request.DeviceOf(c, nil))
	if err != nil {
		c.Set(fiber.HeaderContentSecurityPolicy, "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "+
			"form-action 'none'; frame-ancestors 'none'")
		c.Set(fiber.HeaderReferrerPolicy, "no-referrer")
		c.Set(fiber.HeaderCacheControl, "no-store")
		return err
	}
	return redirect(c, location)
}

// verifierPattern matches a code verifier (RFC 7636, section 4.1).
var verifierPattern = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)

func (s *Service) postExchange(c *fiber.Ctx) error {
	body, err := httpx.Body(c)
	if err != nil {
		return err
	}
	in := exchangeRequest{Code: required(body, "code", maxCode), Verifier: required(body, "code_verifier", maxCode),
		RedirectURI: required(body, "redirect_uri", maxRedirectURI)}
	if in.Verifier != "" && !verifierPattern.MatchString(in.Verifier) {
		body.Fail("code_verifier", "must be 43 to 128 characters of A-Z, a-z, 0-9, hyphen, dot, underscore and tilde")
	}
	if err := body.Err(); err != nil {
		return err
	}
	result, err := s.exchange(c.UserContext(), in, request.DeviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.OK(c, "Login successful", result)
}

// required reads a required text of 1 to max characters.
func required(body *input.Object, name string, max int) string {
	field.Require(body, name)
	value, _ := body.String(name, 1, max)
	return value
}

func (s *Service) postLink(c *fiber.Ctx) error {
	body, err := httpx.Body(c)
	if err != nil {
		return err
	}
	token := required(body, "link_token", maxCode)
	field.Require(body, "password")
	password := field.StoredPassword(body, "password", 0)
	if err := body.Err(); err != nil {
		return err
	}
	result, err := s.link(c.UserContext(), token, password, request.DeviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.OK(c, "Login successful", result)
}

func (s *Service) getIdentities(c *fiber.Ctx) error {
	caller, err := request.OwnSession(c)
	if err != nil {
		return err
	}
	identities, err := s.identities(c.UserContext(), caller.UserID)
	if err != nil {
		return err
	}
	return httpx.OK(c, "Identities retrieved successfully", identities)
}

func (s *Service) deleteIdentities(c *fiber.Ctx) error {
	caller, err := request.OwnSession(c)
	if err != nil {
		return err
	}
	unlinked, err := s.unlink(c.UserContext(), caller.UserID, "", request.DeviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.OK(c, "Identities removed successfully", map[string]int64{"deleted_count": unlinked})
}

func (s *Service) deleteIdentity(c *fiber.Ctx) error {
	caller, id, err := request.OwnSessionID(c)
	if err != nil {
		return err
	}
	if _, err := s.unlink(c.UserContext(), caller.UserID, id, request.DeviceOf(c, nil)); err != nil {
		return err
	}
	return httpx.OK(c, "Identity removed successfully", nil)
}
