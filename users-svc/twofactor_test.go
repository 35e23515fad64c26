package users_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image/png"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

const factorPath = "/api/v1/users/auth/2fa"

func TestSetupMatchesAuthenticator(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	a := h.do(me.identity, "POST", factorPath+"/setup", map[string]any{"password": password}).mustStatus(200)
	raw, ok := strings.CutPrefix(a.text("qr_code"), "data:image/png;base64,")
	picture, err := base64.StdEncoding.DecodeString(raw)
	if !ok || err != nil {
		t.Fatalf("qr_code: got %.60s: %v", a.text("qr_code"), err)
	}
	if _, err := png.Decode(bytes.NewReader(picture)); err != nil {
		t.Errorf("qr_code is no PNG: %v", err)
	}
	if key := a.text("manual_entry_key"); !regexp.MustCompile(`^[A-Z2-7]{32}$`).MatchString(key) {
		t.Errorf("manual_entry_key: got %s, want 160 bits in base 32", key)
	}
	codes := a.field("backup_codes").([]any)
	seen := map[any]bool{}
	for _, code := range codes {
		if seen[code] = true; !regexp.MustCompile(`^[a-z0-9]{10}$`).MatchString(code.(string)) {
			t.Errorf("backup code: got %s", code)
		}
	}
	if len(codes) != 10 || len(seen) != 10 {
		t.Errorf("backup codes: got %v, want ten different ones", codes)
	}
	if n := query[int](h, `SELECT count(*)::int FROM two_factor WHERE position(convert_to($1, 'UTF8') in secret) > 0`,
		a.text("manual_entry_key")); n != 0 {
		t.Error("the key is readable in the database")
	}
	s := h.do(me.identity, "GET", factorPath+"/status", nil).want(200, "", "2FA status retrieved successfully")
	if got, want := fmt.Sprint(s.data),
		"map[backup_codes_remaining:0 enabled:false enabled_at:<nil> require_for_tokens:false verified:false]"; got != want {
		t.Errorf("status before it is verified: got %s, want %s", got, want)
	}
	h.signIn(me.email, password) // needs no code yet
}

func TestLongAddressFitsIntoQRCode(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	query[string](h, `UPDATE users SET email = repeat('é', 255) WHERE id = $1 RETURNING id`, me.id)
	h.setupTwoFactor(me)
}

func TestEnablingSecondFactorEndsOtherSessions(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	other, old := h.signIn(me.email, password), me
	app := h.setupTwoFactor(me)
	h.do(me.identity, "POST", factorPath+"/verify-setup", map[string]any{"code": app.backup[0]}).want(400,
		"VALIDATION_ERROR", "")
	h.do(me.identity, "POST", factorPath+"/verify-setup", map[string]any{"code": app.wrong()}).want(401,
		"INVALID_OTP_CODE", "Invalid one-time code")
	code := app.code() // as an app shows it
	a := h.do(me.identity, "POST", factorPath+"/verify-setup",
		map[string]any{"code": " " + code[:3] + " " + code[3:]}).mustStatus(200)
	if a.field("enabled") != true || a.field("sessions_revoked") != true || a.field("expires_in") != 86400.0 {
		t.Errorf("got %s, want it enabled with a pair", a.body)
	}
	h.adoptSession(&me, a)
	if h.alive(other) || h.alive(old) || !h.alive(me) {
		t.Errorf("alive: other %v, old %v, fresh %v, want only the fresh one", h.alive(other), h.alive(old), h.alive(me))
	}
	h.do(anonymous, "POST", "/api/v1/users/auth/refresh", map[string]any{"refreshToken": me.refresh}).mustStatus(200)
	s := h.do(me.identity, "GET", factorPath+"/status", nil).mustStatus(200)
	if s.field("enabled") != true || s.field("verified") != true || s.field("backup_codes_remaining") != 10.0 ||
		s.field("require_for_tokens") != true || s.text("enabled_at") != a.text("enabled_at") {
		t.Errorf("status: got %s", s.body)
	}
	h.do(me.identity, "POST", factorPath+"/setup", map[string]any{"password": password}).want(409,
		"TWOFACTOR_ALREADY_ENABLED", "Two-factor authentication is already enabled")
	h.do(me.identity, "POST", factorPath+"/verify-setup", map[string]any{"code": app.code()}).want(409,
		"TWOFACTOR_ALREADY_ENABLED", "")
}

