package gateway

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/internalapi"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

// The answers of the matrix.
const (
	ok                             = "200"
	missing, invalid, tokenExpired = "401 MISSING_TOKEN", "401 INVALID_TOKEN", "401 TOKEN_EXPIRED"
	forbidden, isBanned            = "403 INSUFFICIENT_PERMISSIONS", "403 ACCOUNT_BANNED"
	noRealm, notRealm, notAddress  = "403 REALM_SCOPE_REQUIRED", "403 REALM_NOT_ALLOWED", "403 IP_NOT_ALLOWED"
)

// caller is somebody in the matrix; want is by access: user, evenBanned, admin, anyRealm. Public
// routes let everybody in.
type caller struct {
	name, authorization, host string
	want                      [4]string
}

func sessionCallers(t *testing.T, d *testGateway) []caller {
	member := d.users.signIn(t)
	banned := d.users.signIn(t, func(s *sessionstate.State) { s.Banned = true })
	bannedAdmin := d.users.signIn(t, func(s *sessionstate.State) { s.Banned, s.Admin = true, true })
	root := d.users.signIn(t, func(s *sessionstate.State) { s.Admin = true })
	ended := d.users.signIn(t, func(s *sessionstate.State) { s.Alive = false })
	unknown := person{userID: id.New(time.Now()), sessionID: id.New(time.Now())}
	mixed := member
	mixed.userID = root.userID
	_, strange, _ := ed25519.GenerateKey(nil)
	forge := func(kid string) string {
		s, _ := auth.SigningKey{ID: kid,
			Private: strange}.Sign(auth.Claims{UserID: member.userID, SessionID: member.sessionID,
			ExpiresAt: time.Now().Add(time.Hour)}, "realmgate", "realmgate")
		return s
	}
	wrongAudience, _ := d.users.key.Sign(auth.Claims{UserID: member.userID, SessionID: member.sessionID,
		ExpiresAt: time.Now().Add(time.Hour)}, "realmgate", "others")
	return []caller{
		{"nobody", "", "", [4]string{missing, missing, missing, missing}},
		{"garbage", "Bearer x", "", [4]string{invalid, invalid, invalid, invalid}},
		{"basic", "Basic YTpi", "", [4]string{invalid, invalid, invalid, invalid}},
		{"expired", "Bearer " + d.users.sign(t, member, -time.Second), "",
			[4]string{tokenExpired, tokenExpired, tokenExpired, tokenExpired}},
		{"wrong key", "Bearer " + forge("k1"), "", [4]string{invalid, invalid, invalid, invalid}},
		{"unknown key", "Bearer " + forge("k9"), "", [4]string{invalid, invalid, invalid, invalid}},
		{"alg none", "Bearer " + unsigned(member), "", [4]string{invalid, invalid, invalid, invalid}},
		{"other audience", "Bearer " + wrongAudience, "", [4]string{invalid, invalid, invalid, invalid}},
		{"ended session", "Bearer " + ended.token, "", [4]string{invalid, invalid, invalid, invalid}},
		{"unknown session", "Bearer " + d.users.sign(t, unknown, time.Hour), "",
			[4]string{invalid, invalid, invalid, invalid}},
		{"somebody else's session", "Bearer " + d.users.sign(t, mixed, time.Hour), "",
			[4]string{invalid, invalid, invalid, invalid}},
		{"member", "Bearer " + member.token, "", [4]string{ok, ok, forbidden, ok}},
		{"banned", "Bearer " + banned.token, "", [4]string{isBanned, ok, isBanned, isBanned}},
		{"banned admin", "Bearer " + bannedAdmin.token, "", [4]string{isBanned, ok, isBanned, isBanned}},
		{"admin", "Bearer " + root.token, "", [4]string{ok, ok, ok, ok}},
	}
}

