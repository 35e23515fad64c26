package main

import (
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/testkit"
)

const tokens = "/api/v1/auth/tokens"

// contractTokens drives section 7 of the contract: auth tokens.
func contractTokens(r *running) {
	t, u := r.t, r.user("toni")
	var first struct{ ID, Token string }
	r.do("POST", tokens, u.Token,
		map[string]any{"alias": "first", "expires_at": "tomorrow", "ip_whitelist": "127.0.0.1, 10.0.0.0/8"}).want(t,
		"create", 201, "").into(t, &first)
	bad := map[string]struct {
		body map[string]any
		code string
	}{
		"alias":   {map[string]any{"alias": "no/slash"}, "INVALID_ALIAS_FORMAT"},
		"key":     {map[string]any{"public_key": "zz"}, "INVALID_PUBLIC_KEY_FORMAT"},
		"address": {map[string]any{"ip_whitelist": []string{"1.2.3"}}, "INVALID_IP_FORMAT"},
		"realm":   {map[string]any{"realm_ids": []string{"xyz"}}, "INVALID_REALM_ID_FORMAT"},
		"past":    {map[string]any{"expires_at": "2020-01-01T00:00:00Z"}, "EXPIRATION_IN_PAST"},
		"types":   {map[string]any{"vault_access": "yes", "permissions": 3}, "VALIDATION_ERROR"},
		"taken":   {map[string]any{"alias": "first"}, "DUPLICATE_ALIAS"},
	}
	var second struct{ ID string }
	r.do("POST", tokens, u.Token, map[string]any{"alias": "second"}).want(t, "create", 201, "").into(t, &second)
	item := tokens + "/" + second.ID
	for name, c := range bad {
		r.do("POST", tokens, u.Token, c.body).want(t, "create with bad "+name, 400, c.code)
		r.do("PUT", item, u.Token, c.body).want(t, "put with bad "+name, 400, c.code)
		r.do("PATCH", item, u.Token, c.body).want(t, "patch with bad "+name, 400, c.code)
	}
	r.do("PATCH", item, u.Token, map[string]any{"alias": "renamed"}).want(t, "rename", 200, "")
	r.do("PUT", item, u.Token, map[string]any{"is_enabled": true}).want(t, "put", 200, "")
	r.get(tokens, u.Token).want(t, "list", 200, "")
	r.get(tokens+"/templates", u.Token).want(t, "templates", 200, "")
	r.get(item, u.Token).want(t, "get", 200, "")
	r.get(tokens+"/me", first.Token).want(t, "me", 200, "")
	r.get(tokens+"/me", u.Token).want(t, "me by a session", 403, "INSUFFICIENT_PERMISSIONS")
	r.do("POST", item+"/copy", u.Token, map[string]any{"alias": "copy"}).want(t, "copy", 201, "")
	r.do("POST", item+"/copy", u.Token, map[string]any{"alias": "copy"}).want(t, "copy again", 400, "DUPLICATE_ALIAS")
	r.do("POST", item+"/copy", u.Token, map[string]any{"alias": "no/slash"}).want(t, "copy with a bad alias", 400,
		"INVALID_ALIAS_FORMAT")
	r.do("POST", item+"/copy", u.Token, map[string]any{"expires_at": "2020-01-01"}).want(t, "copy into the past", 400,
		"EXPIRATION_IN_PAST")
	r.do("POST", item+"/copy", u.Token, map[string]any{"alias": 5}).want(t, "copy with a number", 400,
		"VALIDATION_ERROR")
	for _, call := range []string{"add-realm", "remove-realm"} {
		r.do("POST", item+"/"+call, u.Token, map[string]any{"realm_id": realm}).want(t, call, 200, "")
		r.do("POST", item+"/"+call, u.Token, map[string]any{"realm_id": "xyz"}).want(t, call, 400,
			"INVALID_REALM_ID_FORMAT")
		r.do("POST", item+"/"+call, u.Token, nil).want(t, call+" without a realm", 400, "VALIDATION_ERROR")
	}
	for _, o := range []operation{{"GET", ""}, {"PUT", ""}, {"PATCH", ""}, {"DELETE", ""}, {"POST", "/copy"},
		{"POST", "/add-realm"}, {"POST", "/remove-realm"}} {
		body := realmField(o.path)
		r.do(o.method, tokens+"/xyz"+o.path, u.Token, body).want(t, o.method+o.path, 400, "INVALID_ID_FORMAT")
		r.do(o.method, tokens+"/"+nobody+o.path, u.Token, body).want(t, o.method+o.path, 404, "TOKEN_NOT_FOUND")
	}
	r.do("POST", tokens, u.Token, nil).want(t, "the fourth", 201, "")
	r.do("POST", tokens, u.Token, nil).want(t, "one too many", 409, "AUTH_TOKEN_LIMIT_REACHED")
	r.do("POST", item+"/copy", u.Token, nil).want(t, "copy one too many", 409, "AUTH_TOKEN_LIMIT_REACHED")
	r.do("DELETE", item, u.Token, nil).want(t, "delete", 200, "")
	contractTokenBounds(r, u)
}

