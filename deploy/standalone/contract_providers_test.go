package main

import (
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"github.com/realmgate/realmgate/pkg/testkit"
	"github.com/realmgate/realmgate/pkg/testkit/oidctest"
)

const (
	appURL      = "https://app.example.com/signed-in"
	appVerifier = "a-verifier-of-the-application-that-is-long-enough"
)

// providerClient signs people in with an issuer, as a browser and an application do.
type providerClient struct {
	*running
	issuer *oidctest.Issuer
	cookie string
}

func beginPath(name string) string {
	sum := sha256.Sum256([]byte(appVerifier))
	return "/api/v1/auth/" + name + "?" + url.Values{"redirect_uri": {appURL},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}}.Encode()
}

// callback begins a sign-in and returns the address of the callback.
func (p *providerClient) callback(name string, claims map[string]any) string {
	p.t.Helper()
	a := p.get(beginPath(name), "").want(p.t, "begin with "+name, 302, "")
	p.cookie, _, _ = strings.Cut(a.header.Get("Set-Cookie"), ";")
	return "/api/v1/auth/" + name + "/callback?" + p.issuer.Approve(a.header.Get("Location"), claims).Encode()
}

// browse opens a path with the browser's cookie, and with one that is none of the services'.
func (p *providerClient) browse(path string) answer {
	p.t.Helper()
	return p.send(request{method: "GET", path: path, header: map[string]string{"Cookie": "a=b; " + p.cookie}})
}

// signIn signs a person in and returns the query of the application's address.
func (p *providerClient) signIn(name string, claims map[string]any) url.Values {
	p.t.Helper()
	a := p.browse(p.callback(name, claims)).want(p.t, "callback of "+name, 302, "")
	u, err := url.Parse(a.header.Get("Location"))
	if err != nil || !strings.HasPrefix(a.header.Get("Location"), appURL+"?") {
		p.t.Fatalf("the callback leads to %q", a.header.Get("Location"))
	}
	return u.Query()
}

func (p *providerClient) exchange(what string, code, status any, errorCode string) answer {
	p.t.Helper()
	return p.do("POST", "/api/v1/auth/exchange", "", map[string]any{"code": code, "code_verifier": appVerifier,
		"redirect_uri": appURL}).want(p.t, what, status.(int), errorCode)
}

func (p *providerClient) link(what, token, password string, status int, code string) answer {
	p.t.Helper()
	return p.do("POST", "/api/v1/auth/link", "", map[string]any{"link_token": token, "password": password}).
		want(p.t, what, status, code)
}

func said(subject, email string, verified any) map[string]any {
	return map[string]any{"sub": subject, "email": email, "email_verified": verified}
}

func contractProviders(t *testing.T, spec *conformance) {
	issuer, database := oidctest.Start(t), testkit.Postgres(t)
	none := product(t, spec)
	r := product(t, spec, "DATABASE_URL="+database, "OIDC_ACME_ISSUER="+issuer.URL, "OIDC_ACME_CLIENT_ID="+oidctest.Client,
		"OIDC_ACME_CLIENT_SECRET="+oidctest.Secret, "OIDC_GOOGLE_ISSUER="+issuer.URL,
		"OIDC_GOOGLE_CLIENT_ID="+oidctest.Client, "OIDC_GOOGLE_CLIENT_SECRET="+oidctest.Secret,
		"GITHUB_CLIENT_ID="+oidctest.Client, "GITHUB_CLIENT_SECRET="+oidctest.Secret, "GITHUB_URL="+issuer.URL,
		"AUTH_REDIRECT_URIS="+appURL, "SIGNUP_DOMAINS=example.com")
	p := &providerClient{running: r, issuer: issuer}
	for _, name := range []string{"oidc/acme", "google", "github"} {
		path := "/api/v1/auth/" + name
		none.get(beginPath(name), "").want(t, name+" is not configured", 404, "PROVIDER_NOT_FOUND")
		none.get(path+"/callback?error=access_denied", "").want(t, "its callback", 404, "PROVIDER_NOT_FOUND")
		r.get(path, "").want(t, name+" without a query", 400, "VALIDATION_ERROR")
		r.get(beginPath(name)+"&prompt=login", "").want(t, "an unknown parameter", 400, "VALIDATION_ERROR")
		asJSON := map[string]string{"Accept": "application/json"}
		r.send(request{method: "GET", path: path + "/callback?state=x&any=thing", header: asJSON}).want(t, "unknown state",
			400, "INVALID_STATE")
		asPage := map[string]string{"Accept": "text/html,*/*;q=0.8"}
		unchecked := *r
		unchecked.spec = nil // a page has no code
		page := unchecked.send(request{method: "GET", path: path + "/callback?state=x", header: asPage})
		if page.status != 400 || !strings.HasPrefix(page.header.Get("Content-Type"), "text/html") ||
			page.header.Get("Content-Security-Policy") == "" || page.header.Get("Location") != "" {
			t.Errorf("%s: the page of an unknown state is %d %v", name, page.status, page.header)
		}
		if name == "github" { // the issuer has no API of GitHub's
			if got := p.signIn(name, said("x", "x@example.com", true)); got.Get("error") != "provider_error" {
				t.Errorf("github: got %v", got)
			}
		}
	}
	code := p.signIn("google", said("ada", "ada@example.com", true)).Get("code")
	ada := loggedIn(t, p.exchange("sign up with Google", code, 200, ""))
	p.exchange("again", code, 400, "INVALID_EXCHANGE_CODE")
	r.do("POST", "/api/v1/auth/exchange", "", nil).want(t, "nothing", 400, "VALIDATION_ERROR")
	r.do("POST", "/api/v1/auth/signup", "", map[string]any{"email": "a@example.org", "password": userPassword}).want(t,
		"another domain", 403, "SIGNUP_DOMAIN_NOT_ALLOWED")
	contractIdentities(t, p, ada, database)
	contractLinks(t, spec, issuer)
}