func tokenCallers(d *testGateway, realm string) []caller {
	other := strings.Repeat("b", 24)
	free, _ := d.users.authToken()
	adminToken, _ := d.users.authToken(func(s *sessionstate.State) { s.Admin = true })
	bannedToken, _ := d.users.authToken(func(s *sessionstate.State) { s.Banned = true })
	bound, _ := d.users.authToken(func(s *sessionstate.State) { s.Token.Grant.Realms = []string{realm} })
	elsewhere, _ := d.users.authToken(func(s *sessionstate.State) { s.Token.IPWhitelist = []string{"192.0.2.0/24"} })
	local, _ := d.users.authToken(func(s *sessionstate.State) {
		s.Token.IPWhitelist = []string{"192.0.2.0/24",
			"127.0.0.0/8"}
	})
	expired, _ := d.users.authToken(func(s *sessionstate.State) { s.ExpiresAt = time.Now().Add(-time.Minute) })
	dead, _ := d.users.authToken(func(s *sessionstate.State) { s.Alive = false })
	return []caller{
		{"token", "Bearer " + free, "", [4]string{ok, ok, forbidden, ok}},
		{"bare token", free, "", [4]string{ok, ok, forbidden, ok}},
		{"admin's token", adminToken, "", [4]string{ok, ok, forbidden, ok}},
		{"banned user's token", bannedToken, "", [4]string{isBanned, ok, isBanned, isBanned}},
		{"unknown token", "hdy_" + realm + "_" + strings.Repeat("f", 48), "", [4]string{invalid, invalid, invalid, invalid}},
		{"dead token", dead, "", [4]string{invalid, invalid, invalid, invalid}},
		{"expired token", expired, "", [4]string{tokenExpired, tokenExpired, tokenExpired, tokenExpired}},
		{"token of a realm, no realm", bound, "", [4]string{noRealm, noRealm, forbidden, ok}},
		{"token of a realm, its host", bound, realm + ".localhost", [4]string{ok, ok, forbidden, ok}},
		{"token of a realm, another host", bound, other + ".localhost", [4]string{notRealm, notRealm, forbidden, ok}},
		{"token of other addresses", elsewhere, "", [4]string{notAddress, notAddress, notAddress, notAddress}},
		{"token of this address", local, "", [4]string{ok, ok, forbidden, ok}},
	}
}

// TestWhoMayUseWhat is the authorisation matrix: every route against every kind of caller.
func TestWhoMayUseWhat(t *testing.T) {
	t.Parallel()
	d := startGateway(t, func(c *Config) { c.Limits = LimitConfig{} })
	realm := strings.Repeat("a", 24)
	for _, c := range append(sessionCallers(t, d), tokenCallers(d, realm)...) {
		t.Run(c.name, func(t *testing.T) {
			for _, row := range routeTable() {
				path := strings.NewReplacer("{id}", realm, "{key}", "k", "{code}", "NOT_FOUND", "{asset}",
					"app.js", "{version}/{folder}/{part}/{file}", "v-0/screens/vault/import.js",
					"{version}/{folder}/{file}", "v-0/lib/api.js", "{version}", "v-0", "{file}", "app.js").Replace(row.path)
				want := ok
				if row.access != public {
					want = c.want[row.access-1]
				}
				for method := range strings.SplitSeq(row.methods, " ") {
					r := d.do(ask{method: method, path: path, authorization: c.authorization, host: c.host})
					if got := strings.TrimSpace(fmt.Sprint(r.status, " ", r.code)); got != want && !(want == ok && r.status < 400) {
						t.Errorf("%s %s: %s, want %s", method, row.path, got, want)
					}
				}
			}
		})
	}
}

func unsigned(p person) string {
	part := func(v any) string { b, _ := json.Marshal(v); return base64.RawURLEncoding.EncodeToString(b) }
	return part(map[string]string{"alg": "none", "typ": "JWT", "kid": "k1"}) + "." + part(map[string]any{
		"sub": p.userID, "sid": p.sessionID, "iss": "realmgate", "aud": "realmgate", "exp": time.Now().Add(time.Hour).Unix(),
	}) + "."
}