func TestLoginNeedsCode(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	app := h.enableTwoFactor(&me)
	temp := h.challenge(me)
	a := h.verify(temp, app.wrong()).want(401, "INVALID_OTP_CODE", "")
	if a.field("attempts_remaining") != 4.0 {
		t.Errorf("got %s, want 4 attempts left", a.body)
	}
	signedIn := h.verify(temp, app.code()).want(200, "", "Login successful")
	if p := h.userOf(me.email, signedIn); p.id != me.id || !h.alive(p) {
		t.Errorf("got %s, want a session of %s", signedIn.body, me.id)
	}
	if _, there := signedIn.data.(map[string]any)["server"]; !there || signedIn.text("client_ip") != "192.0.2.1" {
		t.Errorf("got %s, want everything that a login answers", signedIn.body)
	}
	h.verify(temp, app.code()).want(401, "INVALID_TOKEN", "") // used up

	temp = h.challenge(me)
	h.do(anonymous, "POST", factorPath+"/verify", map[string]any{"code": app.code()}, "Authorization",
		"Bearer "+temp).mustStatus(200)
	temp = h.challenge(me)
	h.clock.forward(5 * time.Minute)
	h.verify(temp, app.code()).want(401, "TOKEN_EXPIRED", "")
	h.verify("nonsense", app.code()).want(401, "INVALID_TOKEN", "")
	h.do(anonymous, "POST", factorPath+"/verify", map[string]any{"code": app.code()}).want(401, "MISSING_TOKEN", "")

	temp = h.challenge(me)
	query[string](h, `UPDATE users SET password_hash = 'x' WHERE id = $1 RETURNING id`, me.id)
	h.verify(temp, app.code()).want(401, "INVALID_TOKEN", "")
}

// TestTemporaryTokenWorksOnce: the second request with a token keeps its code.
func TestTemporaryTokenWorksOnce(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	app := h.enableTwoFactor(&me)
	temp := h.challenge(me)
	second := h.doWhileLocked(me.id, func() *response { return h.verify(temp, app.backup[0]) },
		`DELETE FROM two_factor_logins WHERE user_id = $1`)
	second.want(401, "INVALID_TOKEN", "")
	left := func() any {
		return h.do(me.identity, "GET", factorPath+"/status", nil).mustStatus(200).field("backup_codes_remaining")
	}
	if n := left(); n != 10.0 {
		t.Errorf("backup codes after a request that was too late: got %v, want all 10", n)
	}
	temp = h.challenge(me)
	won := h.countConcurrent(8, func(i int) bool { return h.verify(temp, app.backup[i]).status == 200 })
	if n := left(); won != 1 || n != 9.0 {
		t.Errorf("eight codes at once with one temporary token: %d passed and %v backup codes are left, want 1 and 9", won, n)
	}
}

func TestDisablingNeedsPasswordAndCode(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	body := func(password, code string) map[string]any { return map[string]any{"password": password, "code": code} }
	h.do(me.identity, "DELETE", factorPath, body(password, "123456")).want(409, "TWOFACTOR_NOT_ENABLED",
		"Two-factor authentication is not enabled")
	app := h.enableTwoFactor(&me)
	old, temp := me, h.challenge(me)
	h.do(me.identity, "DELETE", factorPath, body("Wrong-horse-22", app.code())).want(400, "CURRENT_PASSWORD_INCORRECT",
		"Current password is incorrect")
	h.do(me.identity, "DELETE", factorPath, body(password, app.wrong())).want(401, "INVALID_OTP_CODE", "")
	a := h.do(me.identity, "DELETE", factorPath, body(password, app.now())).want(200, "", "2FA disabled successfully")
	if a.field("enabled") != false || a.field("enabled_at") != nil || a.field("sessions_revoked") != true {
		t.Errorf("got %s, want it disabled", a.body)
	}
	h.adoptSession(&me, a)
	if h.alive(old) || !h.alive(me) {
		t.Error("disabling must end the old session and open a fresh one")
	}
	h.verify(temp, app.code()).want(401, "INVALID_TOKEN", "")
	h.signIn(me.email, password)
	h.enableTwoFactor(&me) // it can be enabled again
}

func TestTokenGateNeedsCode(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	gate := factorPath + "/token-gate"
	h.do(me.identity, "PUT", gate, `{"enabled":true}`).want(409, "TWOFACTOR_NOT_ENABLED", "")
	tokenID, secret := h.createToken(me.identity, `{"permission_template":"full_access"}`)
	app := h.enableTwoFactor(&me, "revoke_tokens", false)
	for _, route := range tokenRoutes(tokenID) {
		h.changeToken(me.identity, route, nil).want(401, "OTP_REQUIRED", "A one-time code is required")
		h.changeToken(me.identity, route, map[string]any{"otp_code": app.wrong()}).want(401, "INVALID_OTP_CODE", "")
		if a := h.changeToken(me.identity, route, map[string]any{"otp_code": app.code()}); a.status > 201 {
			t.Errorf("%s %s with a code: got %d %s", route[0], route[1], a.status, a.body)
		}
	}
	h.createToken(h.tokenIdentity(secret), nil) // a token is bounded by its own rights
	h.do(me.identity, "DELETE", tokens+"/"+tokenID, nil).mustStatus(200)

	h.do(me.identity, "PUT", gate, `{"enabled":false}`).want(400, "CURRENT_PASSWORD_REQUIRED", "")
	h.do(me.identity, "PUT", gate,
		map[string]any{"enabled": false, "password": password, "otp_code": app.wrong()}).want(401, "INVALID_OTP_CODE", "")
	a := h.do(me.identity, "PUT", gate,
		map[string]any{"enabled": false, "password": password, "otp_code": app.code()}).want(200, "",
		"Token gate updated successfully")
	if fmt.Sprint(a.data) != "map[require_for_tokens:false]" {
		t.Errorf("got %s", a.body)
	}
	h.createToken(me.identity, nil)
	h.do(me.identity, "PUT", gate, `{"enabled":true}`).mustStatus(200)
	h.do(me.identity, "POST", tokens, nil).want(401, "OTP_REQUIRED", "")
}