func loggedIn(t *testing.T, a answer) account {
	var data struct {
		Token string
		User  struct{ ID, Email string }
	}
	a.into(t, &data)
	return account{ID: data.User.ID, Email: data.User.Email, Token: data.Token}
}

// contractIdentities removes the identities of an account without a password, and bans it.
func contractIdentities(t *testing.T, p *providerClient, ada account, database string) {
	const identities = "/api/v1/users/me/identities"
	var list []struct{ ID string }
	p.get(identities, ada.Token).want(t, "identities", 200, "").into(t, &list)
	p.do("DELETE", identities, ada.Token, nil).want(t, "the last way", 409, "LAST_SIGN_IN_METHOD")
	p.do("DELETE", identities+"/"+list[0].ID, ada.Token, nil).want(t, "the last way", 409, "LAST_SIGN_IN_METHOD")
	p.do("DELETE", identities+"/"+nobody, ada.Token, nil).want(t, "no such identity", 404, "IDENTITY_NOT_FOUND")
	p.do("DELETE", identities+"/xyz", ada.Token, nil).want(t, "no id", 400, "INVALID_ID_FORMAT")
	ageSessions(t, database)
	first := map[string]any{"password": userPassword}
	for _, method := range []string{"PATCH", "PUT"} {
		p.do(method, "/api/v1/users/"+ada.ID, ada.Token, first).want(t, "a first password, late", 403,
			"CONFIRMATION_REQUIRED")
	}
	code := p.signIn("google", said("ada", "ada@example.com", true)).Get("code")
	ada = loggedIn(t, p.exchange("again", code, 200, ""))
	p.do("PATCH", "/api/v1/users/"+ada.ID, ada.Token, first).want(t, "a first password", 200, "")
	p.do("DELETE", identities+"/"+list[0].ID, ada.Token, nil).want(t, "remove one", 200, "")
	code = p.signIn("oidc/acme", said("ada", "ada@example.com", true)).Get("code")
	p.do("DELETE", identities, ada.Token, nil).want(t, "remove all", 200, "")
	p.exchange("after that", code, 400, "INVALID_EXCHANGE_CODE")
	code = p.signIn("oidc/acme", said("ada", "ada@example.com", true)).Get("code")
	p.do("PATCH", "/api/v1/users/"+ada.ID, p.admin().Token, map[string]any{"is_banned": true}).want(t, "ban", 200, "")
	p.exchange("of a banned user", code, 403, "ACCOUNT_BANNED")
}

// contractLinks links accounts by their passwords, with a mail server.
func contractLinks(t *testing.T, spec *conformance, issuer *oidctest.Issuer) {
	office := testkit.SMTP(t)
	r := product(t, spec, "OIDC_ACME_ISSUER="+issuer.URL, "OIDC_ACME_CLIENT_ID="+oidctest.Client,
		"OIDC_ACME_CLIENT_SECRET="+oidctest.Secret, "AUTH_REDIRECT_URIS="+appURL, "SMTP_URL=smtp://"+office.Addr+"?tls=off")
	p, admin := &providerClient{running: r, issuer: issuer}, r.admin()
	user := func(email string, verified bool) account {
		u := account{Email: email}
		r.do("POST", "/api/v1/users", admin.Token, map[string]any{"email": email, "password": userPassword}).want(t,
			"create "+email, 201, "").into(t, &u)
		r.do("PATCH", "/api/v1/users/"+u.ID, admin.Token, map[string]any{"email_verified": verified}).want(t, "verify", 200,
			"")
		return u
	}
	token := func(subject string, of account, verified any) string {
		return p.signIn("oidc/acme", said(subject, of.Email, verified)).Get("link_token")
	}
	known, other, unverified, banned := user("known@example.com", true), user("other@example.com", true),
		user("unverified@example.com", false), user("banned@example.com", true)
	first, second := token("same", known, false), token("same", other, "true")
	r.do("POST", "/api/v1/auth/link", "", nil).want(t, "link nothing", 400, "VALIDATION_ERROR")
	p.link("a wrong password", first, "Wrong-password-1", 401, "INVALID_CREDENTIALS")
	p.link("the password", first, userPassword, 200, "")
	p.link("again", first, userPassword, 400, "INVALID_LINK_TOKEN")
	p.link("another account", second, userPassword, 409, "IDENTITY_TAKEN")
	p.link("neither side verified", token("neither", unverified, nil), userPassword, 401, "EMAIL_NOT_VERIFIED")
	late := token("banned", banned, nil)
	r.do("PATCH", "/api/v1/users/"+banned.ID, admin.Token, map[string]any{"is_banned": true}).want(t, "ban", 200, "")
	p.link("a banned account", late, userPassword, 403, "ACCOUNT_BANNED")
	code := p.signIn("oidc/acme", said("same", known.Email, true)).Get("code")
	r.do("PATCH", "/api/v1/users/"+known.ID, admin.Token, map[string]any{"email_verified": false}).want(t, "doubt", 200,
		"")
	p.exchange("not verified any more", code, 401, "EMAIL_NOT_VERIFIED")
}
