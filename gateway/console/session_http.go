package console

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/ascii"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/input"
	"github.com/realmgate/realmgate/pkg/internalapi"
)

// The paths of the cookie session, and those of users-svc that do their work.
const (
	SessionPath = "/console/session"
	RefreshPath = "/console/session/refresh"

	loginPath   = "/api/v1/users/auth/login"
	verifyPath  = "/api/v1/users/auth/2fa/verify"
	refreshPath = "/api/v1/users/auth/refresh"
	logoutPath  = "/api/v1/users/auth/logout"
)

// header is sent by the console with every request. A form or a link of another site cannot send
// it, and a script of another site only after a preflight.
const header = "X-Realmgate-Console"

// Session is a request of the console whose answer may set the cookie.
type Session struct {
	cookie string // its name
	kind   kind
}

type kind uint8

const (
	signIn kind = iota // or any route that may answer with a refresh token
	refresh
	signOut
)

// Call is a request to users-svc, with a JSON body.
type Call struct {
	Method, Path string
	Body         []byte
	fromCookie   bool
}

// IsConsole reports whether the console sent the request, as far as its header tells.
func IsConsole(c *fiber.Ctx) bool {
	values := lines(c, header)
	return len(values) == 1 && values[0] == "1"
}

// lines returns the values of a header, one for each of its lines.
func lines(c *fiber.Ctx, name string) []string {
	var values []string
	for _, line := range c.Request().Header.PeekAll(name) { // valid until the next call of PeekAll
		values = append(values, string(line))
	}
	return values
}

// NewSession checks that a page of this origin sent the request: the header of the console, and at
// least one of Origin and Sec-Fetch-Site, which browsers write and scripts cannot. secure tells
// whether the client's connection is https. It returns 403 CROSS_SITE_REQUEST otherwise, and 403
// HTTPS_REQUIRED on plain http to a name that is not loopback.
func NewSession(c *fiber.Ctx, secure bool) (*Session, error) {
	origins, sites := lines(c, fiber.HeaderOrigin), lines(c, "Sec-Fetch-Site")
	host := string(c.Request().Header.Host())
	fromHost := IsConsole(c) && len(origins)+len(sites) > 0
	for _, site := range sites {
		fromHost = fromHost && site == "same-origin"
	}
	for _, given := range origins {
		fromHost = fromHost && sameHost(given, host)
	}
	name, ok := cookieName(secure, host)
	if fromHost && !ok {
		return nil, apperr.New(apperr.Forbidden, "HTTPS_REQUIRED",
			"The console needs https, except on localhost. If a proxy "+
				"ends TLS, it must send X-Forwarded-Proto: https and be in TRUSTED_PROXIES")
	}
	for _, given := range origins {
		fromHost = fromHost && ascii.EqualFold(given, origin(secure, host))
	}
	if !fromHost {
		return nil, apperr.New(apperr.Forbidden, "CROSS_SITE_REQUEST", "Only the console's own pages may send this request")
	}
	return &Session{cookie: name}, nil
}

// Calls translates a request to one of the cookie routes into those to users-svc, to be made in
// turn until one fails. There is more than one only if the browser sent different values of the
// cookie and the session is to end. There is none when the caller is to answer that no session is
// left. The error is 401 for a refresh without a usable cookie.
func (s *Session) Calls(c *fiber.Ctx, path string, body []byte) ([]Call, error) {
	if path == SessionPath && c.Method() == fiber.MethodPost {
		return []Call{{Method: fiber.MethodPost, Path: signInPath(body), Body: body}}, nil
	}
	to := refreshPath
	if s.kind = refresh; path == SessionPath {
		s.kind, to = signOut, logoutPath
	}
	values := cookieValues(lines(c, fiber.HeaderCookie), s.cookie)
	var calls []Call
	for _, value := range values {
		if !isToken(value) {
			continue
		}
		body, err := api.Marshal(map[string]string{"refreshToken": value})
		if err != nil {
			return nil, err
		}
		calls = append(calls, Call{Method: fiber.MethodPost, Path: to, Body: body, fromCookie: true})
	}
	switch {
	case s.kind == refresh && len(values) == 0:
		return nil, apperr.MissingToken()
	case s.kind == refresh && (len(values) > 1 || len(calls) == 0): // whose session is meant is not certain
		s.clear(c)
		return nil, apperr.InvalidToken()
	case s.kind == signOut && len(calls) == 0:
		s.clear(c)
	}
	return calls, nil
}

// signInPath returns the path that completes a pending sign-in, or that of login.
func signInPath(body []byte) string {
	if fields, err := input.ParseFields(body, "temp_token"); err == nil && fields.Has("temp_token") {
		return verifyPath
	}
	return loginPath
}

// Apply writes the call into a request.
func (call Call) Apply(req *fasthttp.Request) {
	req.Header.SetMethod(call.Method)
	req.Header.SetRequestURI(call.Path)
	req.SetBodyRaw(call.Body)
	if call.fromCookie {
		req.Header.SetContentType("application/json")
		req.Header.Set(internalapi.CookieSessionHeader, "1")
	}
}

// Finish moves the refresh token of the answer, if there is one, into the cookie. It clears the
// cookie when the session has ended.
func (s *Session) Finish(c *fiber.Ctx) error {
	resp := c.Response()
	status := resp.StatusCode()
	switch {
	case s.kind == signOut && status == http.StatusOK, s.kind == refresh && status == http.StatusUnauthorized:
		s.clear(c)
		return nil
	case s.kind == signOut: // users-svc of the previous release cannot end the session
		resp.Reset()
		return apperr.ServiceUnavailable(nil)
	case status != http.StatusOK || !bytes.Contains(resp.Body(), []byte(`"refreshToken"`)):
		return nil
	}
	var answer struct {
		api.Success
		Data map[string]json.RawMessage `json:"data"`
	}
	var pair struct {
		Data struct {
			RefreshToken     string `json:"refreshToken"`
			RefreshExpiresIn int64  `json:"refresh_expires_in"`
		} `json:"data"`
	}
	if err := json.Unmarshal(resp.Body(), &answer); err != nil {
		return err
	}
	if err := json.Unmarshal(resp.Body(), &pair); err != nil {
		return err
	}
	if !isToken(pair.Data.RefreshToken) {
		return nil
	}
	delete(answer.Data, "refreshToken")
	answer.Success.Data = answer.Data
	body, err := json.Marshal(answer.Success)
	if err != nil {
		return err
	}
	resp.SetBodyRaw(body)
	c.Set(fiber.HeaderSetCookie, setCookie(s.cookie, pair.Data.RefreshToken, pair.Data.RefreshExpiresIn))
	return nil
}

// SignedOut answers a request to end a session that does not exist.
func SignedOut(c *fiber.Ctx) error { return httpx.OK(c, "Logout successful", nil) }

func (s *Session) clear(c *fiber.Ctx) { c.Set(fiber.HeaderSetCookie, setCookie(s.cookie, "", 0)) }
