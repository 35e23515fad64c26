package users_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/ratelimit"
	"github.com/realmgate/realmgate/users-svc"
)

const (
	loginPath   = "/api/v1/users/auth/login"
	refreshPath = "/api/v1/users/auth/refresh"
	logoutPath  = "/api/v1/users/auth/logout"
	ownSessions = "/api/v1/users/me/sessions"
)

func (h *harness) refresh(token string) *response {
	h.t.Helper()
	return h.do(anonymous, "POST", refreshPath, map[string]string{"refreshToken": token})
}

func TestLogin(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	name := h.do(ann.identity, "GET", "/api/v1/users/me", nil).text("username")
	for _, c := range []struct {
		name, body, code string
		status           int
	}{
		{"by address", `{"email":"` + ann.email + `","password":"` + password + `"}`, "", 200},
		{"by address in capitals", `{"email":"` + strings.ToUpper(ann.email) + `","password":"` + password + `"}`, "", 200},
		{"by username", `{"username":"` + name + `","password":"` + password + `"}`, "", 200},
		{"by address inside username", `{"username":"` + ann.email + `","password":"` + password + `","email":null}`, "",
			200},
		{"with everything a client sends",
			`{"username":"` + name + `","password":"` + password + `","client":"cli","response_mode":"tokens"}`, "", 200},
		{"client as an object", `{"username":"` + name + `","password":"` + password + `","client":{"name":"cli"}}`, "", 200},
		{"username in capitals", `{"username":"` + strings.ToUpper(name) + `","password":"` + password + `"}`,
			"INVALID_CREDENTIALS", 401},
		{"wrong password", `{"email":"` + ann.email + `","password":"Wrong-horse-1"}`, "INVALID_CREDENTIALS", 401},
		{"unknown account", `{"email":"nobody@example.com","password":"` + password + `"}`, "INVALID_CREDENTIALS", 401},
		{"SQL in the name", `{"username":"' OR 1=1 --","password":"x"}`, "INVALID_CREDENTIALS", 401},
		{"nothing", ``, "VALIDATION_ERROR", 400},
		{"no password", `{"email":"` + ann.email + `"}`, "VALIDATION_ERROR", 400},
		{"no name", `{"password":"x"}`, "VALIDATION_ERROR", 400},
		{"password of a wrong type", `{"email":"a@b.c","password":1}`, "VALIDATION_ERROR", 400},
		{"email of a wrong type", `{"email":{},"password":"x"}`, "VALIDATION_ERROR", 400},
		{"NUL in the name", `{"username":"a\u0000","password":"x"}`, "VALIDATION_ERROR", 400},
		{"200 KB of password", `{"email":"a@b.c","password":"` + strings.Repeat("x", 200<<10) + `"}`, "VALIDATION_ERROR",
			400},
		{"200 KB of name", `{"username":"` + strings.Repeat("x", 200<<10) + `","password":"x"}`, "VALIDATION_ERROR", 400},
		{"another response mode", `{"email":"a@b.c","password":"x","response_mode":"cookie"}`, "VALIDATION_ERROR", 400},
		{"client a number", `{"email":"a@b.c","password":"x","client":1}`, "VALIDATION_ERROR", 400},
	} {
		a := h.do(anonymous, "POST", loginPath, c.body)
		a.request = c.name
		a.want(c.status, c.code, "")
	}
	h.do(anonymous, "POST", loginPath, `{"email":"a@b.c"}`).want(400, "", "Username or email, and password are required")
	h.do(anonymous, "POST", loginPath, `{"email":"a@b.c","password":"x"}`).want(401, "", "Invalid email or password")

	a := h.do(anonymous, "POST", loginPath, map[string]string{"email": ann.email, "password": password}).want(200, "",
		"Login successful")
	data := a.data.(map[string]any)
	for field, want := range map[string]any{"expires_in": 86400.0, "refresh_expires_in": 604800.0,
		"client_ip": "192.0.2.1"} {
		if got, there := data[field]; !there || got != want {
			t.Errorf("%s: got %v, want %v", field, got, want)
		}
	}
	if a.text("user.email") != ann.email || len(data) != 11 || a.field("server.id") == nil ||
		a.field("project.id") == nil ||
		a.field("container.id") == nil {
		t.Errorf("data: got %s, want 11 fields with the user, its server, project and container", a.body)
	}
}

