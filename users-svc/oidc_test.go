package users_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/testkit/oidctest"
	"github.com/realmgate/realmgate/users-svc"
	"github.com/realmgate/realmgate/users-svc/internal/oidc"
)

const (
	appURL      = "https://app.example.com/signed-in?from=realmgate"
	appVerifier = "a-verifier-of-the-application-that-is-long-enough"
	publicURL   = "http://127.0.0.1:8080"
)

// withIssuer configures the issuer under the name acme.
func withIssuer(i *oidctest.Issuer) func(*users.Config) {
	return func(c *users.Config) {
		c.OIDC.Issuers = map[string]oidc.IssuerConfig{"acme": {Issuer: i.URL, ClientID: oidctest.Client,
			ClientSecret: oidctest.Secret, Scopes: "openid email profile"}}
		c.OIDC.RedirectURIs = appURL
	}
}

// browser is a web browser that follows no redirects and keeps the cookie of sign-ins.
type browser struct {
	h      *harness
	url    string
	cookie *http.Cookie
}

func (h *harness) browser() *browser { return &browser{h: h, url: h.baseURL} }

// page is an answer to a browser.
type page struct {
	status                int
	location, contentType string
	body                  string
	header                http.Header
}

func (b *browser) get(path string, query url.Values) page {
	b.h.t.Helper()
	req, err := http.NewRequestWithContext(b.h.t.Context(), "GET", b.url+path+"?"+query.Encode(), nil)
	if err != nil {
		b.h.t.Fatal(err)
	}
	signed, _ := b.h.internalKeys.Sign(anonymous, users.Name)
	req.Header.Set(auth.IdentityHeader, signed)
	if b.cookie != nil {
		req.AddCookie(b.cookie)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		b.h.t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if cookies := res.Cookies(); len(cookies) > 0 {
		b.cookie = cookies[0]
	}
	return page{res.StatusCode, res.Header.Get("Location"), res.Header.Get("Content-Type"), string(body), res.Header}
}

const beginPath, callbackPath = "/api/v1/auth/oidc/acme", "/api/v1/auth/oidc/acme/callback"

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func beginQuery() url.Values {
	return url.Values{"redirect_uri": {appURL}, "code_challenge": {challengeOf(appVerifier)}}
}

// begin starts a sign-in and returns the address of the provider's page.
func (b *browser) begin() string {
	b.h.t.Helper()
	p := b.get(beginPath, beginQuery())
	if p.status != 302 || p.location == "" {
		b.h.t.Fatalf("begin: got %d %s", p.status, p.body)
	}
	return p.location
}

// signInWith signs in as a person with the claims and returns the query with which the browser
// returns to the application.
func (b *browser) signInWith(i *oidctest.Issuer, claims map[string]any) url.Values {
	b.h.t.Helper()
	return b.back(b.get(callbackPath, i.Approve(b.begin(), claims)))
}

// back returns the query of the application's address in a redirect.
func (b *browser) back(p page) url.Values {
	b.h.t.Helper()
	u, err := url.Parse(p.location)
	if err != nil || p.status != 302 || !strings.HasPrefix(p.location, appURL+"&") {
		b.h.t.Fatalf("callback: got %d to %q: %s", p.status, p.location, p.body)
	}
	return u.Query()
}

func exchangeBody(code string) map[string]any {
	return map[string]any{"code": code, "code_verifier": appVerifier, "redirect_uri": appURL}
}

func (h *harness) exchange(code string) *response {
	h.t.Helper()
	return h.do(anonymous, "POST", "/api/v1/auth/exchange", exchangeBody(code))
}

func person(subject, email string) map[string]any {
	return map[string]any{"sub": subject, "email": email, "email_verified": true, "name": "Ada Lovelace"}
}

func TestProviderSignUpAndSignIn(t *testing.T) {
	t.Parallel()
	i := oidctest.Start(t)
	h := start(t, withIssuer(i))
	b, email := h.browser(), newEmail()
	code := b.signInWith(i, person("ada", email)).Get("code")
	if raw, err := hex.DecodeString(code); err != nil || len(raw) != 32 {
		t.Fatalf("the code is %q, want 64 hexadecimal characters", code)
	}
	first := h.exchange(code).want(200, "", "Login successful")
	if first.text("user.email") != email || first.field("user.email_verified") != true ||
		first.text("user.alias") != "Ada Lovelace" || first.text("user.signup_method") != "acme" {
		t.Errorf("the new account is %s", first.body)
	}
	h.exchange(code).want(400, "INVALID_EXCHANGE_CODE", "")
	// Again, at another replica, with an address that changed at the provider.
	other := &browser{h: h, url: h.startReplica()}
	again := h.exchange(other.signInWith(i, person("ada", newEmail())).Get("code")).want(200, "", "")
	if again.text("user.id") != first.text("user.id") || again.text("user.email") != email {
		t.Errorf("the second sign-in is of %s, want of %s", again.text("user.id"), first.text("user.id"))
	}
	me := h.userOf(email, again)
	// The session is not confirmed, and an account without a password has no way to confirm it.
	h.do(me.identity, "POST", tokens, nil).want(403, "CONFIRMATION_REQUIRED", "")
	h.do(me.identity, "POST", confirmPath, map[string]any{"password": password}).want(400, "CURRENT_PASSWORD_INCORRECT",
		"")
	h.do(anonymous, "POST", "/api/v1/users/auth/login", map[string]any{"email": email, "password": password}).
		want(401, "INVALID_CREDENTIALS", "")
	h.do(me.identity, "POST", factorPath+"/setup", map[string]any{"password": password}).
		want(400, "CURRENT_PASSWORD_INCORRECT", "")
}

func TestExchangeChecksVerifierAndAddress(t *testing.T) {
	t.Parallel()
	i := oidctest.Start(t)
	h := start(t, withIssuer(i))
	b := h.browser()
	code := b.signInWith(i, person("ada", newEmail())).Get("code")
	for name, change := range map[string]map[string]any{
		"verifier": {"code_verifier": appVerifier + "x"}, "address": {"redirect_uri": publicURL},
		"code": {"code": strings.Repeat("0", 64)},
	} {
		body := exchangeBody(code)
		for k, v := range change {
			body[k] = v
		}
		h.do(anonymous, "POST", "/api/v1/auth/exchange", body).want(400, "INVALID_EXCHANGE_CODE", "")
		delete(body, strings.ReplaceAll(map[string]string{"verifier": "code_verifier", "address": "redirect_uri",
			"code": "code"}[name], " ", ""))
		h.do(anonymous, "POST", "/api/v1/auth/exchange", body).want(400, "VALIDATION_ERROR", "")
	}
	// Of concurrent exchanges one succeeds.
	answers := make(chan int)
	for range 8 {
		go func() { answers <- h.exchange(code).status }()
	}
	counts := map[int]int{}
	for range 8 {
		counts[<-answers]++
	}
	if counts[200] != 1 || counts[400] != 7 {
		t.Errorf("got %v, want one 200 and seven 400", counts)
	}
	late := b.signInWith(i, person("ada", newEmail())).Get("code")
	h.clock.forward(time.Minute + time.Second)
	h.exchange(late).want(400, "INVALID_EXCHANGE_CODE", "")
	if stored := query[string](h,
		`SELECT coalesce(string_agg(c::text, ''), '') FROM oidc_codes c`); strings.Contains(stored,
		late) {
		t.Error("the code is stored in clear")
	}
}

func TestCallbackIsBoundToBrowserAndState(t *testing.T) {
	t.Parallel()
	i := oidctest.Start(t)
	h := start(t, withIssuer(i))
	b := h.browser()
	refused := func(what string, p page) {
		t.Helper()
		if p.status != 400 || p.location != "" || !strings.HasPrefix(p.contentType, "text/html") ||
			p.header.Get("Content-Security-Policy") == "" {
			t.Errorf("%s: got %d %s to %q: %s", what, p.status, p.contentType, p.location, p.body)
		}
	}
	answer := i.Approve(b.begin(), person("ada", newEmail()))
	if c := b.cookie; !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Secure {
		t.Errorf("the cookie is %v", c)
	}
	refused("without a cookie", h.browser().get(callbackPath, answer))
	stranger := h.browser()
	stranger.begin()
	refused("in another browser", stranger.get(callbackPath, answer))
	refused("an unknown state", b.get(callbackPath, url.Values{"state": {"x"}, "code": {"y"}}))
	refused("no state", b.get(callbackPath, nil))
	b.begin() // another tab keeps the first sign-in alive
	if b.back(b.get(callbackPath, answer)).Get("code") == "" {
		t.Error("the callback has no code")
	}
	refused("a used state", b.get(callbackPath, answer))
	late := i.Approve(b.begin(), person("ada", newEmail()))
	h.clock.forward(10*time.Minute + time.Second)
	refused("after ten minutes", b.get(callbackPath, late))
	asJSON := h.do(anonymous, "GET", callbackPath+"?state=x", nil, "Accept", "application/json")
	asJSON.want(400, "INVALID_STATE", "")
	if n := query[int](h, `SELECT count(*)::int FROM sessions WHERE user_id <> ''`); n != 0 {
		t.Errorf("%d sessions, want none", n)
	}
}

func TestMisbehavingIssuer(t *testing.T) {
	t.Parallel()
	i := oidctest.Start(t)
	h := start(t, withIssuer(i))
	b := h.browser()
	unpublished := func(claims jwt.MapClaims) string {
		other := oidctest.Start(t)
		other.KeyID = "k1"
		return other.Signed(claims)
	}
	unsigned := func(claims jwt.MapClaims) string {
		raw, _ := jwt.NewWithClaims(jwt.SigningMethodNone, claims).SignedString(jwt.UnsafeAllowNoneSignatureType)
		return raw
	}
	symmetric := func(secret string) func(jwt.MapClaims) string {
		return func(claims jwt.MapClaims) string {
			raw, _ := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
			return raw
		}
	}
	for name, c := range map[string]struct {
		claims map[string]any
		sign   func(jwt.MapClaims) string
	}{
		"another audience":         {claims: map[string]any{"aud": "another"}},
		"no audience":              {claims: map[string]any{"aud": nil}},
		"two audiences, no party":  {claims: map[string]any{"aud": []string{oidctest.Client, "another"}}},
		"another authorized party": {claims: map[string]any{"azp": "another"}},
		"another nonce":            {claims: map[string]any{"nonce": "another"}},
		"no nonce":                 {claims: map[string]any{"nonce": nil}},
		"another issuer":           {claims: map[string]any{"iss": "https://accounts.google.com"}},
		"no subject":               {claims: map[string]any{"sub": nil}},
		"a subject with NUL":       {claims: map[string]any{"sub": "a\x00b"}},
		"expired":                  {claims: map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}},
		"no expiry":                {claims: map[string]any{"exp": nil}},
		"another access token":     {claims: map[string]any{"at_hash": "AAAA"}},
		"an unpublished key":       {sign: unpublished},
		"alg none":                 {sign: unsigned},
		"HS256 with the secret":    {sign: symmetric(oidctest.Secret)},
		"HS256 with the key":       {sign: symmetric(string(i.Published["k1"]))},
		"no ID token":              {sign: func(jwt.MapClaims) string { return "" }},
	} {
		claims := person("ada", newEmail())
		for k, v := range c.claims {
			claims[k] = v
		}
		i.Set(func() { i.Sign = c.sign })
		if got := b.signInWith(i, claims); got.Get("error") != "provider_error" || got.Has("code") {
			t.Errorf("%s: got %v, want provider_error", name, got)
		}
	}
}