// contractTokenBounds tries operations that a token may not perform.
func contractTokenBounds(r *running, u account) {
	t := r.t
	var list []struct{ ID string }
	r.get(tokens, u.Token).into(t, &list)
	for _, old := range list {
		r.do("DELETE", tokens+"/"+old.ID, u.Token, nil).want(t, "make room", 200, "")
	}
	make := func(body map[string]any) string {
		var data struct{ Token string }
		r.do("POST", tokens, u.Token, body).want(t, "create", 201, "").into(t, &data)
		return data.Token
	}
	powerless := make(map[string]any{"permissions": map[string]any{}})
	deaf := make(map[string]any{"permission_template": "full_access", "event_access": false})
	for _, o := range r.spec.operations(t, "INSUFFICIENT_PERMISSIONS") {
		credential := powerless
		switch {
		case o.path == "/api/v1/users/"+nobody && o.method == "GET", o.path == tokens+"/me":
			continue // refused for other reasons: contractProfiles, contractTokens
		case strings.HasPrefix(o.path, "/api/v1/users/auth/activity"):
			credential = deaf
		}
		r.do(o.method, strings.Replace(o.path, "/users/"+nobody, "/users/"+u.ID, 1), credential, nil).want(t,
			o.method+" "+o.path+" without permission", 403, "INSUFFICIENT_PERMISSIONS")
	}
	r.get("/api/v1/users/me", make(map[string]any{"ip_whitelist": []string{"192.0.2.1"}})).want(t,
		"from another address", 403, "IP_NOT_ALLOWED")
	inRealm := make(map[string]any{"permission_template": "full_access", "vault_access": true,
		"realm_ids": []string{strings.ToUpper(realm)}})
	if a := r.get("/api/v1/vault/keys", inRealm).want(t, "outside of its realms", 403,
		"REALM_SCOPE_REQUIRED"); !strings.Contains(a.Message, "requires a realm-scoped URL") {
		t.Errorf("message %q", a.Message)
	}
	if a := r.get("/api/v1/vault/keys?realm_id="+nobody, inRealm).want(t, "in another realm", 403,
		"REALM_NOT_ALLOWED"); !strings.Contains(a.Message, "not valid for realm") {
		t.Errorf("message %q", a.Message)
	}
	r.send(request{method: "GET", path: "/api/v1/vault/keys", token: inRealm, host: realm + ".localhost"}).want(t,
		"in its realm", 200, "")
}

