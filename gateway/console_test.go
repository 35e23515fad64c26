package gateway

import (
	"net/http"
	"strings"
	"testing"

	"github.com/realmgate/realmgate/gateway/internal/edge"
	"github.com/realmgate/realmgate/pkg/internalapi"
)

// consoleHeaders are those of a request that a page of the host sends.
func consoleHeaders(origin string, more ...string) map[string]string {
	h := map[string]string{"X-Realmgate-Console": "1", "Content-Type": "application/json"}
	if origin != "" {
		h["Origin"] = origin
	}
	for i := 0; i+1 < len(more); i += 2 {
		h[more[i]] = more[i+1]
	}
	return h
}

// givesTokens makes users-svc answer with a pair of tokens.
func givesTokens(d *testGateway) {
	d.users.answers(func(w http.ResponseWriter, r seen) {
		if strings.HasPrefix(r.target, "/internal/") || strings.HasPrefix(r.target, "/.well-known/") {
			d.users.serve(w, r)
			return
		}
		writeJSON(w, 200, map[string]any{"statusCode": 200, "message": "Login successful", "data": map[string]any{
			"token": "access", "refreshToken": "fresh-1_a", "refresh_expires_in": 604800, "user": map[string]any{"id": "x"}}})
	})
}

const (
	site, cross, plain = "Sec-Fetch-Site", "CROSS_SITE_REQUEST", "HTTPS_REQUIRED"
	secure, loopback   = "; HttpOnly; SameSite=Strict; Secure", "; HttpOnly; SameSite=Strict"
	proto              = "X-Forwarded-Proto"
)

// originCases are pages that send a request, and what they get.
var originCases = []struct {
	name, host, origin string
	header             []string
	want               string // "" for a cookie, else the code
	attributes         string
}{
	{"a page of localhost", "localhost:8080", "http://localhost:8080", nil, "", loopback},
	{"a realm of localhost", "507f1f77bcf86cd799439011.localhost", "http://507f1f77bcf86cd799439011.localhost", nil, "",
		loopback},
	{"127.0.0.1", "127.9.8.7:1", "http://127.9.8.7:1", nil, "", loopback},
	{"[::1]", "[::1]:80", "http://[::1]", nil, "", loopback},
	{"fetch metadata alone", "localhost", "", []string{site, "same-origin"}, "", loopback},
	{"both", "localhost", "http://localhost", []string{site, "same-origin"}, "", loopback},
	{"https by a proxy", "App.example", "https://app.example", []string{proto, "https"}, "", secure},
	{"https on another port", "app.example:8443", "https://app.example:8443", []string{proto, "https"}, "", secure},
	{"neither", "localhost", "", nil, cross, ""},
	{"another site", "localhost", "https://evil.example", nil, cross, ""},
	{"another site that says same-origin", "localhost", "https://evil.example", []string{site, "same-origin"}, cross, ""},
	{"the same origin with metadata of another site", "localhost", "http://localhost", []string{site, "cross-site"}, cross,
		""},
	{"same-site", "app.example", "", []string{proto, "https", site, "same-site"}, cross, ""},
	{"typed in", "localhost", "", []string{site, "none"}, cross, ""},
	{"null", "localhost", "null", nil, cross, ""},
	{"another port", "localhost:8080", "http://localhost:8081", nil, cross, ""},
	{"another scheme", "localhost", "https://localhost", nil, cross, ""},
	{"http at a host with https", "app.example", "http://app.example", []string{proto, "https"}, cross, ""},
	{"a longer host", "app.example", "https://app.example.evil", []string{proto, "https"}, cross, ""},
	{"a subdomain", "app.example", "https://x.app.example", []string{proto, "https"}, cross, ""},
	{"a forged host", "evil.example", "https://app.example", []string{proto, "https"}, cross, ""},
	{"plain http", "app.example", "http://app.example", nil, plain, ""},
	{"plain http, another site", "app.example", "http://evil.example", nil, cross, ""},
	{"like localhost", "localhost.evil.example", "http://localhost.evil.example", nil, plain, ""},
	{"like 127.0.0.1", "127.0.0.1.evil.example", "http://127.0.0.1.evil.example", nil, plain, ""},
	{"without the header", "localhost", "http://localhost", []string{"X-Realmgate-Console", ""}, cross, ""},
	{"with another header", "localhost", "http://localhost", []string{"X-Realmgate-Console", "true"}, cross, ""},
}

// TestOnlyThePagesOfTheHostGetACookie sends a login from every kind of page.
func TestOnlyThePagesOfTheHostGetACookie(t *testing.T) {
	t.Parallel()
	d := startGateway(t, func(c *Config) {
		c.Edge.TrustedProxies, c.Edge.CORSOrigins = edge.TextList{"127.0.0.1"}, edge.TextList{"*"}
	})
	givesTokens(d)
	for _, c := range originCases {
		for _, route := range [][2]string{{"POST", "/console/session"}, {"POST", "/console/session/refresh"},
			{"DELETE", "/console/session"}, {"POST", "/api/v1/users/auth/2fa/verify"}} {
			r := d.do(ask{method: route[0], path: route[1], host: c.host, body: `{"email":"a","password":"b"}`,
				header: consoleHeaders(c.origin, c.header...)})
			cookie := r.header.Get("Set-Cookie")
			switch {
			case route[1] != "/console/session" && strings.Contains(c.name, " header"):
				if cookie != "" {
					t.Errorf("%s %s: got the cookie %q, want none", c.name, route[1], cookie)
				}
			case c.want != "":
				if r.status != 403 || r.code != c.want || cookie != "" {
					t.Errorf("%s, %s: got %d %s and the cookie %q, want 403 %s", c.name, route, r.status, r.code, cookie, c.want)
				}
			case route[0] == "POST" && !strings.HasSuffix(route[1], "refresh"):
				name := "realmgate="
				if c.attributes == secure {
					name = "__Host-realmgate="
				}
				want := name + "fresh-1_a; Path=/; Max-Age=604800" + c.attributes
				if r.status != 200 || cookie != want || strings.Contains(r.raw, "fresh-1_a") ||
					!strings.Contains(r.raw, `"access"`) {
					t.Errorf("%s, %s: got %d %s with the cookie %q, want %q", c.name, route, r.status, r.raw, cookie, want)
				}
			}
		}
	}
}

