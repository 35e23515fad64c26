package main

import (
	"slices"
	"strings"
	"time"
)

// contractCredentials tries every operation without a credential, with a malformed one, and with a
// banned user's.
func contractCredentials(r *running) {
	banned, admin := r.user("banned"), r.admin()
	r.do("PATCH", "/api/v1/users/"+banned.ID, admin.Token, map[string]any{"is_banned": true}).want(r.t, "ban", 200, "")
	for _, o := range r.spec.operations(r.t, "MISSING_TOKEN") {
		if !isPublicRefusal(o) {
			r.do(o.method, o.path, "", nil).want(r.t, o.method+" "+o.path+" without a token", 401, "MISSING_TOKEN")
		}
	}
	for _, o := range r.spec.operations(r.t, "INVALID_TOKEN") {
		if !isPublicRefusal(o) {
			r.do(o.method, o.path, "garbage", nil).want(r.t, o.method+" "+o.path+" with garbage", 401, "INVALID_TOKEN")
		}
	}
	for _, o := range r.spec.operations(r.t, "ACCOUNT_BANNED") {
		if !isPublicRefusal(o) {
			r.do(o.method, o.path, banned.Token, nil).want(r.t, o.method+" "+o.path+" banned", 403, "ACCOUNT_BANNED")
		}
	}
	r.get("/api/v1/users/"+banned.ID, banned.Token).want(r.t, "a banned user reads itself", 200, "")
	r.get("/api/v1/users/me", banned.Token).want(r.t, "a banned user reads itself", 200, "")
	r.do("POST", "/api/v1/users/auth/login", "",
		map[string]any{"email": banned.Email, "password": userPassword}).want(r.t,
		"banned login", 403, "ACCOUNT_BANNED")
	r.do("POST", "/api/v1/users/auth/refresh", "", map[string]any{"refreshToken": banned.Refresh}).want(r.t,
		"banned refresh", 403, "ACCOUNT_BANNED")
	r.tab("POST", cookieSession, "", "", map[string]any{"email": banned.Email, "password": userPassword}).want(r.t,
		"banned login in the console", 403, "ACCOUNT_BANNED")
	r.tab("POST", cookieRefresh, "", "realmgate="+banned.Refresh, nil).want(r.t, "banned refresh in the console", 403,
		"ACCOUNT_BANNED")
	r.do("POST", "/api/v1/users/auth/logout", banned.Token, nil).want(r.t, "a banned user logs out", 200, "")
}

// contractExpired tries every operation with a token that lived for one second and has expired.
func contractExpired(r *running) {
	u := r.user("late")
	time.Sleep(2100 * time.Millisecond)
	for _, o := range r.spec.operations(r.t, "TOKEN_EXPIRED") {
		if !isPublicRefusal(o) {
			r.do(o.method, o.path, u.Token, nil).want(r.t, o.method+" "+o.path+" too late", 401, "TOKEN_EXPIRED")
		}
	}
	r.do("POST", "/api/v1/users/auth/refresh", "", map[string]any{"refreshToken": u.Refresh}).want(r.t,
		"refresh too late", 401, "TOKEN_EXPIRED")
}