func TestAdminResetsSecondFactor(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	root, me := h.admin(), h.signUp()
	path := "/api/v1/users/" + me.id + "/2fa"
	h.enableTwoFactor(&me)
	h.do(me.identity, "DELETE", path, nil).want(403, "INSUFFICIENT_PERMISSIONS", "")
	a := h.do(root.identity, "DELETE", path, nil).want(200, "", "Two-factor authentication reset successfully")
	if a.header.Get("X-Realmgate-On-User") != me.id {
		t.Errorf("X-Realmgate-On-User: got %q, want %s", a.header.Get("X-Realmgate-On-User"), me.id)
	}
	if h.alive(me) {
		t.Error("the user's session is alive after the reset")
	}
	again := h.signIn(me.email, password)
	h.do(root.identity, "DELETE", path, nil).mustStatus(200)
	if !h.alive(again) {
		t.Error("resetting what is not there ended a session")
	}
	h.do(root.identity, "DELETE", "/api/v1/users/"+realmA+"/2fa", nil).want(404, "USER_NOT_FOUND", "")
	h.do(root.identity, "DELETE", "/api/v1/users/xyz/2fa", nil).want(400, "INVALID_ID_FORMAT", "")
}

func TestPendingLoginEndsWithItsSecondFactor(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	root, me := h.admin(), h.signUp()
	app := h.enableTwoFactor(&me)
	temp := h.challenge(me)
	h.do(root.identity, "DELETE", "/api/v1/users/"+me.id+"/2fa", nil).mustStatus(200)
	h.verify(temp, app.code()).want(401, "INVALID_TOKEN", "")
	h.signIn(me.email, password)
}

func TestSecondFactorEndpointsValidateRequests(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	_, secret := h.createToken(me.identity, `{"permission_template":"full_access"}`)
	banned := me.identity
	banned.Banned = true
	fields := map[string][]string{
		"POST /setup": {"password"}, "POST /verify-setup": {"code"}, "DELETE ": {"password", "code"},
		"POST /backup-codes/regenerate": {"password", "code"},
		"PUT /token-gate":               {"enabled", "password", "otp_code"}, "POST /verify": {"code", "temp_token"},
		"GET /status": nil,
	}
	for route, names := range fields {
		method, path, _ := strings.Cut(route, " ")
		if path != "/verify" {
			h.do(h.tokenIdentity(secret), method, factorPath+path, nil).want(403, "INSUFFICIENT_PERMISSIONS", "")
			h.do(banned, method, factorPath+path, nil).want(403, "ACCOUNT_BANNED", "")
			h.do(anonymous, method, factorPath+path, nil).want(401, "MISSING_TOKEN", "")
		}
		for _, name := range names {
			for _, v := range []any{1, nil, []string{"x"}, map[string]any{}, "\x00\x00\x00\x00\x00\x00",
				strings.Repeat("9", 2000), ""} {
				if s, ok := v.(string); name == "password" && (v == nil || ok && len(s) < 100) {
					continue // see TestMissingCurrentPasswordHasOneCode
				}
				a := h.do(me.identity, method, factorPath+path, map[string]any{name: v}).want(400, "VALIDATION_ERROR",
					"Validation failed")
				if !strings.Contains(string(a.body), `"instancePath":"/`+name+`"`) {
					t.Errorf("%s %s=%v: got %s, want the field named", route, name, v, a.body)
				}
			}
		}
		if len(names) > 0 {
			h.do(me.identity, method, factorPath+path, "{\"code\":\"\xff\"}").want(400, "VALIDATION_ERROR", "")
		}
	}
	h.do(me.identity, "POST", factorPath+"/verify-setup", `{"code":"123456"}`).want(409, "TWOFACTOR_SETUP_REQUIRED",
		"Two-factor setup has not been started")
	h.do(me.identity, "POST", factorPath+"/setup", `{"password":"Wrong-horse-22"}`).want(400, "CURRENT_PASSWORD_INCORRECT",
		"")
}

func TestConcurrentSetupsLeaveOneThatWorks(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			h.do(me.identity, "POST", factorPath+"/setup", map[string]any{"password": password}).mustStatus(200)
		})
	}
	wait.Wait()
	app := h.enableTwoFactor(&me)
	h.verify(h.challenge(me), app.code()).mustStatus(200)
	if n := query[int](h, `SELECT count(*)::int FROM two_factor_backup_codes`); n != 10 {
		t.Errorf("backup codes: got %d, want 10", n)
	}
}
