package users_test

import (
	"strings"
	"testing"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/testkit/oidctest"
	"github.com/realmgate/realmgate/users-svc"
	"github.com/realmgate/realmgate/users-svc/internal/oidc"
)

func TestBeginChecksItsQuery(t *testing.T) {
	t.Parallel()
	i := oidctest.Start(t)
	h := start(t, withIssuer(i), func(c *users.Config) {
		c.OIDC.Issuers["odd"] = oidc.IssuerConfig{Issuer: i.URL + "/", ClientID: oidctest.Client, Scopes: "openid"}
	})
	b := h.browser()
	for uri, good := range map[string]bool{
		appURL: true, publicURL: true, publicURL + "/": true, appURL + "/": false, "https://app.example.com/": false,
		strings.ToUpper(appURL): false, appURL + "#x": false, publicURL + "/vault": false, "": false,
		"https://app.example.com/signed-in": false, "//app.example.com": false,
	} {
		q := beginQuery()
		q.Set("redirect_uri", uri)
		if p := b.get(beginPath, q); (p.status == 302) != good || !good && (p.status != 400 ||
			!strings.Contains(p.body, "/redirect_uri")) {
			t.Errorf("redirect_uri %q: got %d %s", uri, p.status, p.body)
		}
	}
	for _, challenge := range []string{"", "short", strings.Repeat("a", 44), strings.Repeat("a", 42) + "="} {
		q := beginQuery()
		q.Set("code_challenge", challenge)
		if p := b.get(beginPath, q); p.status != 400 || !strings.Contains(p.body, "/code_challenge") {
			t.Errorf("code_challenge %q: got %d %s", challenge, p.status, p.body)
		}
	}
	for _, path := range []string{"/api/v1/auth/google", "/api/v1/auth/github", "/api/v1/auth/oidc/nobody"} {
		h.do(anonymous, "GET", path+"?"+beginQuery().Encode(), nil).want(404, "PROVIDER_NOT_FOUND", "")
		h.do(anonymous, "GET", path+"/callback", nil).want(404, "PROVIDER_NOT_FOUND", "")
	}
	// An issuer whose metadata name another address is no use.
	h.do(anonymous, "GET", "/api/v1/auth/oidc/odd?"+beginQuery().Encode(), nil).want(503, "SERVICE_UNAVAILABLE", "")
}

func TestProviderSettingsAreChecked(t *testing.T) {
	t.Parallel()
	base := []string{"DATABASE_URL=postgres://x", "USERS_INTERNAL_KEYS=" + strings.Repeat("k", 32),
		"KEY_ENCRYPTION_KEY=" + keyEncryptionKey}
	for set, want := range map[string]string{
		"OIDC_ACME_ISSUER=https://a.example":                                           "OIDC_ACME_CLIENT_ID is required",
		"OIDC_ACME_CLIENT_ID=x":                                                        "OIDC_ACME_ISSUER must be https://host",
		"OIDC_ACME_CLIENT_ID=x OIDC_ACME_ISSUER=http://a.example":                      "OIDC_ACME_ISSUER must be https://host",
		"OIDC_ACME_CLIENT_ID=x OIDC_ACME_ISSUER=http://127.0.0.1:5556/dex":             "",
		"OIDC_ACME_CLIENT_ID=x OIDC_ACME_ISSUER=http://[::1]:5556":                     "",
		"OIDC_ACME_CLIENT_ID=x OIDC_ACME_ISSUER=http://sso.localhost":                  "",
		"OIDC_ACME_CLIENT_ID=x OIDC_ACME_ISSUER=http://localhost.example":              "OIDC_ACME_ISSUER must be",
		"OIDC_ACME_CLIENT_ID=x OIDC_ACME_ISSUER=https://a.example OIDC_ACME_SCOPES=me": "OIDC_ACME_SCOPES must have openid",
		"OIDC_ACME_CLIENT_ID=x OIDC_ACME_ISSUER=https://a.example OIDC_ACME_LABLE=me":  "OIDC_ACME_LABLE is no setting",
		"OIDC_GOOGLE_CLIENT_ID=x":                                                      "",
		"OIDC_GITHUB_CLIENT_ID=x":                                                      "OIDC_GITHUB_ISSUER: GitHub is no issuer",
		"GITHUB_CLIENT_ID=x":                                                           "GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET belong",
		"AUTH_REDIRECT_URIS=https://a.example/,com.example.app:/in":                    "",
		"AUTH_REDIRECT_URIS=http://a.example/":                                         "AUTH_REDIRECT_URIS: \"http://a.example/\" must",
		"AUTH_REDIRECT_URIS=javascript:alert(1)":                                       "AUTH_REDIRECT_URIS:",
		"AUTH_REDIRECT_URIS=https://a.example/#x":                                      "AUTH_REDIRECT_URIS:",
		"SIGNUP_DOMAINS=example.com,@":                                                 "SIGNUP_DOMAINS must be",
	} {
		err := config.Load(&users.Config{}, append(base[:3:3], strings.Fields(set)...))
		if (err == nil) != (want == "") || err != nil && (!strings.HasPrefix(err.Error(), want) ||
			strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: got %v, want one line that begins with %q", set, err, want)
		}
	}
}
