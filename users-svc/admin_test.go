package users_test

import (
	"strings"
	"testing"

	"github.com/realmgate/realmgate/pkg/auth"
)

func TestAdminCreatesUser(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	root, ann := h.admin(), h.signUp()
	a := h.do(root.identity, "POST", "/api/v1/users",
		map[string]any{"email": "new@example.com", "password": password, "username": "new_user", "alias": "New",
			"is_admin": true}).
		want(201, "", "User created successfully")
	if a.text("username") != "new_user" || a.text("alias") != "New" || a.field("is_admin") != true ||
		a.field("email_verified") != true || a.text("signup_method") != "admin" ||
		a.header.Get("X-Realmgate-On-User") != a.text("id") {
		t.Errorf("created: got %s", a.body)
	}
	h.signIn("new@example.com", password)
	for _, c := range []struct {
		name, body, code string
		who              auth.Identity
		status           int
	}{
		{"address taken", `{"email":"NEW@example.com","password":"` + password + `"}`, "EMAIL_TAKEN", root.identity, 409},
		{"username taken", `{"email":"n2@example.com","password":"` + password + `","username":"new_user"}`, "USERNAME_TAKEN",
			root.identity, 409},
		{"weak", `{"email":"n2@example.com","password":"weak"}`, "WEAK_PASSWORD", root.identity, 400},
		{"bad username", `{"email":"n2@example.com","password":"` + password + `","username":"a b"}`, "VALIDATION_ERROR",
			root.identity, 400},
		{"wrong types", `{"email":1,"password":2,"username":3,"alias":4,"is_admin":5}`, "VALIDATION_ERROR", root.identity,
			400},
		{"nothing", ``, "VALIDATION_ERROR", root.identity, 400},
		{"by a user", `{"email":"n2@example.com","password":"` + password + `"}`, "INSUFFICIENT_PERMISSIONS", ann.identity,
			403},
	} {
		b := h.do(c.who, "POST", "/api/v1/users", c.body)
		b.request = c.name
		b.want(c.status, c.code, "")
	}
}

func TestAdminActions(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	root, ann := h.admin(), h.signUp()
	user := "/api/v1/users/" + ann.id
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/ban", `{"reason":"x"}`}, {"POST", "/unban", ``}, {"POST", "/logout", ``},
		{"PUT", "/quota", `{"limit_mb":1}`}, {"GET", "/security-history", ``},
	} {
		h.do(ann.identity, c.method, user+c.path, c.body).want(403, "INSUFFICIENT_PERMISSIONS", "")
		h.do(anonymous, c.method, user+c.path, c.body).want(401, "MISSING_TOKEN", "")
		h.do(root.identity, c.method, "/api/v1/users/nope"+c.path, c.body).want(400, "INVALID_ID_FORMAT", "")
		missing := h.do(root.identity, c.method, "/api/v1/users/0123456789abcdef01234567"+c.path, c.body).want(404,
			"USER_NOT_FOUND", "User not found")
		if missing.header.Get("X-Realmgate-On-User") != "" {
			t.Errorf("%s of nobody is recorded for a user", c.path)
		}
	}
	for _, body := range []string{``, `{"reason":""}`, `{"reason":1}`, `{"reason":"` + strings.Repeat("x", 501) + `"}`,
		`{"reason":"a\u0000"}`} {
		h.do(root.identity, "POST", user+"/ban", body).want(400, "VALIDATION_ERROR", "")
	}
	a := h.do(root.identity, "POST", user+"/ban", `{"reason":"Sends spam"}`).want(200, "", "User banned successfully")
	if a.field("is_banned") != true || a.header.Get("X-Realmgate-On-User") != ann.id {
		t.Errorf("ban: got %s, on-user %q", a.body, a.header.Get("X-Realmgate-On-User"))
	}
	h.do(root.identity, "POST", "/api/v1/users/"+root.id+"/ban", `{"reason":"me"}`).want(403, "CANNOT_BAN_ADMIN", "")
	h.do(root.identity, "POST", user+"/unban", nil).want(200, "", "User unbanned successfully")
	h.do(root.identity, "POST", user+"/unban", nil).want(200, "", "User unbanned successfully")
	h.do(root.identity, "POST", user+"/logout", nil).want(200, "", "User logged out successfully")
	if h.alive(ann) {
		t.Error("the session lives on after a forced logout")
	}
	history := h.do(root.identity, "GET", user+"/security-history?include_security=true", nil).want(200, "",
		"Login history retrieved successfully")
	if got := events(history); got != "logout:success unbanned:success banned:success login:success" {
		t.Errorf("history: got %q", got)
	}
}

func TestVaultQuotaOfUser(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	root, ann := h.admin(), h.signUp()
	path := "/api/v1/users/" + ann.id + "/quota"
	_, secret := h.createToken(ann.identity, nil)
	for _, body := range []string{``, `{"limit_mb":"1"}`, `{"limit_mb":-1}`, `{"limit_mb":1.5}`, `{"limit_mb":1048577}`,
		`{"limit_mb":1e400}`} {
		h.do(root.identity, "PUT", path, body).want(400, "VALIDATION_ERROR", "")
	}
	for body, want := range map[string]any{`{"limit_mb":200}`: 200.0 * (1 << 20), `{"limit_mb":0}`: -1.0,
		`{"limit_mb":null}`: 0.0} {
		a := h.do(root.identity, "PUT", path, body).want(200, "", "Quota updated successfully")
		if !strings.Contains(string(a.body), `"data":`+body) {
			t.Errorf("quota: got %s, want %s", a.body, body)
		}
		if got := h.do(system, "GET", "/internal/sessions/"+ann.identity.SessionID, nil).field("vault_quota"); got != want {
			t.Errorf("%s: state: got %v bytes, want %v", body, got, want)
		}
		if got := float64(h.stateOf(secret).VaultQuota); got != want {
			t.Errorf("%s: state of an auth token: got %v bytes, want %v", body, got, want)
		}
	}
}
