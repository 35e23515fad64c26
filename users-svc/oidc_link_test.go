package users_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/testkit/oidctest"
	"github.com/realmgate/realmgate/users-svc"
	"github.com/realmgate/realmgate/users-svc/internal/oidc"
)

const (
	linkPath       = "/api/v1/auth/link"
	identitiesPath = "/api/v1/users/me/identities"
)

func TestLinkNeedsVerifiedAddressesOrPassword(t *testing.T) {
	t.Parallel()
	i := oidctest.Start(t)
	h := start(t, withIssuer(i), withAdmin)
	b, root := h.browser(), h.admin()
	both := h.signUp()
	if got := h.exchange(b.signInWith(i,
		person("both", strings.ToUpper(both.email))).Get("code")).mustStatus(200); got.text(
		"user.id") != both.id {
		t.Errorf("verified on both sides: got %s, want %s", got.text("user.id"), both.id)
	}
	unverified := h.signUp()
	h.do(root.identity, "PATCH", "/api/v1/users/"+unverified.id, map[string]any{"email_verified": false}).mustStatus(200)
	for name, c := range map[string]struct {
		user   testUser
		claims map[string]any
	}{
		"at the provider by a text":   {h.signUp(), map[string]any{"email_verified": "true"}},
		"at the provider by a number": {h.signUp(), map[string]any{"email_verified": 1}},
		"at the provider by false":    {h.signUp(), map[string]any{"email_verified": false}},
		"at the provider, unsaid":     {h.signUp(), map[string]any{"email_verified": nil}},
		"in the account":              {unverified, nil},
	} {
		claims := person("of "+name, c.user.email)
		for k, v := range c.claims {
			claims[k] = v
		}
		got := b.signInWith(i, claims)
		token := got.Get("link_token")
		if got.Get("error") != "link_required" || token == "" || got.Has("code") {
			t.Errorf("not verified %s: got %v, want link_required", name, got)
			continue
		}
		link := func(password string) *response {
			return h.do(anonymous, "POST", linkPath, map[string]any{"link_token": token, "password": password})
		}
		link("Wrong-password-1").want(401, "INVALID_CREDENTIALS", "")
		a := link(password).want(200, "", "Login successful")
		if a.text("user.id") != c.user.id || a.field("user.email_verified") != true {
			t.Errorf("%s: linked to %s", name, a.body)
		}
		link(password).want(400, "INVALID_LINK_TOKEN", "")
		h.exchange(b.signInWith(i, claims).Get("code")).mustStatus(200)
	}
	h.do(anonymous, "POST", linkPath, map[string]any{"link_token": "x", "password": password}).
		want(400, "INVALID_LINK_TOKEN", "")
	h.do(anonymous, "POST", linkPath, nil).want(400, "VALIDATION_ERROR", "")
}

// TestUnverifiedAddressMakesNoAccount: there is no account with the address yet.
func TestUnverifiedAddressMakesNoAccount(t *testing.T) {
	t.Parallel()
	i := oidctest.Start(t)
	b := start(t, withIssuer(i)).browser()
	for _, verified := range []any{"true", false, nil} {
		claims := person("nobody", newEmail())
		claims["email_verified"] = verified
		if got := b.signInWith(i, claims); got.Get("error") != "email_not_verified" {
			t.Errorf("email_verified %v: got %v, want email_not_verified", verified, got)
		}
	}
	for _, email := range []any{nil, "", "no address", "a@b@example.com"} {
		claims := person("nobody", "")
		claims["email"] = email
		if got := b.signInWith(i, claims); got.Get("error") != "email_not_verified" {
			t.Errorf("email %v: got %v, want email_not_verified", email, got)
		}
	}
}