func TestARestrictedTokenStaysInItsRealms(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	realm, other := strings.Repeat("a", 24), strings.Repeat("b", 24)
	bound, _ := d.users.authToken(func(s *sessionstate.State) { s.Token.Grant.Realms = []string{realm} })
	scoped, _ := d.users.authToken(func(s *sessionstate.State) { s.Token.Grant.AllowNoRealm = false })
	for _, c := range []struct{ name, token, host, query, want, says string }{
		{"its realm by query", bound, "", "?realm_id=" + strings.ToUpper(realm), "200", ""},
		{"its realm by both", bound, realm + ".h", "?realm_id=" + realm, "200", ""},
		{"another by query", bound, "", "?realm_id=" + other, "403 REALM_NOT_ALLOWED", "not valid for realm " + other},
		{"another by query on its host", bound, realm + ".h", "?realm_id=" + other, "400 VALIDATION_ERROR", ""},
		{"none", bound, "", "", "403 REALM_SCOPE_REQUIRED", "requires a realm-scoped URL"},
		{"none, for a token that must have one", scoped, "", "", "403 REALM_SCOPE_REQUIRED", "requires a realm-scoped URL"},
		{"any, for a token that must have one", scoped, other + ".h", "", "200", ""},
		{"no realm id", bound, "", "?realm_id=xyz", "400 VALIDATION_ERROR", ""},
	} {
		r := d.do(ask{method: "GET", path: "/api/v1/vault/keys" + c.query, authorization: c.token, host: c.host})
		if got := strings.TrimSpace(fmt.Sprint(r.status, " ", r.code)); got != c.want ||
			!strings.Contains(r.message, c.says) {
			t.Errorf("%s: %s %q, want %s %q", c.name, got, r.message, c.want, c.says)
		}
	}
}

func TestNoRouteTakesTwoRealms(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	ada := d.users.signIn(t)
	realm, other := strings.Repeat("a", 24), strings.Repeat("b", 24)
	for _, path := range []string{"/api/v1/vault/keys", "/api/v1/users/auth/me", "/api/v1/auth/tokens",
		"/api/v1/auth/config", "/.well-known/jwks.json"} {
		for query, want := range map[string]string{
			"?realm_id=" + other: "400 VALIDATION_ERROR", "?realm_id=xyz": "400 VALIDATION_ERROR", "?realm_id=" + realm: "200",
			"?realm_id=" + strings.ToUpper(realm): "200",
			"?realm_id=":                          "400 VALIDATION_ERROR", "": "200",
		} {
			r := d.do(ask{method: "GET", path: path + query, bearer: ada.token, host: realm + ".h"})
			if got := strings.TrimSpace(fmt.Sprint(r.status, " ", r.code)); got != want {
				t.Errorf("%s%s: %s, want %s", path, query, got, want)
			}
		}
	}
}

func TestANewSigningKeyIsFetchedWhenATokenNamesIt(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	ada := d.users.signIn(t)
	d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token})
	_, private, _ := ed25519.GenerateKey(nil)
	d.users.mu.Lock()
	d.users.key = auth.SigningKey{ID: "k2", Private: private}
	d.users.mu.Unlock()
	renewed := d.users.sign(t, ada, time.Hour)
	d.until("the new key is known", func() bool {
		return d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: renewed}).status == 200
	})
	if r := d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token}); r.code != "INVALID_TOKEN" {
		t.Errorf("a token of a key that is gone: %d %s", r.status, r.code)
	}
}