func TestABannedAccountCannotSignIn(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	ann := h.signUp()
	root := h.admin()
	h.do(root.identity, "PATCH", "/api/v1/users/"+ann.id, `{"is_banned":true}`).mustStatus(200)
	h.do(anonymous, "POST", loginPath, map[string]string{"email": ann.email, "password": password}).want(403,
		"ACCOUNT_BANNED", "Your account is banned")
	h.do(anonymous, "POST", loginPath, map[string]string{"email": ann.email, "password": "Wrong-horse-1"}).want(401,
		"INVALID_CREDENTIALS", "")
	h.refresh(ann.refresh).want(403, "ACCOUNT_BANNED", "")
	banned := ann.identity
	banned.Banned = true
	h.do(banned, "GET", ownSessions, nil).want(403, "ACCOUNT_BANNED", "")
	h.do(banned, "POST", logoutPath, nil).want(200, "", "Logout successful")
}

func TestAccessTokenClaims(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	claims, err := auth.Parse(ann.token, h.jwks(), "realmgate", "realmgate", h.clock.now)
	if err != nil || claims.UserID != ann.id || claims.TokenID == "" ||
		claims.ExpiresAt.Sub(claims.IssuedAt) != 24*time.Hour {
		t.Errorf("claims: got %+v, %v; want those of %s for a day", claims, err, ann.id)
	}
	set := h.do(anonymous, "GET", "/.well-known/jwks.json", nil).mustStatus(200)
	if cc := set.header.Get("Cache-Control"); cc != "public, max-age=300" || strings.Contains(string(set.body), `"d"`) {
		t.Errorf("JWKS: Cache-Control %q, body %s", cc, set.body)
	}
}

func TestRefresh(t *testing.T) {
	t.Parallel()
	h := start(t, func(c *users.Config) { c.Sessions.RefreshRate = ratelimit.Rate{} })
	for name, body := range map[string]string{"nothing": ``, "a number": `{"refreshToken":1}`,
		"empty": `{"refreshToken":""}`, "NUL": `{"refreshToken":"\u0000"}`,
		"200 KB": `{"refreshToken":"` + strings.Repeat("x", 200<<10) + `"}`} {
		a := h.do(anonymous, "POST", refreshPath, body)
		a.request = name
		a.want(400, "VALIDATION_ERROR", "")
	}
	h.refresh("nonsense").want(401, "INVALID_TOKEN", "")

	ann := h.signUp()
	first := h.do(anonymous, "POST", refreshPath, map[string]string{"refreshToken": ann.refresh}, "Authorization",
		"Bearer expired").
		want(200, "", "Token refreshed successfully")
	if len(first.data.(map[string]any)) != 6 || first.text("refreshToken") == ann.refresh ||
		first.field("expires_in") != 86400.0 {
		t.Errorf("refresh: got %s, want six fields and a new token", first.body)
	}
	if again := h.refresh(ann.refresh).mustStatus(200); again.text("refreshToken") != first.text("refreshToken") {
		t.Error("a retry inside the grace period must get the token that the first call got")
	}
	second := h.refresh(first.text("refreshToken")).mustStatus(200)
	if late := h.refresh(ann.refresh).mustStatus(200); late.text("refreshToken") != second.text("refreshToken") {
		t.Error("the first token, inside its grace period, must lead to the end of the chain")
	}
	h.clock.forward(61 * time.Second)
	h.refresh(ann.refresh).want(401, "INVALID_TOKEN", "Invalid authentication token")
	if h.alive(ann) {
		t.Error("the session lives on after the re-use of an old token")
	}
	h.refresh(second.text("refreshToken")).want(401, "INVALID_TOKEN", "")
	again := h.signIn(ann.email, password)
	events := h.do(again.identity, "GET", "/api/v1/users/me/security-history?include_security=true", nil).mustStatus(200)
	if !strings.Contains(string(events.body), `"refresh_reuse"`) {
		t.Errorf("history: got %s, want refresh_reuse", events.body)
	}
	h.clock.forward(7*24*time.Hour + time.Second)
	h.refresh(again.refresh).want(401, "TOKEN_EXPIRED", "Token has expired")
}

func TestConcurrentRefreshesAgree(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	tokens := make([]string, 20)
	if ok := h.countConcurrent(len(tokens), func(i int) bool {
		a := h.refresh(ann.refresh)
		if a.status == http.StatusOK {
			tokens[i] = a.text("refreshToken")
		}
		return a.status == http.StatusOK
	}); ok != len(tokens) {
		t.Fatalf("refreshes that succeeded: got %d, want %d", ok, len(tokens))
	}
	for _, token := range tokens {
		if token != tokens[0] {
			t.Errorf("two tokens came out of one: %s, %s", token, tokens[0])
		}
	}
	h.refresh(tokens[0]).want(200, "", "")
}

func TestRefreshLimitIsPerSession(t *testing.T) {
	t.Parallel()
	h := start(t, func(c *users.Config) { c.Sessions.RefreshRate = ratelimit.Rate{Count: 3, Period: time.Hour} })
	ann := h.signUp()
	token := ann.refresh
	for range 3 {
		token = h.refresh(token).mustStatus(200).text("refreshToken")
	}
	if a := h.refresh(token).want(429, "RATE_LIMITED", "Rate limit exceeded"); a.header.Get("Retry-After") == "" ||
		a.header.Get("RateLimit-Limit") != "3" {
		t.Error("no Retry-After")
	}
	h.refresh(h.signIn(ann.email, password).refresh).want(200, "", "")
}