// TestLinkTokensOfOneUserRace: a user at a provider belongs to one account.
func TestLinkTokensOfOneUserRace(t *testing.T) {
	t.Parallel()
	i := oidctest.Start(t)
	h := start(t, withIssuer(i))
	var tokens []string
	for range 2 {
		claims := person("same", h.signUp().email)
		claims["email_verified"] = false
		tokens = append(tokens, h.browser().signInWith(i, claims).Get("link_token"))
	}
	var mu sync.Mutex
	counts := map[int]int{}
	var group sync.WaitGroup
	for n := range 6 {
		group.Go(func() {
			a := h.do(anonymous, "POST", linkPath, map[string]any{"link_token": tokens[n%2], "password": password})
			mu.Lock()
			defer mu.Unlock()
			counts[a.status]++
		})
	}
	group.Wait()
	if counts[200] != 1 || counts[400]+counts[409] != 5 || counts[409] == 0 {
		t.Errorf("got %v, want one 200, and 400 or 409", counts)
	}
}

// TestSignUpsOfOneUserRace: concurrent first sign-ins make one account.
func TestSignUpsOfOneUserRace(t *testing.T) {
	t.Parallel()
	i := oidctest.Start(t)
	h := start(t, withIssuer(i))
	other := h.startReplica()
	email := newEmail()
	answers := make([]url.Values, 8)
	browsers := make([]*browser, len(answers))
	for n := range answers {
		browsers[n] = h.browser()
		answers[n] = i.Approve(browsers[n].begin(), person("ada", email))
	}
	var group sync.WaitGroup
	ids := make([]string, len(answers))
	for n, b := range browsers {
		if n%2 == 1 {
			b.url = other
		}
		group.Go(func() {
			ids[n] = h.exchange(b.back(b.get(callbackPath, answers[n])).Get("code")).text("user.id")
		})
	}
	group.Wait()
	for _, id := range ids {
		if id != ids[0] || id == "" {
			t.Errorf("the accounts are %v, want one", ids)
			break
		}
	}
}

func TestSignUpRulesHoldForProviders(t *testing.T) {
	t.Parallel()
	i := oidctest.Start(t)
	h := start(t, withIssuer(i), func(c *users.Config) {
		c.Signup.Domains, c.Signup.InviteRequired, c.Signup.InviteCodes = "Example.com, bücher.example", true, "sesame"
	})
	b := h.browser()
	if got := b.signInWith(i, person("far", "ada@elsewhere.example")); got.Get("error") != "signup_disabled" {
		t.Errorf("another domain: got %v", got)
	}
	h.do(anonymous, "POST", "/api/v1/auth/signup", map[string]any{"email": "ada@elsewhere.example", "password": password}).
		want(403, "SIGNUP_DOMAIN_NOT_ALLOWED", "")
	h.exchange(b.signInWith(i, person("near", "ada@xn--bcher-kva.example")).Get("code")).mustStatus(200)
	for code, unlocked := range map[string]bool{"sesame": true, "wrong": false, "": false} {
		q := beginQuery()
		if code != "" {
			q.Set("invite_code", code)
		}
		p := b.get(beginPath, q)
		email := newEmail()
		answer := i.Approve(p.location, person("invited by "+code, email))
		me := h.userOf(email, h.exchange(b.back(b.get(callbackPath, answer)).Get("code")).mustStatus(200))
		status := h.do(me.identity, "GET", "/api/v1/users/me/free-tier-status", nil).mustStatus(200)
		if status.field("unlocked") != unlocked || status.field("signup_code_failed") != (code == "wrong") {
			t.Errorf("invite code %q: got %s", code, status.body)
		}
	}
	closed := start(t, withIssuer(i), func(c *users.Config) { c.Signup.Enabled = false })
	if got := closed.browser().signInWith(i, person("late", newEmail())); got.Get("error") != "signup_disabled" {
		t.Errorf("sign-up disabled: got %v", got)
	}
}