func TestReplayedAndInjectedAnswers(t *testing.T) {
	t.Parallel()
	i := oidctest.Start(t)
	h := start(t, withIssuer(i))
	b := h.browser()
	// A code that was used before, with a state of its own.
	answer := i.Approve(b.begin(), person("ada", newEmail()))
	b.back(b.get(callbackPath, answer))
	second := i.Approve(b.begin(), person("ada", newEmail()))
	second.Set("code", answer.Get("code"))
	if got := b.back(b.get(callbackPath, second)); got.Get("error") != "provider_error" {
		t.Errorf("a replayed code: got %v", got)
	}
	// A code of another browser's sign-in belongs to another verifier.
	stranger := h.browser()
	injected := i.Approve(b.begin(), person("ada", newEmail()))
	injected.Set("code", i.Approve(stranger.begin(), person("eve", newEmail())).Get("code"))
	if got := b.back(b.get(callbackPath, injected)); got.Get("error") != "provider_error" {
		t.Errorf("an injected code: got %v", got)
	}
	mixedUp := i.Approve(b.begin(), person("ada", newEmail()))
	mixedUp.Set("iss", "https://evil.example.com")
	if got := b.back(b.get(callbackPath, mixedUp)); got.Get("error") != "provider_error" {
		t.Errorf("an answer of another issuer: got %v", got)
	}
	for sent, want := range map[string]string{"access_denied": "access_denied", "server_error": "provider_error"} {
		denied := i.Approve(b.begin(), nil)
		denied.Del("code")
		denied.Set("error", sent)
		if got := b.back(b.get(callbackPath, denied)); got.Get("error") != want {
			t.Errorf("%s: got %v, want %s", sent, got, want)
		}
	}
}

