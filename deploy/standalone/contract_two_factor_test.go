package main

import (
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
)

// contractSecondFactor drives 2FA from setup to lockout.
func contractSecondFactor(r *running) {
	t, u, base := r.t, r.user("otto"), "/api/v1/users/auth/2fa"
	var tokenItem struct{ ID string }
	r.do("POST", tokens, u.Token, nil).want(t, "token before the gate", 201, "").into(t, &tokenItem)
	r.do("POST", base+"/verify-setup", u.Token, map[string]any{"code": "000000"}).want(t, "verify before setup", 409,
		"TWOFACTOR_SETUP_REQUIRED")
	for _, o := range []operation{{"DELETE", ""}, {"POST", "/backup-codes/regenerate"}, {"PUT", "/token-gate"}} {
		r.do(o.method, base+o.path, u.Token,
			map[string]any{"password": userPassword, "code": "000000", "otp_code": "000000", "enabled": true}).want(t,
			o.method+o.path+" without 2FA", 409, "TWOFACTOR_NOT_ENABLED")
		r.do(o.method, base+o.path, u.Token, map[string]any{"password": 1, "code": 2, "enabled": 3}).want(t,
			o.method+o.path+" with wrong types", 400, "VALIDATION_ERROR")
		r.do(o.method, base+o.path, u.Token, map[string]any{"code": "000000", "otp_code": "000000", "enabled": false}).
			want(t, o.method+o.path+" without a password", 400, "CURRENT_PASSWORD_REQUIRED")
	}
	r.do("POST", base+"/setup", u.Token, nil).want(t, "setup without password", 400, "CURRENT_PASSWORD_REQUIRED")
	r.do("POST", base+"/setup", u.Token, map[string]any{"password": "not-that-one"}).want(t, "setup", 400,
		"CURRENT_PASSWORD_INCORRECT")
	var setup struct {
		Key   string   `json:"manual_entry_key"`
		Codes []string `json:"backup_codes"`
	}
	r.do("POST", base+"/setup", u.Token, map[string]any{"password": userPassword}).want(t, "setup", 200, "").into(t,
		&setup)
	r.do("POST", base+"/verify-setup", u.Token, map[string]any{"code": 7}).want(t, "verify with a number", 400,
		"VALIDATION_ERROR")
	r.do("POST", base+"/verify-setup", u.Token, map[string]any{"code": "000000"}).want(t, "verify with a wrong code",
		401, "INVALID_OTP_CODE")
	var pair struct{ Token string }
	r.do("POST", base+"/verify-setup", u.Token,
		map[string]any{"code": code(t, setup.Key, 0), "revoke_tokens": false}).want(t, "verify", 200, "").into(t, &pair)
	u.Token = pair.Token
	r.get(base+"/status", u.Token).want(t, "status", 200, "")
	r.do("POST", base+"/setup", u.Token, map[string]any{"password": userPassword}).want(t, "setup again", 409,
		"TWOFACTOR_ALREADY_ENABLED")
	r.do("POST", base+"/verify-setup", u.Token, map[string]any{"code": "000000"}).want(t, "verify again", 409,
		"TWOFACTOR_ALREADY_ENABLED")
	contractSecondFactorLogin(r, u, setup.Codes)
	contractTokenGate(r, u, setup.Codes, tokenItem.ID)
}