// contractMail follows the links in mails.
func contractMail(t *testing.T, spec *conformance) {
	office := testkit.SMTP(t)
	r := product(t, spec, "SMTP_URL=smtp://"+office.Addr+"?tls=off")
	email, auth := "mia@example.com", "/api/v1/auth/"
	r.do("POST", auth+"signup", "", map[string]any{"email": email, "password": userPassword}).want(t, "signup", 200, "")
	r.do("POST", "/api/v1/users/auth/login", "", map[string]any{"email": email, "password": userPassword}).want(t,
		"login", 401, "EMAIL_NOT_VERIFIED")
	r.tab("POST", cookieSession, "", "", map[string]any{"email": email, "password": userPassword}).want(t,
		"login in the console", 401, "EMAIL_NOT_VERIFIED")
	var users []struct{ ID string }
	r.get("/api/v1/users?q="+email, r.admin().Token).want(t, "look for the account", 200, "").into(t, &users)
	for _, method := range []string{"PATCH", "PUT"} {
		r.do(method, "/api/v1/users/"+users[0].ID, r.admin().Token, map[string]any{"is_admin": true}).
			want(t, method+" promotes an unverified account", 409, "ACCOUNT_NOT_VERIFIED")
	}
	link := regexp.MustCompile(`http://\S+/(?:verify-email|reset-password)#token=([A-Za-z0-9_-]+)`)
	token := func(n int) string {
		found := link.FindStringSubmatch(office.Await(t, email, n).Body)
		if found == nil {
			t.Fatalf("mail %d to %s has no link: %s", n, email, office.To(email)[n-1].Body)
		}
		return found[1]
	}
	r.do("POST", auth+"verify-email", "", nil).want(t, "no token", 400, "VALIDATION_ERROR")
	r.do("POST", auth+"verify-email", "", map[string]any{"token": "garbage"}).want(t, "garbage", 400,
		"INVALID_VERIFICATION_TOKEN")
	r.do("POST", auth+"verify-email", "", map[string]any{"token": token(1)}).want(t, "the link of the mail", 200, "")
	r.login(email, userPassword)
	for _, call := range []string{"resend-verification", "forgot-password"} {
		r.do("POST", auth+call, "", nil).want(t, call+" without an address", 400, "VALIDATION_ERROR")
		r.do("POST", auth+call, "", map[string]any{"email": email}).want(t, call, 200, "")
	}
	reset := token(2)
	r.do("POST", auth+"reset-password", "", map[string]any{"token": 1}).want(t, "reset with a number", 400,
		"VALIDATION_ERROR")
	r.do("POST", auth+"reset-password", "", map[string]any{"token": reset, "password": "weak"}).want(t,
		"reset to a weak one", 400, "WEAK_PASSWORD")
	r.do("POST", auth+"reset-password", "", map[string]any{"token": "garbage", "password": "another-Horse-8"}).want(t,
		"reset by garbage", 400, "INVALID_RESET_TOKEN")
	r.do("POST", auth+"reset-password", "", map[string]any{"token": reset, "password": "another-Horse-8"}).want(t,
		"reset", 200, "")
	contractEmailChange(r, office, r.login(email, "another-Horse-8"), "another-Horse-8")
}

// contractEmailChange changes the address of u to one that another user takes meanwhile.
func contractEmailChange(r *running, office *testkit.PostOffice, u account, password string) {
	t, change := r.t, "/api/v1/users/me/email"
	const wanted = "wanted@example.com"
	r.do("POST", change, u.Token, map[string]any{"email": wanted}).want(t, "no password", 400, "CURRENT_PASSWORD_REQUIRED")
	r.do("POST", change, u.Token, map[string]any{"email": wanted, "password": "not-that-one"}).want(t, "a wrong password",
		400, "CURRENT_PASSWORD_INCORRECT")
	r.do("POST", change, u.Token, map[string]any{"email": 1, "password": password}).want(t, "a number", 400,
		"VALIDATION_ERROR")
	r.do("POST", change, u.Token, map[string]any{"email": wanted, "password": password}).want(t, "change", 200, "")
	found := regexp.MustCompile(`#token=([A-Za-z0-9_-]+)`).FindStringSubmatch(office.Await(t, wanted, 1).Body)
	r.do("POST", "/api/v1/users", r.admin().Token, map[string]any{"email": wanted, "password": userPassword}).want(t,
		"another account takes the address", 201, "")
	r.do("POST", "/api/v1/auth/verify-email", "", map[string]any{"token": found[1]}).want(t, "the link", 409,
		"EMAIL_TAKEN")
}

// contractEmailTaken changes the address where no mail is sent.
func contractEmailTaken(r *running) {
	u, other := r.user("eve"), r.user("otto")
	for email, status := range map[string]int{other.Email: 409, "new-eve@example.com": 200} {
		r.do("POST", "/api/v1/users/me/email", u.Token, map[string]any{"email": email, "password": userPassword}).want(r.t,
			"change to "+email, status, map[int]string{409: "EMAIL_TAKEN"}[status])
	}
}