func TestSessionMaxLifetime(t *testing.T) {
	t.Parallel()
	h := start(t, func(c *users.Config) { c.Sessions.MaxLifetime = 10 * 24 * time.Hour })
	ann := h.signUp()
	h.clock.forward(6 * 24 * time.Hour)
	a := h.refresh(ann.refresh).mustStatus(200)
	if in := a.field("refresh_expires_in").(float64); in > 4*24*3600 {
		t.Errorf("refresh_expires_in: got %v, want at most the four days that are left", in)
	}
	h.clock.forward(4 * 24 * time.Hour)
	h.refresh(a.text("refreshToken")).want(401, "TOKEN_EXPIRED", "")
}

func TestSessionsAreListedAndEnded(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann, bob := h.signUp(), h.signUp()
	second, third := h.signIn(ann.email, password), h.signIn(ann.email, password)
	list := h.do(ann.identity, "GET", ownSessions, nil).want(200, "", "Sessions retrieved successfully").data.([]any)
	if len(list) != 3 {
		t.Fatalf("sessions: got %d, want 3", len(list))
	}
	oldest := list[2].(map[string]any)
	if oldest["id"] != ann.identity.SessionID || oldest["current"] != true || oldest["user_agent"] != "harness/1" ||
		oldest["ip_address"] != "192.0.2.1" {
		t.Errorf("own session: got %v", oldest)
	}
	h.do(bob.identity, "DELETE", ownSessions+"/"+second.identity.SessionID, nil).want(404, "SESSION_NOT_FOUND", "")
	h.do(ann.identity, "DELETE", ownSessions+"/nope", nil).want(400, "INVALID_ID_FORMAT", "")
	h.do(ann.identity, "DELETE", ownSessions+"/"+second.identity.SessionID, nil).want(200, "",
		"Session ended successfully")
	h.do(ann.identity, "DELETE", ownSessions+"/"+second.identity.SessionID, nil).want(404, "SESSION_NOT_FOUND", "")
	if h.alive(second) || !h.alive(third) {
		t.Error("exactly the second session should have ended")
	}
	if n := h.do(ann.identity, "DELETE", ownSessions, nil).want(200, "",
		"Other sessions ended successfully").field("ended_count"); n != 1.0 {
		t.Errorf("ended_count: got %v, want 1", n)
	}
	if h.alive(third) || !h.alive(ann) || !h.alive(bob) {
		t.Error("exactly the other sessions of the user should have ended")
	}
	token := auth.Identity{Kind: auth.Token, UserID: ann.id, TokenID: ann.id, Grant: &auth.Grant{}}
	for _, method := range []string{"GET", "DELETE"} {
		h.do(token, method, ownSessions, nil).want(403, "INSUFFICIENT_PERMISSIONS", "")
	}
	h.do(token, "POST", logoutPath, nil).want(403, "INSUFFICIENT_PERMISSIONS", "")
	fourth := h.signIn(ann.email, password)
	a := h.do(ann.identity, "POST", logoutPath, `{}`).want(200, "", "Logout successful")
	if data, there := a.data, strings.Contains(string(a.body), `"data":null`); data != nil || !there {
		t.Errorf("logout: got %s, want data null", a.body)
	}
	if h.alive(ann) || h.alive(fourth) || !h.alive(bob) {
		t.Error("logout should end every session of the user and no other")
	}
	h.refresh(fourth.refresh).want(401, "INVALID_TOKEN", "")
	h.do(ann.identity, "POST", logoutPath, nil).want(200, "", "Logout successful")
}

func TestSessionStateIsInternal(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	path := "/internal/sessions/" + ann.identity.SessionID
	for _, who := range []auth.Identity{anonymous, ann.identity} {
		h.do(who, "GET", path, nil).want(401, "INVALID_TOKEN", "")
	}
	for _, unknown := range []string{"0123456789abcdef01234567", "nope", "%00"} {
		if a := h.do(system, "GET", "/internal/sessions/"+unknown, nil).mustStatus(200); a.field("alive") != false {
			t.Errorf("%s: got %s, want alive false", unknown, a.body)
		}
	}
	if a := h.do(system, "GET", path, nil).mustStatus(200); a.field("alive") != true || a.field("user_id") != ann.id {
		t.Errorf("state: got %s, want alive and %s", a.body, ann.id)
	}
	req, _ := http.NewRequest("GET", h.baseURL+path, nil)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusUnauthorized {
		t.Errorf("without an identity: got %d, want 401", res.StatusCode)
	}
}
