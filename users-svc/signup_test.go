package users_test

import (
	"strings"
	"testing"

	"github.com/realmgate/realmgate/users-svc"
)

const signupPath = "/api/v1/auth/signup"

func TestSignupRules(t *testing.T) {
	t.Parallel()
	h := start(t)
	good := func(email string) string { return `{"email":"` + email + `","password":"` + password + `"}` }
	for _, c := range []struct {
		name, body, code string
		status           int
	}{
		{"plain", good("a@example.com"), "", 200},
		{"with everything", `{"email":"b@example.com","password":"` + password +
			`","region":"eu-west","invite_code":"x","client":"web"}`, "", 200},
		{"optional fields null", `{"email":"c@example.com","password":"` + password +
			`","region":null,"invite_code":null,"client":null}`, "", 200},
		{"plus and dots", good("a.b+c@sub.example.com"), "", 200},
		{"letters beyond ASCII", good("jürgen@exämple.com"), "", 200},
		{"nothing", ``, "VALIDATION_ERROR", 400},
		{"no password", `{"email":"d@example.com"}`, "VALIDATION_ERROR", 400},
		{"no address", `{"password":"` + password + `"}`, "VALIDATION_ERROR", 400},
		{"address null", `{"email":null,"password":"` + password + `"}`, "VALIDATION_ERROR", 400},
		{"address a number", `{"email":1,"password":"` + password + `"}`, "VALIDATION_ERROR", 400},
		{"no @", good("example.com"), "VALIDATION_ERROR", 400},
		{"no local part", good("@example.com"), "VALIDATION_ERROR", 400},
		{"no domain", good("a@"), "VALIDATION_ERROR", 400},
		{"display name", good("Ann <a@example.com>"), "VALIDATION_ERROR", 400},
		{"angle brackets", good("<a@example.com>"), "VALIDATION_ERROR", 400},
		{"two addresses", good("a@example.com, b@example.com"), "VALIDATION_ERROR", 400},
		{"comment", good("a(b)@example.com"), "VALIDATION_ERROR", 400},
		{"quoted", good(`\"a@b\"@example.com`), "VALIDATION_ERROR", 400},
		{"space around", good(" a@example.com"), "VALIDATION_ERROR", 400},
		{"newline", good(`a@example.com\nBcc: x@y.z`), "VALIDATION_ERROR", 400},
		{"NUL", good(`a\u0000@example.com`), "VALIDATION_ERROR", 400},
		{"DEL", good(`a\u007f@example.com`), "VALIDATION_ERROR", 400},
		{"256 characters", good(strings.Repeat("x", 244) + "@example.com"), "VALIDATION_ERROR", 400},
		{"200 KB", good(strings.Repeat("x", 200<<10) + "@example.com"), "VALIDATION_ERROR", 400},
		{"region with capitals", `{"email":"d@example.com","password":"` + password + `","region":"EU"}`, "VALIDATION_ERROR",
			400},
		{"region too long", `{"email":"d@example.com","password":"` + password + `","region":"` + strings.Repeat("x", 51) +
			`"}`, "VALIDATION_ERROR", 400},
		{"weak password", `{"email":"d@example.com","password":"alllowercase"}`, "WEAK_PASSWORD", 400},
		{"empty password", `{"email":"d@example.com","password":""}`, "WEAK_PASSWORD", 400},
		{"200 KB of password", `{"email":"d@example.com","password":"` + strings.Repeat("Aa1-", 50<<10) + `"}`,
			"WEAK_PASSWORD", 400},
		{"12 code points", `{"email":"e@example.com","password":"Ünïcödé-pä55"}`, "", 200},
	} {
		a := h.do(anonymous, "POST", signupPath, c.body)
		a.request = c.name
		a.want(c.status, c.code, "")
	}
}

func TestSignupHidesKnownAddresses(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	a := h.do(anonymous, "POST", signupPath,
		map[string]string{"email": strings.ToUpper(ann.email), "password": "Another-horse-2"}).want(200, "",
		"Signup successful")
	if data := a.data.(map[string]any); len(data) != 1 || data["email"] != strings.ToUpper(ann.email) {
		t.Errorf("data: got %v, want the address and nothing else", data)
	}
	h.do(anonymous, "POST", loginPath, map[string]string{"email": ann.email, "password": "Another-horse-2"}).want(401,
		"INVALID_CREDENTIALS", "")
	h.signIn(ann.email, password)
}

func TestConcurrentSignupsOfOneAddress(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	email := newEmail()
	ok := h.countConcurrent(20, func(int) bool {
		return h.do(anonymous, "POST", signupPath, map[string]string{"email": email, "password": password}).status == 200
	})
	if total := h.do(h.admin().identity, "GET", "/api/v1/users?q="+email,
		nil).mustStatus(200).metadata["total"]; ok != 20 ||
		total != 1.0 {
		t.Errorf("answers 200: got %d, want 20; accounts: got %v, want 1", ok, total)
	}
}

func TestSignupCanBeDisabled(t *testing.T) {
	t.Parallel()
	h := start(t, func(c *users.Config) { c.Signup.Enabled, c.Signup.InviteRequired, c.AppName = false, true, "Acme" })
	h.do(anonymous, "POST", signupPath, map[string]string{"email": newEmail(), "password": password}).want(403,
		"SIGNUP_DISABLED", "Signup is disabled")
	a := h.do(anonymous, "GET", "/api/v1/auth/config", nil).mustStatus(200)
	if a.field("appName") != "Acme" || a.field("signupEnabled") != false || a.field("inviteRequired") != true ||
		a.field("githubEnabled") != false || a.field("googleEnabled") != false {
		t.Errorf("config: got %s", a.body)
	}
}

func TestFirstAdminIsCreatedOnce(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	_, secret := h.createToken(ann.identity, map[string]any{"permission_template": "full_access", "vault_access": true})
	h.enableTwoFactor(&ann)
	h.cfg.FirstAdmin.Email, h.cfg.FirstAdmin.Password = strings.ToUpper(ann.email), "The-operators-1"
	h.countConcurrent(3, func(int) bool { h.startReplica(); return true })
	if h.alive(ann) {
		t.Error("the sessions of an account that becomes the admin should end")
	}
	h.do(anonymous, "POST", loginPath, map[string]string{"email": ann.email, "password": password}).want(401,
		"INVALID_CREDENTIALS", "")
	if h.stateOf(secret).Alive {
		t.Error("the auth tokens of an account that becomes the admin should be gone")
	}
	root := h.signIn(ann.email, "The-operators-1") // needs no code of a stranger's authenticator
	if total := h.do(root.identity, "GET", "/api/v1/users?is_admin=true",
		nil).mustStatus(200).metadata["total"]; total != 1.0 ||
		!root.identity.Admin {
		t.Errorf("admins: got %v, want 1", total)
	}
	h.cfg.FirstAdmin.Email = "other@example.com"
	h.startReplica()
	if total := h.do(root.identity, "GET", "/api/v1/users?is_admin=true",
		nil).mustStatus(200).metadata["total"]; total != 1.0 {
		t.Errorf("admins after another start: got %v, want 1", total)
	}
}