func TestTheUseOfATokenIsReportedOnceAndNoneThatWasRefused(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	for name, change := range map[string]func(*sessionstate.State){
		"from another address": func(s *sessionstate.State) { s.Token.IPWhitelist = []string{"10.9.9.9"} },
		"of a banned user":     func(s *sessionstate.State) { s.Banned = true },
		"outside of its realm": func(s *sessionstate.State) {
			s.Token.Grant.Realms, s.Token.Grant.AllowNoRealm = []string{strings.Repeat("a", 24)}, false
		},
	} {
		refused, _ := d.users.authToken(change)
		if r := d.do(ask{method: "GET", path: "/api/v1/vault/keys", authorization: refused}); r.status != 403 {
			t.Errorf("%s: got %d %s", name, r.status, r.raw)
		}
	}
	token, state := d.users.authToken()
	for range 5 {
		d.do(ask{method: "GET", path: "/api/v1/vault/keys", authorization: token})
	}
	uses := func() []string {
		d.users.mu.Lock()
		defer d.users.mu.Unlock()
		return d.users.uses
	}
	d.until("the use is reported", func() bool { return len(uses()) > 0 })
	time.Sleep(50 * time.Millisecond)
	if got := uses(); len(got) != 1 || got[0] != state.Token.ID+` {"ip":"127.0.0.1"}` &&
		!strings.Contains(got[0], state.Token.ID+`/used {"ip":"127.0.0.1"}`) {
		t.Errorf("reported %q", got)
	}
}

func TestRealmsAreMergedFromTheServices(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	ada := d.users.signIn(t)
	a, b := strings.Repeat("a", 24), strings.Repeat("b", 24)
	say := func(uses ...internalapi.RealmUsage) func(w httpWriter, r seen) {
		return func(w httpWriter, r seen) {
			if r.identity.Kind != auth.System || r.target != "/internal/realms?user_id="+ada.userID {
				writeJSON(w, 500, nil)
				return
			}
			writeJSON(w, 200, map[string]any{"realms": uses})
		}
	}
	d.vault.answers(say(internalapi.RealmUsage{RealmID: a, Count: 2, SizeBytes: 10},
		internalapi.RealmUsage{RealmID: b, Count: 1, SizeBytes: 5}))
	d.activity.answers(say(internalapi.RealmUsage{RealmID: a, Count: 7}))
	r := d.do(ask{method: "GET", path: "/api/v1/realms/?include_usage=true", bearer: ada.token})
	want := fmt.Sprintf(`{"statusCode":200,"message":"Realm IDs retrieved successfully","data":{"realm_ids":[%q,%q],"total":2,"usage":{`+
		`%q:{"vault_keys":2,"vault_size_bytes":10,"activity_records":7,"tokens":0},%q:{"vault_keys":1,"vault_size_bytes":5,"activity_records":0,"tokens":1}}}}`, a, b, a, b)
	if r.raw != want {
		t.Errorf("got %s\nwant %s", r.raw, want)
	}
	r = d.do(ask{method: "GET", path: "/api/v1/realms", bearer: ada.token})
	if want := fmt.Sprintf(`"data":{"realm_ids":[%q,%q],"total":2}}`, a, b); !strings.HasSuffix(r.raw, want) {
		t.Errorf("got %s", r.raw)
	}
	if r := d.do(ask{method: "GET", path: "/api/v1/realms?include_usage=1",
		bearer: ada.token}); r.code != "VALIDATION_ERROR" {
		t.Errorf("got %d %s", r.status, r.raw)
	}
	blind, _ := d.users.authToken(func(s *sessionstate.State) { s.Token.Grant.Permissions = nil })
	if r := d.do(ask{method: "GET", path: "/api/v1/realms", authorization: blind}); r.code != "INSUFFICIENT_PERMISSIONS" {
		t.Errorf("a token without the permission: %d %s", r.status, r.raw)
	}
	d.activity.answers(func(w httpWriter, _ seen) { w.WriteHeader(500) })
	if r := d.do(ask{method: "GET", path: "/api/v1/realms", bearer: ada.token}); r.status != 503 {
		t.Errorf("with a service that fails: %d %s", r.status, r.raw)
	}
}

type httpWriter = http.ResponseWriter