func TestAccountWithoutPassword(t *testing.T) {
	t.Parallel()
	i := oidctest.Start(t)
	h := start(t, withIssuer(i))
	b, email := h.browser(), newEmail()
	in := func() testUser {
		return h.userOf(email, h.exchange(b.signInWith(i, person("ada", email)).Get("code")).mustStatus(200))
	}
	me := in()
	list := h.do(me.identity, "GET", identitiesPath, nil).mustStatus(200).data.([]any)
	if len(list) != 1 {
		t.Fatalf("got %v, want one identity", list)
	}
	item := list[0].(map[string]any)
	if item["provider"] != "acme" || item["email"] != email || item["user_id"] != nil || item["subject"] != nil {
		t.Errorf("got %v", item)
	}
	one := identitiesPath + "/" + fmt.Sprint(item["id"])
	h.do(me.identity, "DELETE", one, nil).want(409, "LAST_SIGN_IN_METHOD", "")
	h.do(me.identity, "DELETE", identitiesPath, nil).want(409, "LAST_SIGN_IN_METHOD", "")
	h.do(me.identity, "DELETE", identitiesPath+"/"+strings.Repeat("0", 24), nil).want(404, "IDENTITY_NOT_FOUND", "")
	h.do(h.signUp().identity, "DELETE", one, nil).want(404, "IDENTITY_NOT_FOUND", "")

	profile := "/api/v1/users/" + me.id
	h.do(me.identity, "PATCH", profile, map[string]any{"password": password, "current_password": password}).
		want(400, "CURRENT_PASSWORD_INCORRECT", "")
	h.clock.forward(11 * time.Minute)
	h.do(me.identity, "PATCH", profile, map[string]any{"password": password}).want(403, "CONFIRMATION_REQUIRED", "")
	me = in()
	h.do(me.identity, "PATCH", profile, map[string]any{"password": password}).mustStatus(200)
	h.do(me.identity, "PATCH", profile, map[string]any{"password": password + "2"}).want(400, "CURRENT_PASSWORD_REQUIRED",
		"")
	h.signIn(email, password)
	h.do(me.identity, "POST", confirmPath, map[string]any{"password": password}).mustStatus(200)
	h.do(me.identity, "DELETE", one, nil).want(200, "", "Identity removed successfully")
	h.do(me.identity, "DELETE", identitiesPath, nil).mustStatus(200)
	if got := h.browser().signInWith(i, person("ada", email)); !got.Has("code") {
		t.Errorf("after unlinking: got %v, want a new link", got)
	}
	_, secret := h.createToken(me.identity, `{"permission_template":"full_access"}`)
	h.do(h.tokenIdentity(secret), "GET", identitiesPath, nil).want(403, "INSUFFICIENT_PERMISSIONS", "")
}

func TestProviderSignInOfRestrictedAccounts(t *testing.T) {
	t.Parallel()
	i := oidctest.Start(t)
	h := start(t, withIssuer(i), withAdmin)
	b, root, me := h.browser(), h.admin(), h.signUp()
	claims := person("ada", me.email)
	h.exchange(b.signInWith(i, claims).Get("code")).mustStatus(200)
	waiting := b.signInWith(i, claims).Get("code")
	ban := func(banned bool) {
		h.do(root.identity, "PATCH", "/api/v1/users/"+me.id, map[string]any{"is_banned": banned}).mustStatus(200)
	}
	ban(true)
	h.exchange(waiting).want(403, "ACCOUNT_BANNED", "")
	if got := b.signInWith(i, claims); got.Get("error") != "account_banned" {
		t.Errorf("banned: got %v", got)
	}
	ban(false)
	// Unlinking voids a code that waits.
	waiting = b.signInWith(i, claims).Get("code")
	me = h.signIn(me.email, password)
	h.do(me.identity, "DELETE", identitiesPath, nil).mustStatus(200)
	h.exchange(waiting).want(400, "INVALID_EXCHANGE_CODE", "")

	second := h.signUp()
	app := h.enableTwoFactor(&second)
	a := h.exchange(b.signInWith(i, person("second", second.email)).Get("code")).want(200, "", "")
	if a.field("requires_2fa") != true || a.field("token") != nil {
		t.Fatalf("with a second factor: got %s", a.body)
	}
	done := h.verify(a.text("temp_token"), app.code()).mustStatus(200)
	h.createToken(h.userOf(second.email, done).identity, map[string]any{"otp_code": app.code()})
}