// contractAdmin drives the operations of admins on other users.
func contractAdmin(r *running) {
	t, admin, u := r.t, r.admin(), r.user("vic")
	users := "/api/v1/users"
	r.do("POST", users, admin.Token,
		map[string]any{"email": "new@example.com", "password": userPassword, "username": "newcomer"}).want(t, "create",
		201, "")
	r.do("POST", users, admin.Token, map[string]any{"email": "NEW@example.com", "password": userPassword}).want(t,
		"a taken address", 409, "EMAIL_TAKEN")
	r.do("POST", users, admin.Token,
		map[string]any{"email": "other@example.com", "password": userPassword, "username": "newcomer"}).want(t,
		"a taken name", 409, "USERNAME_TAKEN")
	r.do("POST", users, admin.Token, map[string]any{"email": 7}).want(t, "wrong types", 400, "VALIDATION_ERROR")
	r.do("POST", users, admin.Token, map[string]any{"email": "weak@example.com", "password": "weak"}).want(t,
		"a weak password", 400, "WEAK_PASSWORD")
	calls := []struct {
		method, path string
		good, bad    any
	}{
		{"POST", "/ban", map[string]any{"reason": "spam"}, map[string]any{"reason": 7}}, {"POST", "/unban", nil, nil},
		{"POST", "/logout", nil, nil}, {"DELETE", "/2fa", nil, nil},
		{"PUT", "/quota", map[string]any{"limit_mb": 2}, map[string]any{"limit_mb": "much"}},
		{"GET", "/security-history", nil, nil}, {"GET", "/sessions", nil, nil},
		{"POST", "/password", map[string]any{"password": userPassword}, map[string]any{"password": 7}},
		{"GET", "/tokens", nil, nil}, {"DELETE", "/tokens", nil, nil},
	}
	for _, c := range calls {
		r.do(c.method, users+"/"+u.ID+c.path, u.Token, c.good).want(t, c.path+" by a user", 403,
			"INSUFFICIENT_PERMISSIONS")
		r.do(c.method, users+"/xyz"+c.path, admin.Token, c.good).want(t, c.path+" of no id", 400, "INVALID_ID_FORMAT")
		r.do(c.method, users+"/"+nobody+c.path, admin.Token, c.good).want(t, c.path+" of nobody", 404, "USER_NOT_FOUND")
		if c.bad != nil {
			r.do(c.method, users+"/"+u.ID+c.path, admin.Token, c.bad).want(t, c.path+" with wrong types", 400,
				"VALIDATION_ERROR")
		}
	}
	for _, c := range calls {
		r.do(c.method, users+"/"+u.ID+c.path, admin.Token, c.good).want(t, c.path, 200, "")
	}
	contractUserAccess(r, admin, u)
	r.get(users+"/"+u.ID+"/security-history?limit=0", admin.Token).want(t, "a bad page", 400, "VALIDATION_ERROR")
	r.do("POST", users+"/"+admin.ID+"/ban", admin.Token, map[string]any{"reason": "why not"}).want(t, "ban an admin",
		403, "CANNOT_BAN_ADMIN")
	again := r.login(u.Email, userPassword)
	r.do("PUT", "/api/v1/vault/keys/big", again.Token, map[string]any{"value": strings.Repeat("x", 3<<20)}).want(t,
		"over the quota that the admin set", 413, "VAULT_LIMIT_EXCEEDED")
	r.do("DELETE", "/api/v1/users/me/sessions", again.Token, nil).want(t, "end the others", 200, "")
	eventually(t, "the admin's deed is in the user's own log", func() bool {
		return strings.Contains(string(r.get("/api/v1/users/auth/activity?method=PUT", again.Token).raw), "/quota")
	})
}

// contractUserAccess ends what a user signs in with.
func contractUserAccess(r *running, admin, u account) {
	t, users := r.t, "/api/v1/users"
	r.do("POST", users+"/"+u.ID+"/password", admin.Token, map[string]any{"password": "weak"}).want(t, "a weak password",
		400, "WEAK_PASSWORD")
	r.do("POST", users+"/"+admin.ID+"/password", admin.Token, map[string]any{"password": userPassword}).want(t,
		"one's own password", 400, "CURRENT_PASSWORD_REQUIRED")
	r.do("DELETE", users+"/xyz/sessions/"+nobody, admin.Token, nil).want(t, "a session of no id", 400,
		"INVALID_ID_FORMAT")
	r.do("DELETE", users+"/"+nobody+"/sessions/"+nobody, admin.Token, nil).want(t, "a session of nobody", 404,
		"USER_NOT_FOUND")
	r.do("DELETE", users+"/"+u.ID+"/sessions/"+nobody, admin.Token, nil).want(t, "no session", 404, "SESSION_NOT_FOUND")
	r.do("DELETE", users+"/xyz/tokens/"+nobody, admin.Token, nil).want(t, "a token of no id", 400, "INVALID_ID_FORMAT")
	r.do("DELETE", users+"/"+nobody+"/tokens/"+nobody, admin.Token, nil).want(t, "a token of nobody", 404,
		"USER_NOT_FOUND")
	r.do("DELETE", users+"/"+u.ID+"/tokens/"+nobody, admin.Token, nil).want(t, "no token", 404, "TOKEN_NOT_FOUND")
	intruder := r.login(u.Email, userPassword)
	var live []struct{ ID string }
	r.get(users+"/"+u.ID+"/sessions", admin.Token).want(t, "sessions", 200, "").into(t, &live)
	r.do("DELETE", users+"/"+u.ID+"/sessions/"+live[0].ID, admin.Token, nil).want(t, "end a session", 200, "")
	eventually(t, "the ended session is dead",
		func() bool { return r.get("/api/v1/users/me", intruder.Token).status == 401 })
	intruder = r.login(u.Email, userPassword)
	var made struct{ ID, Token string }
	r.do("POST", tokens, intruder.Token, nil).want(t, "a token", 201, "").into(t, &made)
	r.do("DELETE", users+"/"+u.ID+"/tokens/"+made.ID, admin.Token, nil).want(t, "delete it", 200, "")
	eventually(t, "the deleted token is dead",
		func() bool { return r.get("/api/v1/users/me", made.Token).status == 401 })
}

