package main

import (
	"strings"
	"testing"
	"time"
)

const (
	cookieSession = "/console/session"
	cookieRefresh = "/console/session/refresh"
)

// tab sends a request as a page of the product does, with a cookie.
func (r *running) tab(method, path, token, cookie string, body any) answer {
	r.t.Helper()
	return r.send(request{method: method, path: path, token: token, body: body,
		header: map[string]string{"X-Realmgate-Console": "1", "Origin": r.url, "Cookie": cookie}})
}

// cookie returns the cookie that an answer sets as the browser sends it back, "" when it sets none.
func (a answer) cookie() string {
	pair, _, _ := strings.Cut(a.header.Get("Set-Cookie"), ";")
	return pair
}

// contractConsole signs in with the cookie.
func contractConsole(t *testing.T, spec *conformance) {
	r := product(t, spec, "TWOFACTOR_LOGIN_TTL=2s", "REFRESH_GRACE=2s")
	late := product(t, spec, "REFRESH_TOKEN_TTL=1s", "ACCESS_TOKEN_TTL=1s")
	u := r.user("connie")
	login := map[string]any{"email": u.Email, "password": userPassword}
	signedIn := r.tab("POST", cookieSession, "", "", login).want(t, "login", 200, "")
	cookie := signedIn.cookie()
	if !strings.HasPrefix(cookie, "realmgate=") || strings.Contains(string(signedIn.raw), "refreshToken") {
		t.Fatalf("login: got the cookie %q and %s", cookie, signedIn.raw)
	}
	for name, q := range map[string]request{
		"a program":    {method: "POST", path: cookieSession, body: login},
		"another site": {method: "POST", path: cookieSession, body: login, header: consoleHeader("https://evil.example")},
		"its refresh":  {method: "POST", path: cookieRefresh, header: consoleHeader("https://evil.example")},
		"its logout":   {method: "DELETE", path: cookieSession, header: consoleHeader("https://evil.example")},
	} {
		if a := r.send(q).want(t, name, 403, "CROSS_SITE_REQUEST"); a.cookie() != "" {
			t.Errorf("%s: got the cookie %q", name, a.cookie())
		}
	}
	for _, o := range []operation{{"POST", cookieSession}, {"POST", cookieRefresh}, {"DELETE", cookieSession}} {
		r.send(request{method: o.method, path: o.path, body: login, host: "realmgate.example",
			header: consoleHeader("http://realmgate.example")}).want(t, "plain http", 403, "HTTPS_REQUIRED")
	}
	r.tab("POST", cookieSession, "", "", map[string]any{"email": 1}).want(t, "a number", 400, "VALIDATION_ERROR")
	r.tab("POST", cookieSession, "", "", map[string]any{"email": u.Email, "password": "not-that-one"}).want(t,
		"a wrong password", 401, "INVALID_CREDENTIALS")
	r.tab("POST", cookieSession, "", "", map[string]any{"temp_token": "rubbish", "code": "000000"}).want(t,
		"an unknown temporary token", 401, "INVALID_TOKEN")
	r.tab("POST", cookieRefresh, "", "", nil).want(t, "no cookie", 401, "MISSING_TOKEN")
	r.tab("POST", cookieRefresh, "", "realmgate=rubbish", nil).want(t, "rubbish", 401, "INVALID_TOKEN")
	contractCookieRotation(r, cookie)
	contractConsoleFactor(r, u)

	l := late.user("lotte")
	old := late.tab("POST", cookieSession, "", "", map[string]any{"email": l.Email, "password": userPassword}).want(t,
		"login", 200, "").cookie()
	time.Sleep(1100 * time.Millisecond)
	late.tab("POST", cookieRefresh, "", old, nil).want(t, "refresh too late", 401, "TOKEN_EXPIRED")
}

func consoleHeader(origin string) map[string]string {
	return map[string]string{"X-Realmgate-Console": "1", "Origin": origin}
}