func contractSignIn(r *running) {
	t, signup, login := r.t, "/api/v1/auth/signup", "/api/v1/users/auth/login"
	first := r.do("POST", signup, "",
		map[string]any{"email": "Ada@Example.com", "password": userPassword, "region": "eu-west"}).want(t, "signup",
		200, "")
	again := r.do("POST", signup, "", map[string]any{"email": "ada@example.com", "password": userPassword}).want(t,
		"signup again", 200, "")
	if strings.Contains(string(first.raw), "oken") || !strings.EqualFold(string(first.raw), string(again.raw)) {
		t.Errorf("an address that is taken is told from a free one: %s, %s", first.raw, again.raw)
	}
	for name, body := range map[string]any{
		"nothing": nil, "no JSON": "{", "an array": "[]", "not UTF-8": "{\"email\":\"\xff\"}",
		"a number":   map[string]any{"email": 1, "password": true},
		"no address": map[string]any{"email": "ada", "password": userPassword},
		"NUL":        `{"email":"a\u0000@example.com","password":"correct-Horse-7"}`,
		"too long":   map[string]any{"email": strings.Repeat("a", 250) + "@example.com", "password": userPassword},
	} {
		r.do("POST", signup, "", body).want(t, "signup with "+name, 400, "VALIDATION_ERROR")
		r.do("POST", "/api/v1/users/auth/refresh", "", body).want(t, "refresh with "+name, 400, "VALIDATION_ERROR")
	}
	for name, body := range map[string]any{"nothing": nil, "no JSON": "{",
		"no password": map[string]any{"email": "a@example.com"},
		"numbers":     map[string]any{"username": 1, "password": 2}} {
		r.do("POST", login, "", body).want(t, "login with "+name, 400, "VALIDATION_ERROR")
	}
	r.do("POST", signup, "", map[string]any{"email": "weak@example.com", "password": "weak"}).want(t, "weak", 400,
		"WEAK_PASSWORD")

	ada := r.login("ADA@EXAMPLE.COM", userPassword)
	for name, body := range map[string]map[string]any{
		"user name": {"username": ada.Username}, "address in username": {"username": "Ada@example.com"},
		"address and mode": {"email": "ada@example.com", "response_mode": "tokens", "client": "test"},
	} {
		body["password"] = userPassword
		r.do("POST", login, "", body).want(t, "login by "+name, 200, "")
	}
	r.do("POST", login, "", map[string]any{"username": strings.ToUpper(ada.Username), "password": userPassword}).want(t,
		"user name in another case", 401, "INVALID_CREDENTIALS")
	r.do("POST", login, "", map[string]any{"email": "nobody@example.com", "password": userPassword}).want(t, "unknown",
		401, "INVALID_CREDENTIALS")

	fresh := r.send(request{method: "POST", path: "/api/v1/users/auth/refresh",
		body:   map[string]any{"refreshToken": ada.Refresh},
		header: map[string]string{"Authorization": "Bearer rubbish"}})
	fresh.want(t, "refresh ignores Authorization", 200, "")
	r.do("POST", "/api/v1/users/auth/refresh", "", map[string]any{"refreshToken": "rubbish"}).want(t,
		"unknown refresh token", 401, "INVALID_TOKEN")
	r.get("/api/v1/auth/config", "").want(t, "config", 200, "")
	r.get("/api/v1/auth/available-regions", "").want(t, "regions", 200, "")
	r.do("POST", "/api/v1/users/auth/logout", ada.Token, "").want(t, "logout", 200, "")
	eventually(t, "the token is dead after logout",
		func() bool { return r.get("/api/v1/users/me", ada.Token).status == 401 })
	contractLogoutByRefresh(r)
}

// contractLogoutByRefresh logs out with a refresh token instead of a valid access token.
func contractLogoutByRefresh(r *running) {
	t, ada := r.t, r.login("ada@example.com", userPassword)
	const logout = "/api/v1/users/auth/logout"
	r.do("POST", logout, "rubbish", map[string]any{}).want(t, "logout without a token", 401, "INVALID_TOKEN")
	r.do("POST", logout, "", "{").want(t, "logout with a broken body", 401, "MISSING_TOKEN")
	r.do("POST", logout, "", map[string]any{"refreshToken": 1}).want(t, "a number", 400, "VALIDATION_ERROR")
	r.do("POST", logout, "rubbish", map[string]any{"refreshToken": "x"}).want(t, "unknown", 401, "INVALID_TOKEN")
	r.do("POST", logout, "rubbish", map[string]any{"refreshToken": ada.Refresh}).want(t, "logout by refresh", 200, "")
	eventually(t, "the session is dead after logout by its refresh token",
		func() bool { return r.get("/api/v1/users/me", ada.Token).status == 401 })
}

