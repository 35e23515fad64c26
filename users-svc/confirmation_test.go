package users_test

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/ratelimit"
	"github.com/realmgate/realmgate/users-svc"
)

const confirmPath = "/api/v1/users/me/confirm"

// confirmationTTL is how long a session counts as confirmed.
const confirmationTTL = 10 * time.Minute

// tokenRoutes returns the routes that create and change auth tokens.
func tokenRoutes(tokenID string) [][2]string {
	return [][2]string{{"POST", ""}, {"PATCH", "/" + tokenID}, {"PUT", "/" + tokenID}, {"POST", "/" + tokenID + "/copy"},
		{"POST", "/" + tokenID + "/add-realm"}, {"POST", "/" + tokenID + "/remove-realm"}}
}

// changeToken sends a request to one of tokenRoutes, with the realm where the route needs one.
func (h *harness) changeToken(who auth.Identity, route [2]string, fields map[string]any) *response {
	h.t.Helper()
	body := map[string]any{}
	if strings.HasSuffix(route[1], "realm") {
		body["realm_id"] = realmA
	}
	maps.Copy(body, fields)
	return h.do(who, route[0], tokens+route[1], body)
}

// tokenChanges sends one request to each of tokenRoutes.
func (h *harness) tokenChanges(who auth.Identity, tokenID string, fields map[string]any) map[string]*response {
	h.t.Helper()
	out := map[string]*response{}
	for _, route := range tokenRoutes(tokenID) {
		out[route[0]+route[1]] = h.changeToken(who, route, fields)
	}
	return out
}

func TestOldSessionMustConfirmBeforeTokenChange(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	me := h.signUp()
	tokenID, secret := h.createToken(me.identity, `{"permission_template":"full_access"}`)
	expect := func(what string, fields map[string]any, status int, code string) {
		t.Helper()
		for route, a := range h.tokenChanges(me.identity, tokenID, fields) {
			if ok := a.status == 200 || a.status == 201; a.code != code || status == 0 && !ok || status != 0 &&
				a.status != status {
				t.Errorf("%s: %s: got %d %s, want %d %s", what, route, a.status, a.body, status, code)
			}
		}
	}
	h.clock.forward(confirmationTTL - time.Minute)
	expect("nine minutes after signing in", nil, 0, "")
	h.clock.forward(2 * time.Minute)
	expect("later", nil, 403, "CONFIRMATION_REQUIRED")
	expect("with a code, without a second factor", map[string]any{"otp_code": "123456"}, 403, "CONFIRMATION_REQUIRED")
	expect("with a wrong password", map[string]any{"current_password": "not-that-one"}, 400, "CURRENT_PASSWORD_INCORRECT")
	h.do(anonymous, "POST", "/api/v1/users/auth/refresh", map[string]any{"refreshToken": me.refresh}).mustStatus(200)
	expect("after a refresh", nil, 403, "CONFIRMATION_REQUIRED")
	if n := len(h.do(me.identity, "GET", tokens, nil).mustStatus(200).data.([]any)); n != 3 {
		t.Errorf("%d tokens after refusals, want the 3 from before", n)
	}
	// Reading and deleting need no confirmation, and a token is bounded by its own rights.
	h.createToken(h.tokenIdentity(secret), nil)
	h.do(h.tokenIdentity(secret), "POST", tokens, map[string]any{"current_password": password}).want(403,
		"INSUFFICIENT_PERMISSIONS",
		"")
	other, _ := h.createToken(h.tokenIdentity(secret), nil)
	h.do(me.identity, "DELETE", tokens+"/"+other, nil).mustStatus(200)

	expect("with the password", map[string]any{"current_password": password}, 0, "")
	expect("which confirmed the session", nil, 0, "")
	h.clock.forward(confirmationTTL + time.Second)
	expect("until it is over", nil, 403, "CONFIRMATION_REQUIRED")
	if again := h.signIn(me.email, password); again.id != me.id {
		t.Fatal("another user")
	} else {
		h.createToken(again.identity, nil)
	}
	expect("another session's sign-in", nil, 403, "CONFIRMATION_REQUIRED")
}

