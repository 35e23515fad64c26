package vault

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
)

// vaultRefusals maps a part of a refusal's message to its code.
var vaultRefusals = map[string]string{
	"Authentication token required": "MISSING_TOKEN", "Your account is banned": "ACCOUNT_BANNED",
	"Insufficient permissions":    "INSUFFICIENT_PERMISSIONS",
	"requires a realm-scoped URL": "REALM_SCOPE_REQUIRED", "not valid for realm": "REALM_NOT_ALLOWED",
}

var vaultCalls = []string{"GET /api/v1/vault/keys", "GET /api/v1/vault/stats", "GET /api/v1/vault/keys/k",
	"PUT /api/v1/vault/keys/k", "DELETE /api/v1/vault/keys/nosuch", "DELETE /api/v1/vault"}

func TestOnlySessionsAndPermittedTokensMayUseTheVault(t *testing.T) {
	t.Parallel()
	s, owner := start(t), user()
	s.put(owner, "k", "", "v")
	s.put(owner, "k", "?realm_id="+realmA, "v")
	token := func(g auth.Grant) auth.Identity {
		return auth.Identity{Kind: auth.Token, UserID: owner.UserID, TokenID: owner.SessionID, Grant: &g}
	}
	with := changedGrant
	full := with(func(*auth.Grant) {})
	banned := owner
	banned.Banned = true
	inRealms := token(with(func(g *auth.Grant) { g.AllowNoRealm = false }))
	onlyA := with(func(g *auth.Grant) { g.Realms, g.AllowNoRealm = []string{realmA}, false })
	onlyAOnHostB := token(onlyA)
	onlyAOnHostB.Realm = realmB
	for name, c := range map[string]struct {
		as      auth.Identity
		query   string
		status  int
		message string
	}{
		"a session": {owner, "", 200, ""},
		"no user": {auth.Identity{Kind: auth.Anonymous}, "", 401,
			"Authentication token required"},
		"the gateway itself": {auth.Identity{Kind: auth.System}, "", 401,
			"Authentication token required"},
		"a banned session":                    {banned, "", 403, "Your account is banned"},
		"a token with everything":             {token(full), "", 200, ""},
		"a token with everything, in a realm": {token(full), "?realm_id=" + realmA, 200, ""},
		"a token without vault_access": {token(with(func(g *auth.Grant) { g.VaultAccess = false })), "", 403,
			"Insufficient permissions"},
		"a token without resources.vault": {
			token(with(func(g *auth.Grant) { g.Permissions = []string{"resources"} })), "", 403,
			"Insufficient permissions"},
		"a token without a grant": {auth.Identity{Kind: auth.Token, UserID: owner.UserID}, "", 403,
			"Insufficient permissions"},
		"a restricted token, its realm":       {token(onlyA), "?realm_id=" + realmA, 200, ""},
		"a restricted token, no realm":        {token(onlyA), "", 403, "requires a realm-scoped URL"},
		"a restricted token, another realm":   {token(onlyA), "?realm_id=" + realmB, 403, "not valid for realm"},
		"a restricted token, another's host":  {onlyAOnHostB, "", 403, "not valid for realm"},
		"a token that needs a realm, without": {inRealms, "", 403, "requires a realm-scoped URL"},
		"a token that needs a realm, in any":  {inRealms, "?realm_id=" + realmA, 200, ""},
		"a restricted token outside of its realms": {
			token(with(func(g *auth.Grant) { g.Realms = []string{realmA} })), "", 403, "requires a realm-scoped URL"},
	} {
		for _, call := range vaultCalls {
			if c.status == 200 && strings.HasPrefix(call, "DELETE") {
				continue // the other cases still need the items
			}
			method, path, _ := strings.Cut(call, " ")
			r := s.call(c.as, method, path+c.query, body("v"))
			if r.status != c.status || !strings.Contains(r.Message, c.message) || r.Code != vaultRefusals[c.message] {
				t.Errorf("%s: %s: got %d %s, want %d %q", name, call, r.status, r.raw, c.status, c.message)
			}
		}
	}
}

// changedGrant returns a grant with full access to the vault, changed by edit.
func changedGrant(edit func(*auth.Grant)) auth.Grant {
	g := auth.Grant{VaultAccess: true, AllowNoRealm: true, Permissions: []string{"resources.vault"}}
	edit(&g)
	return g
}

func TestRequestsNeedTheGatewaysSignature(t *testing.T) {
	t.Parallel()
	s := start(t)
	other, err := auth.NewInternalKeys(strings.Repeat("k", 32), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := other.Sign(user(), Name)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := s.signer.Sign(user(), "users-svc")
	if err != nil {
		t.Fatal(err)
	}
	for name, header := range map[string]string{"none": "", "another key": forged, "for another service": elsewhere,
		"garbage": "x"} {
		req, err := http.NewRequest("GET", "http://"+s.addr+"/api/v1/vault/keys", nil)
		if err != nil {
			t.Fatal(err)
		}
		if header != "" {
			req.Header.Set(auth.IdentityHeader, header)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 401 {
			t.Errorf("%s: got %d", name, res.StatusCode)
		}
	}
}