// contractAdminFactor administers without and with a second factor.
func contractAdminFactor(r *running) {
	t, admin := r.t, r.admin()
	r.get("/api/v1/users", admin.Token).want(t, "list users without a factor", 403, "ADMIN_TWOFACTOR_REQUIRED")
	r.get("/api/v1/users/"+nobody, admin.Token).want(t, "read a user without a factor", 403, "INSUFFICIENT_PERMISSIONS")
	var setup struct {
		Key string `json:"manual_entry_key"`
	}
	r.do("POST", "/api/v1/users/auth/2fa/setup", admin.Token, map[string]any{"password": adminPassword}).want(t, "setup",
		200, "").into(t, &setup)
	var pair struct{ Token string }
	r.do("POST", "/api/v1/users/auth/2fa/verify-setup", admin.Token, map[string]any{"code": code(t, setup.Key, 0)}).want(t,
		"verify", 200, "").into(t, &pair)
	r.get("/api/v1/users", pair.Token).want(t, "list users with a factor", 200, "")
}

// contractInvite asks for an invite on a product whose free tier is by invitation only.
func contractInvite(r *running) {
	u := r.user("stranger")
	r.do("POST", "/api/v1/users/me/retry-setup", u.Token, nil).want(r.t, "setup without an invite", 403,
		"FREE_TIER_INVITE_REQUIRED")
}

// contractEdge sends malformed requests that no HTTP library would send.
func contractEdge(r *running) {
	host := strings.TrimPrefix(r.url, "http://")
	for name, c := range map[string]struct {
		text   string // sent as it is, with nothing after it
		status string
		code   string
	}{
		"two lengths": {"POST /api/v1/auth/signup HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
			"400", "BAD_REQUEST"},
		"no host":      {"GET /api/v1/auth/config HTTP/1.1\r\n\r\n", "400", "BAD_REQUEST"},
		"dot segments": {"DELETE /api/v1/vault/keys/.. HTTP/1.1\r\nHost: x\r\n\r\n", "400", "BAD_REQUEST"},
		"half a head":  {"GET /api/v1/auth/config HTTP/1.1\r\nHost:", "408", "REQUEST_TIMEOUT"},
		"half a body": {"POST /api/v1/auth/signup HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{", "408",
			"REQUEST_TIMEOUT"},
		"a long target": {"GET /" + strings.Repeat("x", 12<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n", "414",
			"URI_TOO_LONG"},
	} {
		conn, err := net.Dial("tcp", host)
		if err != nil {
			r.t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(testkit.Patience))
		if _, err := conn.Write([]byte(c.text)); err != nil {
			r.t.Fatal(err)
		}
		buf := make([]byte, 4096)
		n, _ := conn.Read(buf)
		conn.Close()
		got := string(buf[:n])
		if !strings.HasPrefix(got, "HTTP/1.1 "+c.status) || !strings.Contains(got, c.code) ||
			!strings.Contains(strings.ToLower(got), "x-request-id") {
			r.t.Errorf("%s: got %q, want %s %s", name, got, c.status, c.code)
		}
		r.spec.note("", "", answer{status: http.StatusBadRequest, Code: c.code})
	}
}