func contractProfiles(r *running) {
	t, u, other, admin := r.t, r.user("grace"), r.user("other"), r.admin()
	for _, path := range []string{"/api/v1/users/me", "/api/v1/users/auth/me", "/api/v1/users/" + u.ID} {
		r.get(path, u.Token).want(t, path, 200, "")
	}
	r.get("/api/v1/users/"+other.ID, u.Token).want(t, "another user", 403, "INSUFFICIENT_PERMISSIONS")
	r.get("/api/v1/users/"+nobody, u.Token).want(t, "nobody, to a user", 403, "INSUFFICIENT_PERMISSIONS")
	r.get("/api/v1/users/"+nobody, admin.Token).want(t, "nobody, to an admin", 404, "USER_NOT_FOUND")
	r.get("/api/v1/users/xyz", admin.Token).want(t, "no id", 400, "INVALID_ID_FORMAT")
	r.get("/api/v1/users?limit=10&q=grace&is_admin=false", admin.Token).want(t, "search", 200, "")
	r.get("/api/v1/users?limit=zero", admin.Token).want(t, "bad page", 400, "VALIDATION_ERROR")
	r.get("/api/v1/users", u.Token).want(t, "list as a user", 403, "INSUFFICIENT_PERMISSIONS")
	for _, method := range []string{"PATCH", "PUT"} {
		for _, c := range []struct {
			name, id string
			by       account
			body     any
			status   int
			code     string
		}{
			{"every field", u.ID, u, map[string]any{"alias": "G", "public_key": strings.Repeat("aB", 32),
				"metadata": map[string]any{"a": []any{1, nil}}}, 200, ""},
			{"nothing", u.ID, u, nil, 200, ""},
			{"wrong types", u.ID, u, map[string]any{"alias": 1, "metadata": []int{1}}, 400, "VALIDATION_ERROR"},
			{"no id", "xyz", u, nil, 400, "INVALID_ID_FORMAT"},
			{"no key", u.ID, u, map[string]any{"public_key": "zz"}, 400, "INVALID_PUBLIC_KEY_FORMAT"},
			{"weak password", u.ID, u, map[string]any{"password": "short", "current_password": userPassword}, 400,
				"WEAK_PASSWORD"},
			{"no current password", u.ID, u, map[string]any{"password": userPassword + "x"}, 400,
				"CURRENT_PASSWORD_REQUIRED"},
			{"wrong current password", u.ID, u,
				map[string]any{"password": userPassword + "x", "current_password": "not-that-one"}, 400,
				"CURRENT_PASSWORD_INCORRECT"},
			{"makes itself admin", u.ID, u, map[string]any{"is_admin": true}, 403, "INSUFFICIENT_PERMISSIONS"},
			{"another user", other.ID, u, map[string]any{"alias": "x"}, 403, "CANNOT_MODIFY_OTHER_USER"},
			{"bans an admin", admin.ID, admin, map[string]any{"is_banned": true}, 403, "CANNOT_BAN_ADMIN"},
			{"both flags at once", other.ID, admin, map[string]any{"is_banned": true, "is_admin": true}, 403,
				"CANNOT_BAN_ADMIN"},
			{"nobody", nobody, admin, map[string]any{"alias": "x"}, 404, "USER_NOT_FOUND"},
			{"a taken address", other.ID, admin, map[string]any{"email": "GRACE@example.com"}, 409, "EMAIL_TAKEN"},
			{"another address", other.ID, admin,
				map[string]any{"email": "other-" + method + "@example.com", "username": "Other-" + method}, 200, ""},
			{"a taken name", u.ID, u, map[string]any{"username": "other-" + strings.ToLower(method)}, 409,
				"USERNAME_TAKEN"},
			{"an address of one's own", u.ID, u, map[string]any{"email": "g@example.com"}, 400, "VALIDATION_ERROR"},
			{"a new password", other.ID, admin,
				map[string]any{"password": userPassword + method, "revoke_tokens": true}, 200, ""},
			{"the last admin", admin.ID, admin, map[string]any{"is_admin": false}, 409, "LAST_ADMIN"},
		} {
			r.do(method, "/api/v1/users/"+c.id, c.by.Token, c.body).want(t, method+": "+c.name, c.status, c.code)
		}
	}
}

func contractSessions(r *running) {
	t, u := r.t, r.user("sam")
	second := r.login(u.Email, userPassword)
	list := r.get("/api/v1/users/me/sessions", u.Token).want(t, "sessions", 200, "")
	var sessions []struct {
		ID      string
		Current bool
	}
	list.into(t, &sessions)
	if len(sessions) != 2 {
		t.Fatalf("%d sessions, want 2", len(sessions))
	}
	i := slices.IndexFunc(sessions, func(s struct {
		ID      string
		Current bool
	}) bool {
		return !s.Current
	})
	r.do("DELETE", "/api/v1/users/me/sessions/"+sessions[i].ID, u.Token, nil).want(t, "end one", 200, "")
	eventually(t, "the ended session is dead",
		func() bool { return r.get("/api/v1/users/me", second.Token).status == 401 })
	r.do("DELETE", "/api/v1/users/me/sessions/"+nobody, u.Token, nil).want(t, "no such session", 404,
		"SESSION_NOT_FOUND")
	r.do("DELETE", "/api/v1/users/me/sessions/xyz", u.Token, nil).want(t, "no id", 400, "INVALID_ID_FORMAT")
	r.get("/api/v1/users/me/security-history?include_failed=true&include_security=true", u.Token).want(t, "history",
		200, "")
	r.get("/api/v1/users/me/security-history?limit=101", u.Token).want(t, "too many", 400, "VALIDATION_ERROR")
}