// TestTheCookieIsReadOnce shows what users-svc is asked with which cookies.
func TestTheCookieIsReadOnce(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	givesTokens(d)
	const refresh, session, long = "/console/session/refresh", "/console/session", 1025
	for _, c := range []struct {
		method, path, cookie string
		status               int
		asked                string // the refresh tokens in the bodies of requests to users-svc
		cleared              bool
	}{
		{"POST", refresh, "", 401, "", false},
		{"POST", refresh, "other=1; realmgateX=2", 401, "", false},
		{"POST", refresh, "__Host-realmgate=a", 401, "", false},
		{"POST", refresh, "realmgate=a", 200, "a", false},
		{"POST", refresh, "x=y; realmgate=a ;realmgate=a", 200, "a", false},
		{"POST", refresh, "realmgate=a; realmgate=b", 401, "", true},
		{"POST", refresh, "realmgate=", 401, "", true},
		{"POST", refresh, `realmgate=a"b`, 401, "", true},
		{"POST", refresh, "realmgate=" + strings.Repeat("a", long), 401, "", true},
		{"DELETE", session, "", 200, "", true},
		{"DELETE", session, "realmgate=a", 200, "a", true},
		{"DELETE", session, "realmgate=a; realmgate=b", 200, "a b", true},
	} {
		d.users.got()
		r := d.do(ask{method: c.method, path: c.path, host: "localhost",
			header: consoleHeaders("http://localhost", "Cookie", c.cookie)})
		var asked []string
		for _, one := range d.users.got() {
			token, _, _ := strings.Cut(strings.TrimPrefix(one.body, `{"refreshToken":"`), `"`)
			asked = append(asked, token)
			if one.header.Get(internalapi.CookieSessionHeader) != "1" || one.header.Get("Cookie") != "" {
				t.Errorf("%s %.60s: users-svc got the headers %v", c.method, c.cookie, one.header)
			}
		}
		cleared := strings.Contains(r.header.Get("Set-Cookie"), "realmgate=; Path=/; Max-Age=0;")
		if r.status != c.status || strings.Join(asked, " ") != c.asked || cleared != c.cleared {
			t.Errorf("%s %s with %.60q: got %d, asked %q, cleared %v; want %d, %q, %v", c.method, c.path, c.cookie, r.status,
				asked, cleared, c.status, c.asked, c.cleared)
		}
	}
	r := d.do(ask{method: "GET", path: "/api/v1/users/me", header: map[string]string{"Cookie": "realmgate=a"}})
	if r.status != 401 || r.code != "MISSING_TOKEN" {
		t.Errorf("a route of the API with the cookie: got %d %s, want 401 MISSING_TOKEN", r.status, r.code)
	}
}

// TestAnEndedSessionClearsTheCookie, which an absent users-svc does not.
func TestAnEndedSessionClearsTheCookie(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	for _, c := range []struct {
		method, path string
		answer, want int
		cleared      bool
	}{
		{"POST", "/console/session/refresh", 401, 401, true},
		{"POST", "/console/session/refresh", 403, 403, false},
		{"POST", "/console/session/refresh", 429, 429, false},
		{"POST", "/console/session/refresh", 502, 502, false},
		{"DELETE", "/console/session", 401, 503, false}, // of a previous release, which cannot end it
	} {
		d.users.answers(func(w http.ResponseWriter, r seen) {
			if strings.HasPrefix(r.target, "/internal/") {
				d.users.serve(w, r)
				return
			}
			writeJSON(w, c.answer, map[string]any{"statusCode": c.answer, "code": "SOME_CODE"})
		})
		r := d.do(ask{method: c.method, path: c.path, host: "localhost",
			header: consoleHeaders("http://localhost", "Cookie", "realmgate=a")})
		if cleared := r.header.Get("Set-Cookie") != ""; r.status != c.want || cleared != c.cleared {
			t.Errorf("%s after %d: got %d, cleared %v; want %d, %v", c.method, c.answer, r.status, cleared, c.want, c.cleared)
		}
	}
}

// TestWithoutTheConsoleNothingChanges: its routes do not exist, and its header has no effect.
func TestWithoutTheConsoleNothingChanges(t *testing.T) {
	t.Parallel()
	d := startGateway(t, func(c *Config) { c.Console = "off" })
	givesTokens(d)
	for _, c := range []struct {
		path   string
		status int
	}{{"/console/session", 404}, {"/console/session/refresh", 404}, {"/api/v1/users/auth/login", 200}} {
		r := d.do(ask{method: "POST", path: c.path, host: "localhost", body: "{}",
			header: consoleHeaders("http://localhost")})
		if r.status != c.status || r.header.Get("Set-Cookie") != "" || c.status == 200 &&
			!strings.Contains(r.raw, "fresh-1_a") {
			t.Errorf("%s: got %d %s, want %d and no cookie", c.path, r.status, r.raw, c.status)
		}
	}
}
