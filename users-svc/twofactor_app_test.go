package users_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/realmgate/realmgate/pkg/auth"
)

// authenticator is an authenticator app with the account in it.
type authenticator struct {
	h      *harness
	secret string
	backup []string
}

// code moves the clock one step on and returns the next unused code.
func (a *authenticator) code() string {
	a.h.t.Helper()
	a.h.clock.forward(30 * time.Second)
	return a.now()
}

// now returns the code that the app shows.
func (a *authenticator) now() string {
	a.h.t.Helper()
	code, err := totp.GenerateCode(a.secret, a.h.clock.now())
	if err != nil {
		a.h.t.Fatal(err)
	}
	return code
}

// wrong returns six digits that are no valid code near the present.
func (a *authenticator) wrong() string {
	a.h.t.Helper()
	var right []string
	for step := -3; step <= 3; step++ {
		code, err := totp.GenerateCode(a.secret, a.h.clock.now().Add(time.Duration(step)*30*time.Second))
		if err != nil {
			a.h.t.Fatal(err)
		}
		right = append(right, code)
	}
	for n := 0; ; n++ {
		if code := fmt.Sprintf("%06d", n); !slices.Contains(right, code) {
			return code
		}
	}
}

// setupTwoFactor sets up a second factor without verifying it.
func (h *harness) setupTwoFactor(p testUser) *authenticator {
	h.t.Helper()
	a := h.do(p.identity, "POST", factorPath+"/setup", map[string]any{"password": password}).want(200, "",
		"2FA setup started").mustStatus(200)
	app := &authenticator{h: h, secret: a.text("manual_entry_key")}
	for _, code := range a.field("backup_codes").([]any) {
		app.backup = append(app.backup, code.(string))
	}
	return app
}

// enableTwoFactor enables a second factor and puts the new session into p. more holds names and
// values of further fields in turn.
func (h *harness) enableTwoFactor(p *testUser, more ...any) *authenticator {
	h.t.Helper()
	app := h.setupTwoFactor(*p)
	body := map[string]any{"code": app.code()}
	for i := 0; i+1 < len(more); i += 2 {
		body[more[i].(string)] = more[i+1]
	}
	a := h.do(p.identity, "POST", factorPath+"/verify-setup", body).want(200, "",
		"2FA enabled successfully").mustStatus(200)
	h.adoptSession(p, a)
	return app
}

// adoptSession puts the session of the token pair in a into p.
func (h *harness) adoptSession(p *testUser, a *response) {
	h.t.Helper()
	claims, err := auth.Parse(a.text("token"), h.jwks(), h.cfg.Signing.Issuer, h.cfg.Signing.Audience, h.clock.now)
	if err != nil {
		h.t.Fatal(err)
	}
	p.identity.SessionID, p.token, p.refresh = claims.SessionID, a.text("token"), a.text("refreshToken")
}

// challenge signs in with the password and returns the temporary token.
func (h *harness) challenge(p testUser) string {
	h.t.Helper()
	a := h.do(anonymous, "POST", "/api/v1/users/auth/login",
		map[string]any{"email": p.email, "password": password}).want(200, "", "Login successful").mustStatus(200)
	if a.field("requires_2fa") != true || a.field("method") != "totp" || a.field("token") != nil {
		h.t.Fatalf("got %s, want a challenge and no token", a.body)
	}
	return a.text("temp_token")
}

func (h *harness) verify(temp, code string) *response {
	h.t.Helper()
	return h.do(anonymous, "POST", factorPath+"/verify", map[string]any{"temp_token": temp, "code": code})
}