func TestSessionConfirmation(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin, func(c *users.Config) {
		c.Passwords.AccountRate = ratelimit.Rate{Count: 5,
			Period: 15 * time.Minute}
	})
	me, banned := h.signUp(), h.signUp()
	_, secret := h.createToken(me.identity, `{"permission_template":"full_access"}`)
	h.clock.forward(confirmationTTL + time.Minute)
	for name, c := range map[string]struct {
		who    auth.Identity
		body   string
		status int
		code   string
	}{
		"an auth token": {h.tokenIdentity(secret), `{"password":"` + password + `"}`, 403, "INSUFFICIENT_PERMISSIONS"},
		"a banned user": {auth.Identity{Kind: auth.Session, UserID: banned.id, SessionID: banned.identity.SessionID,
			Banned: true}, `{"password":"` + password + `"}`, 403, "ACCOUNT_BANNED"},
		"nobody":           {anonymous, `{"password":"` + password + `"}`, 401, "MISSING_TOKEN"},
		"nothing":          {me.identity, ``, 400, "CURRENT_PASSWORD_REQUIRED"},
		"null":             {me.identity, `{"password":null}`, 400, "CURRENT_PASSWORD_REQUIRED"},
		"an empty one":     {me.identity, `{"password":""}`, 400, "CURRENT_PASSWORD_REQUIRED"},
		"a number":         {me.identity, `{"password":5}`, 400, "VALIDATION_ERROR"},
		"a long one":       {me.identity, `{"password":"` + strings.Repeat("x", 129) + `"}`, 400, "VALIDATION_ERROR"},
		"a short one":      {me.identity, `{"password":"x"}`, 400, "CURRENT_PASSWORD_INCORRECT"},
		"no second factor": {me.identity, `{"password":"` + password + `","code":"123456"}`, 409, "TWOFACTOR_NOT_ENABLED"},
	} {
		if a := h.do(c.who, "POST", confirmPath, c.body); a.status != c.status || a.code != c.code {
			t.Errorf("%s: got %d %s, want %d %s", name, a.status, a.body, c.status, c.code)
		}
	}
	h.do(me.identity, "POST", tokens, nil).want(403, "CONFIRMATION_REQUIRED", "")
	a := h.do(me.identity, "POST", confirmPath, map[string]any{"password": password}).want(200, "", "Session confirmed")
	until, err := time.Parse(time.RFC3339, a.text("confirmed_until"))
	if left := until.Sub(h.clock.now()); err != nil || left > confirmationTTL || left < confirmationTTL-time.Minute {
		t.Errorf("confirmed_until %v is %v from now (%v)", until, left, err)
	}
	h.createToken(me.identity, nil)
	for range 5 {
		h.do(me.identity, "POST", confirmPath, map[string]any{"password": "not-that-one"}).want(400,
			"CURRENT_PASSWORD_INCORRECT", "")
	}
	h.do(me.identity, "POST", confirmPath, map[string]any{"password": password}).want(429, "RATE_LIMITED", "")
	h.do(me.identity, "POST", tokens, map[string]any{"current_password": password}).want(429, "RATE_LIMITED", "")
}

func TestCodeConfirmsSession(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	app := h.enableTwoFactor(&me)
	h.do(me.identity, "PUT", factorPath+"/token-gate",
		map[string]any{"enabled": false, "password": password, "otp_code": app.code()}).mustStatus(200)
	h.createToken(me.identity, nil) // turning the gate off verified both
	h.clock.forward(confirmationTTL + time.Minute)
	h.do(me.identity, "POST", tokens, nil).want(403, "CONFIRMATION_REQUIRED", "")
	h.do(me.identity, "POST", tokens, map[string]any{"otp_code": app.wrong()}).want(401, "INVALID_OTP_CODE", "")
	h.createToken(me.identity, map[string]any{"otp_code": app.code()})
	h.createToken(me.identity, nil)
	h.clock.forward(confirmationTTL + time.Minute)
	h.do(me.identity, "POST", confirmPath, map[string]any{"password": "not-that-one", "code": app.backup[0]}).want(400,
		"CURRENT_PASSWORD_INCORRECT", "")
	h.do(me.identity, "POST", confirmPath, map[string]any{"password": password, "code": app.wrong()}).want(401,
		"INVALID_OTP_CODE", "")
	h.do(me.identity, "POST", confirmPath, map[string]any{"password": password, "code": app.backup[0]}).mustStatus(200)
	h.createToken(me.identity, nil)
	// A login with the second factor confirms too.
	h.clock.forward(confirmationTTL + time.Minute)
	again := h.userOf(me.email, h.verify(h.challenge(me), app.backup[1]).mustStatus(200))
	h.createToken(again.identity, nil)
}