func TestIssuerOutageAndKeyRotation(t *testing.T) {
	t.Parallel()
	i := oidctest.Start(t)
	i.Set(func() { i.Down = true })
	h := start(t, withIssuer(i)) // starts while the issuer is down
	b, mine := h.browser(), h.signUp()
	if p := b.get(beginPath, beginQuery()); p.status != 503 || p.location != "" {
		t.Errorf("begin during an outage: got %d %s", p.status, p.body)
	}
	h.signIn(mine.email, password)
	i.Set(func() { i.Down = false })
	email := newEmail()
	h.exchange(b.signInWith(i, person("ada", email)).Get("code")).mustStatus(200)
	answer := i.Approve(b.begin(), person("ada", email))
	i.Set(func() { i.Down = true })
	if got := b.back(b.get(callbackPath, answer)); got.Get("error") != "temporarily_unavailable" {
		t.Errorf("callback during an outage: got %v", got)
	}
	i.Set(func() { i.Down, i.KeysDown = false, true })
	if got := b.signInWith(i, person("ada", email)); got.Get("error") != "temporarily_unavailable" {
		t.Errorf("callback without keys: got %v", got)
	}
	i.Set(func() { i.KeysDown = false })
	old := i.Key
	i.Rotate("k2")
	h.exchange(b.signInWith(i, person("ada", email)).Get("code")).mustStatus(200)
	i.Set(func() {
		i.Sign = func(claims jwt.MapClaims) string {
			token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims)
			token.Header["kid"] = "k1"
			raw, _ := token.SignedString(old)
			return raw
		}
	})
	if got := b.signInWith(i, person("ada", email)); got.Get("error") != "provider_error" {
		t.Errorf("with a withdrawn key: got %v", got)
	}
	i.Set(func() { i.Sign = nil })
	// Metadata are read again after an hour, and an outage at that moment changes nothing.
	before := i.Discovered
	h.clock.forward(time.Hour + time.Minute)
	i.Set(func() { i.Down = true })
	b.begin()
	i.Set(func() { i.Down = false })
	b.begin()
	if i.Discovered != before+1 {
		t.Errorf("the metadata were read %d times, want 1", i.Discovered-before)
	}
}