// contractCookieRotation refreshes three tabs at once, ends the session, and then uses a cookie
// that was replaced before.
func contractCookieRotation(r *running, cookie string) {
	t := r.t
	var access struct{ Token string }
	next := ""
	answers := make(chan answer, 3)
	for range 3 {
		go func() { answers <- r.tab("POST", cookieRefresh, "", cookie, nil) }()
	}
	for range 3 {
		a := (<-answers).want(t, "one of three tabs", 200, "")
		a.into(t, &access)
		if fresh := a.cookie(); fresh != "" && next != "" {
			t.Errorf("two tabs got a cookie: %q and %q", fresh, next)
		} else if fresh != "" {
			next = fresh
		}
		r.get("/api/v1/users/me", access.Token).want(t, "with its access token", 200, "")
	}
	if a := r.tab("DELETE", cookieSession, "", next, nil).want(t, "sign out", 200, ""); a.cookie() != "realmgate=" {
		t.Errorf("sign out: got the cookie %q, want it cleared", a.cookie())
	}
	r.tab("DELETE", cookieSession, "", next, nil).want(t, "sign out again", 200, "")
	eventually(t, "the session has ended", func() bool { return r.get("/api/v1/users/me", access.Token).status == 401 })

	u := r.user("late")
	login := map[string]any{"email": u.Email, "password": userPassword}
	old := r.tab("POST", cookieSession, "", "", login).want(t, "login", 200, "").cookie()
	current := r.tab("POST", cookieRefresh, "", old, nil).want(t, "refresh", 200, "").cookie()
	time.Sleep(2100 * time.Millisecond) // REFRESH_GRACE
	if a := r.tab("POST", cookieRefresh, "", old, nil).want(t, "the old cookie", 401,
		"INVALID_TOKEN"); a.cookie() != "realmgate=" {
		t.Errorf("the old cookie: got the cookie %q, want it cleared", a.cookie())
	}
	r.tab("POST", cookieRefresh, "", current, nil).want(t, "the current cookie then", 401, "INVALID_TOKEN")
	r.get("/api/v1/users/me", u.Token).want(t, "another session of the user", 200, "")
}

// contractConsoleFactor completes a sign-in with the second factor, which the console enables and
// disables.
func contractConsoleFactor(r *running, u account) {
	t, base := r.t, "/api/v1/users/auth/2fa"
	login := map[string]any{"email": u.Email, "password": userPassword}
	var setup struct {
		Key   string   `json:"manual_entry_key"`
		Codes []string `json:"backup_codes"`
	}
	r.do("POST", base+"/setup", u.Token, map[string]any{"password": userPassword}).want(t, "setup", 200, "").into(t,
		&setup)
	console := *r
	console.spec = nil // openapi.yaml documents these answers as programs get them
	var access struct{ Token string }
	console.tab("POST", base+"/verify-setup", u.Token, "", map[string]any{"code": code(t, setup.Key, 0)}).
		wantCookie(t, "enable").into(t, &access)

	var half struct {
		TempToken string `json:"temp_token"`
	}
	begin := func() {
		if a := r.tab("POST", cookieSession, "", "", login).want(t, "first half", 200, ""); a.cookie() != "" {
			t.Errorf("first half of a sign-in: got the cookie %q", a.cookie())
		} else {
			a.into(t, &half)
		}
	}
	begin()
	finish := func(code string) answer {
		return r.tab("POST", cookieSession, "", "", map[string]any{"temp_token": half.TempToken, "code": code})
	}
	finish("wrong-code").want(t, "a wrong code", 401, "INVALID_OTP_CODE")
	finish(setup.Codes[0]).wantCookie(t, "second half")
	begin()
	console.tab("POST", base+"/verify", half.TempToken, "", map[string]any{"code": setup.Codes[2]}).
		wantCookie(t, "second half by the route of the API")
	begin()
	time.Sleep(2100 * time.Millisecond) // TWOFACTOR_LOGIN_TTL
	finish(setup.Codes[3]).want(t, "too late", 401, "TOKEN_EXPIRED")
	console.tab("DELETE", base, access.Token, "", map[string]any{"password": userPassword, "code": setup.Codes[4]}).
		wantCookie(t, "disable").into(t, &access)

	r.do("POST", base+"/setup", access.Token, map[string]any{"password": userPassword}).want(t, "setup again", 200,
		"").into(t, &setup)
	r.do("POST", base+"/verify-setup", access.Token, map[string]any{"code": code(t, setup.Key, 1)}).want(t,
		"enable again", 200, "")
	begin()
	for range 6 {
		if finish("wrong-code").status == 429 {
			break
		}
	}
	finish(setup.Codes[0]).want(t, "locked", 429, "TWOFACTOR_RATE_LIMIT")
}

// wantCookie fails the test unless the answer has an access token and the refresh token is in the
// cookie alone.
func (a answer) wantCookie(t *testing.T, what string) answer {
	t.Helper()
	a.want(t, what, 200, "")
	_, token, _ := strings.Cut(a.cookie(), "realmgate=")
	if token == "" || strings.Contains(string(a.raw), token) || strings.Contains(string(a.raw), "refreshToken") ||
		!strings.Contains(string(a.raw), `"token":"`) {
		t.Errorf("%s: got the cookie %q and %s", what, a.cookie(), a.raw)
	}
	return a
}