// TestEndedSessionCreatesNoToken races token requests with the end of their session: every token
// that was answered is in the list, and none appears afterwards.
func TestEndedSessionCreatesNoToken(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	other := h.signIn(me.email, password)
	var wait sync.WaitGroup
	made := make([]*response, 8)
	for i := range made {
		wait.Go(func() { made[i] = h.do(other.identity, "POST", tokens, nil) })
	}
	h.do(me.identity, "DELETE", ownSessions, nil).mustStatus(200)
	ended := len(h.do(me.identity, "GET", tokens, nil).mustStatus(200).data.([]any))
	wait.Wait()
	created := 0
	for _, a := range made {
		if a.status == 201 {
			created++
		} else {
			a.want(401, "INVALID_TOKEN", "")
		}
	}
	if now := len(h.do(me.identity, "GET", tokens, nil).mustStatus(200).data.([]any)); now != ended || created != now {
		t.Errorf("%d tokens when the session had ended, %d later, %d answered", ended, now, created)
	}
	h.do(other.identity, "POST", tokens, nil).want(401, "INVALID_TOKEN", "")
}

func TestUnknownTokenFieldIsRefused(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	tokenID, secret := h.createToken(me.identity, `{"permission_template":"full_access"}`)
	for _, who := range []auth.Identity{me.identity, h.tokenIdentity(secret)} {
		for name, fields := range map[string]map[string]any{
			"/expire_at": {"expire_at": "2030-01-01"}, "/realm": {"realm": realmA}, "/permission": {"permission": nil},
			"/vaultAccess": {"vaultAccess": true},
			"/a~1b":        {"a/b": map[string]any{"c": 1}}, "/deny_reauthorization": {"deny_reauthorization": "yes"},
			"/current_password": {"current_password": 7},
		} {
			for route, a := range h.tokenChanges(who, tokenID, fields) {
				if a.status != 400 || a.code != "VALIDATION_ERROR" || !strings.Contains(string(a.body), `"`+name+`"`) {
					t.Errorf("%s with %v: got %d %s, want VALIDATION_ERROR at %s", route, fields, a.status, a.body, name)
				}
			}
		}
	}
	h.do(me.identity, "POST", tokens, map[string]any{"realm_id": realmA}).want(400, "VALIDATION_ERROR", "")
	h.do(me.identity, "POST", tokens+"/"+tokenID+"/copy", map[string]any{"vault_access": true}).want(400,
		"VALIDATION_ERROR", "")
	if n := query[int](h, `SELECT count(*)::int FROM auth_tokens`); n != 1 {
		t.Errorf("%d tokens, want the first alone", n)
	}
	// Fields that official clients may send have no effect.
	for route, a := range h.tokenChanges(me.identity, tokenID, map[string]any{"deny_reauthorization": true}) {
		if a.status > 201 || strings.Contains(string(a.body), "warnings") || strings.Contains(string(a.body), "deny_re") {
			t.Errorf("%s: got %d %s", route, a.status, a.body)
		}
	}
	if a := h.do(me.identity, "GET", tokens+"/"+tokenID,
		nil).mustStatus(200); fmt.Sprint(a.field("is_enabled")) != "true" {
		t.Errorf("got %s", a.body)
	}
}

// TestMissingCurrentPasswordHasOneCode asks every route that needs the current password again.
func TestMissingCurrentPasswordHasOneCode(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	for route, rest := range map[string]string{
		"POST /setup": ``, "DELETE ": `,"code":"123456"`, "POST /backup-codes/regenerate": `,"code":"123456"`,
		"PUT /token-gate": `,"enabled":false,"otp_code":"123456"`,
	} {
		method, path, _ := strings.Cut(route, " ")
		for _, password := range []string{`"x":0`, `"password":null`, `"password":""`} {
			h.do(me.identity, method, factorPath+path, "{"+password+rest+"}").
				want(400, "CURRENT_PASSWORD_REQUIRED", "Current password is required")
		}
		if method != "PUT" {
			h.do(me.identity, method, factorPath+path, nil).want(400, "CURRENT_PASSWORD_REQUIRED", "")
		}
	}
	h.do(me.identity, "POST", factorPath+"/setup", `{"password":"short"}`).want(400, "CURRENT_PASSWORD_INCORRECT", "")
	h.do(me.identity, "DELETE", factorPath, `{"password":"`+password+`"}`).want(400, "VALIDATION_ERROR", "")
}