// TestGitHubSignIn runs against a server with GitHub's endpoints.
func TestGitHubSignIn(t *testing.T) {
	t.Parallel()
	email, verified := newEmail(), true
	var challenge string
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login/oauth/access_token", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("client_secret") != oidctest.Secret || challengeOf(r.FormValue("code_verifier")) != challenge {
			writeJSON(w, map[string]any{"error": "bad_verification_code"})
			return
		}
		writeJSON(w, map[string]any{"access_token": "gho", "token_type": "bearer"})
	})
	mux.HandleFunc("GET /api/v3/user", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, map[string]any{"id": 42, "login": "ada", "email": "public@example.com", "name": nil})
	})
	mux.HandleFunc("GET /api/v3/user/emails", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, []map[string]any{{"email": "other@example.com", "primary": false, "verified": true},
			{"email": email, "primary": true, "verified": verified}})
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	h := start(t, func(c *users.Config) {
		c.OIDC.GitHub = oidc.GitHubConfig{ClientID: oidctest.Client, ClientSecret: oidctest.Secret, URL: server.URL}
		c.OIDC.RedirectURIs = appURL
	})
	b := h.browser()
	in := func() url.Values {
		p := b.get("/api/v1/auth/github", beginQuery())
		u, _ := url.Parse(p.location)
		challenge = u.Query().Get("code_challenge")
		if p.status != 302 || u.Path != "/login/oauth/authorize" || u.Query().Get("redirect_uri") !=
			publicURL+"/api/v1/auth/github/callback" {
			t.Fatalf("begin: got %d to %s", p.status, p.location)
		}
		return b.back(b.get("/api/v1/auth/github/callback", url.Values{"code": {"x"}, "state": {u.Query().Get("state")}}))
	}
	a := h.exchange(in().Get("code")).mustStatus(200)
	if a.text("user.email") != email || a.text("user.signup_method") != "github" {
		t.Errorf("got %s", a.body)
	}
	verified = false
	h.exchange(in().Get("code")).mustStatus(200) // the same user of GitHub
	server.Close()
	if got := in(); got.Get("error") != "temporarily_unavailable" {
		t.Errorf("during an outage: got %v", got)
	}
	offered := h.do(anonymous, "GET", "/api/v1/auth/config", nil).mustStatus(200)
	if offered.field("githubEnabled") != true || offered.field("googleEnabled") != false ||
		fmt.Sprint(offered.field("providers")) != "[map[label:GitHub name:github]]" {
		t.Errorf("got %s", offered.body)
	}
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// TestUserinfoHasTheAddress: some issuers put the address only there.
func TestUserinfoHasTheAddress(t *testing.T) {
	t.Parallel()
	i := oidctest.Start(t)
	i.Set(func() { i.Userinfo = person("ada", newEmail()) })
	h := start(t, withIssuer(i))
	bare := map[string]any{"sub": "ada"}
	h.exchange(h.browser().signInWith(i, bare).Get("code")).mustStatus(200)
	i.Set(func() { i.Userinfo = person("eve", newEmail()) })
	if got := h.browser().signInWith(i, bare); got.Get("error") != "provider_error" {
		t.Errorf("userinfo of another subject: got %v", got)
	}
	i.Set(func() { i.Userinfo["email_verified"] = "true" })
	if got := h.browser().signInWith(i, map[string]any{"sub": "eve"}); got.Get("error") != "email_not_verified" {
		t.Errorf("a text in userinfo: got %v", got)
	}
}