// code returns the one-time password of a key, a number of 30 s steps from now.
func code(t *testing.T, key string, steps int) string {
	t.Helper()
	c, err := totp.GenerateCode(strings.ReplaceAll(key, " ", ""), time.Now().Add(time.Duration(steps)*30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func contractSecondFactorLogin(r *running, u account, backup []string) {
	t, verify := r.t, "/api/v1/users/auth/2fa/verify"
	var half struct {
		TempToken string `json:"temp_token"`
	}
	signIn := func() {
		r.do("POST", "/api/v1/users/auth/login", "", map[string]any{"email": u.Email, "password": userPassword}).want(t,
			"first half of a login", 200, "").into(t, &half)
	}
	signIn()
	r.do("POST", verify, "", map[string]any{"temp_token": half.TempToken}).want(t, "without a code", 400,
		"VALIDATION_ERROR")
	r.do("POST", verify, "", map[string]any{"code": backup[0]}).want(t, "without a temporary token", 401,
		"MISSING_TOKEN")
	r.do("POST", verify, "", map[string]any{"temp_token": "garbage", "code": backup[0]}).want(t, "with garbage", 401,
		"INVALID_TOKEN")
	r.do("POST", verify, "", map[string]any{"temp_token": half.TempToken, "code": "wrong-code"}).want(t,
		"with a wrong code", 401, "INVALID_OTP_CODE")
	r.do("POST", verify, half.TempToken, map[string]any{"code": backup[0]}).want(t, "with a backup code", 200, "")
}

// contractTokenGate asks for a code where tokens are managed, and then uses up all attempts.
func contractTokenGate(r *running, u account, backup []string, tokenID string) {
	t, base := r.t, "/api/v1/users/auth/2fa"
	r.do("PUT", base+"/token-gate", u.Token, map[string]any{"enabled": true}).want(t, "gate on", 200, "")
	r.do("PUT", base+"/token-gate", u.Token,
		map[string]any{"enabled": false, "password": "not-that-one", "otp_code": backup[1]}).want(t,
		"gate off, wrong password", 400, "CURRENT_PASSWORD_INCORRECT")
	gated := []operation{{"POST", ""}, {"PUT", "/" + tokenID}, {"PATCH", "/" + tokenID},
		{"POST", "/" + tokenID + "/copy"},
		{"POST", "/" + tokenID + "/add-realm"}, {"POST", "/" + tokenID + "/remove-realm"}}
	for _, o := range gated {
		r.do(o.method, tokens+o.path, u.Token, realmField(o.path)).want(t, o.method+o.path+" without a code", 401,
			"OTP_REQUIRED")
	}
	next := 1
	for _, o := range gated {
		body := realmField(o.path)
		body["otp_code"] = "wrong-code"
		r.do(o.method, tokens+o.path, u.Token, body).want(t, o.method+o.path+" with a wrong code", 401,
			"INVALID_OTP_CODE")
		body["otp_code"] = backup[next]
		r.do(o.method, tokens+o.path, u.Token, body)
		next++ // a correct code resets the failure count
	}
	with := func(o operation, code, password string) answer {
		return r.do(o.method, base+o.path, u.Token,
			map[string]any{"password": password, "code": code, "otp_code": code, "enabled": false})
	}
	off, regenerate, gate := operation{"DELETE", ""}, operation{"POST", "/backup-codes/regenerate"},
		operation{"PUT", "/token-gate"}
	for _, o := range []operation{off, regenerate} {
		with(o, backup[next], "not-that-one").want(t, o.path+" wrong password", 400, "CURRENT_PASSWORD_INCORRECT")
	}
	var fresh struct {
		Codes []string `json:"backup_codes"`
	}
	with(regenerate, backup[next], userPassword).want(t, "regenerate", 200, "").into(t, &fresh)
	for _, o := range []operation{off, regenerate, gate} {
		with(o, "wrong-code", userPassword).want(t, o.path+" wrong code", 401, "INVALID_OTP_CODE")
	}
	for range 5 {
		with(gate, "wrong-code", userPassword)
	}
	var half struct {
		TempToken string `json:"temp_token"`
	}
	r.do("POST", "/api/v1/users/auth/login", "", map[string]any{"email": u.Email, "password": userPassword}).want(t,
		"login", 200, "").into(t, &half)
	r.do("POST", base+"/verify", "", map[string]any{"temp_token": half.TempToken, "code": fresh.Codes[0]}).want(t,
		"locked", 429, "TWOFACTOR_RATE_LIMIT")
	for _, o := range []operation{off, regenerate, gate} {
		with(o, fresh.Codes[0], userPassword).want(t, o.method+o.path+" locked", 429, "TWOFACTOR_RATE_LIMIT")
	}
	for _, o := range gated {
		body := realmField(o.path)
		body["otp_code"] = fresh.Codes[0]
		r.do(o.method, tokens+o.path, u.Token, body).want(t, o.method+o.path+" locked", 429, "TWOFACTOR_RATE_LIMIT")
	}
	contractSecondFactorReset(r, u)
}

// contractSecondFactorReset has an admin reset the second factor of u, and locks its next setup.
func contractSecondFactorReset(r *running, u account) {
	t, base := r.t, "/api/v1/users/auth/2fa"
	admin := r.admin()
	r.do("DELETE", "/api/v1/users/"+u.ID+"/2fa", admin.Token, nil).want(t, "an admin resets it", 200, "")
	again := r.login(u.Email, userPassword)
	r.do("POST", base+"/setup", again.Token, map[string]any{"password": userPassword}).want(t, "setup", 200, "")
	for range 5 {
		r.do("POST", base+"/verify-setup", again.Token, map[string]any{"code": "000000"})
	}
	r.do("POST", base+"/verify-setup", again.Token, map[string]any{"code": "000000"}).want(t, "setup locked", 429,
		"TWOFACTOR_RATE_LIMIT")
}

// contractSecondFactorOff disables 2FA. Between the two steps of a sign-in it meets a ban and a
// temporary token that is too old.
func contractSecondFactorOff(r *running) {
	t, base, admin := r.t, "/api/v1/users/auth/2fa", r.admin()
	for _, name := range []string{"ruth", "rolf"} {
		u := r.user(name)
		var setup struct {
			Key   string   `json:"manual_entry_key"`
			Codes []string `json:"backup_codes"`
		}
		r.do("POST", base+"/setup", u.Token, map[string]any{"password": userPassword}).want(t, "setup", 200, "").into(t,
			&setup)
		var pair struct{ Token string }
		r.do("POST", base+"/verify-setup", u.Token, map[string]any{"code": code(t, setup.Key, 0)}).want(t, "verify",
			200, "").into(t, &pair)
		if name == "ruth" {
			r.do("DELETE", base, pair.Token, map[string]any{"password": userPassword, "code": setup.Codes[0]}).want(t,
				"disable", 200, "")
			continue
		}
		var half struct {
			TempToken string `json:"temp_token"`
		}
		r.do("POST", "/api/v1/users/auth/login", "", map[string]any{"email": u.Email, "password": userPassword}).want(t,
			"login", 200, "").into(t, &half)
		time.Sleep(2100 * time.Millisecond)
		r.do("POST", base+"/verify", "", map[string]any{"temp_token": half.TempToken, "code": setup.Codes[0]}).want(t,
			"too late", 401, "TOKEN_EXPIRED")
		r.do("POST", "/api/v1/users/auth/login", "", map[string]any{"email": u.Email, "password": userPassword}).want(t,
			"login", 200, "").into(t, &half)
		r.do("PATCH", "/api/v1/users/"+u.ID, admin.Token, map[string]any{"is_banned": true}).want(t, "ban", 200, "")
		r.do("POST", base+"/verify", "", map[string]any{"temp_token": half.TempToken, "code": setup.Codes[0]}).want(t,
			"banned between the halves", 403, "ACCOUNT_BANNED")
	}
}
