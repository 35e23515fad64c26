package users_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/redisdb"
	"github.com/realmgate/realmgate/pkg/sessionstate"
	"github.com/realmgate/realmgate/users-svc"
)

const (
	tokens = "/api/v1/auth/tokens"
	realmA = "507f1f77bcf86cd799439011"
	realmB = "507f1f77bcf86cd799439012"
)

// stateOf returns the state of a token as a gateway reads it.
func (h *harness) stateOf(secret string) sessionstate.State {
	h.t.Helper()
	sum := sha256.Sum256([]byte(secret))
	var s sessionstate.State
	if err := json.Unmarshal(h.do(system, "GET", "/internal/tokens/"+hex.EncodeToString(sum[:]), nil).mustStatus(200).body,
		&s); err != nil {
		h.t.Fatal(err)
	}
	return s
}

// tokenIdentity returns the identity that a gateway makes of a token.
func (h *harness) tokenIdentity(secret string) auth.Identity {
	h.t.Helper()
	s := h.stateOf(secret)
	if !s.Alive || s.Token == nil {
		h.t.Fatalf("the token is not alive: %+v", s)
	}
	return auth.Identity{Kind: auth.Token, UserID: s.UserID, TokenID: s.Token.ID, Grant: &s.Token.Grant, Banned: s.Banned,
		ClientAddr: "192.0.2.1"}
}

// createToken creates a token and returns its id and secret.
func (h *harness) createToken(who auth.Identity, body any) (tokenID, secret string) {
	h.t.Helper()
	a := h.do(who, "POST", tokens, body).mustStatus(201)
	return a.text("id"), a.text("token")
}

func TestTokenSecretIsShownOnce(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	made := h.do(me.identity, "POST", tokens, nil).want(201, "", "Auth token created successfully")
	secret := made.text("token")
	if !regexp.MustCompile(`^hdy_[0-9a-f]{24}_[0-9a-f]{48}$`).MatchString(secret) || secret[4:28] != made.text("id") {
		t.Errorf("token: got %s for %s, want hdy_<id>_<48 hex>", secret, made.text("id"))
	}
	want := `"prefix":"hdy_","public_key":null,"public_storage":null,"ip_whitelist":["*"],"realm_ids":[],"allow_no_realm":true,"permissions":{},` +
		`"expires_at":null,"is_enabled":true,"vault_access":false,"vault_read_only":false,"vault_prefixes":[],"event_access":true,"created_by_token_id":null,"delegation_depth":0,` +
		`"last_used_at":null,"last_used_ip":null,`
	if !strings.Contains(string(made.body), want) {
		t.Errorf("defaults: got %s, want %s", made.body, want)
	}
	for _, path := range []string{tokens, tokens + "/" + made.text("id")} {
		if a := h.do(me.identity, "GET", path, nil).mustStatus(200); strings.Contains(string(a.body), secret[29:]) ||
			!strings.Contains(string(a.body), want) {
			t.Errorf("%s: got %s, want the token without its secret", path, a.body)
		}
	}
	if s := h.stateOf(secret); !s.Alive || s.UserID != me.id || s.Admin || s.Token.ID != made.text("id") {
		t.Errorf("state: got %+v, want it alive and %s's", s, me.id)
	}
	if s := h.stateOf(secret[:len(secret)-1] + "x"); s.Alive || s.UserID != "" {
		t.Errorf("another secret: got %+v, want nothing", s)
	}
	if n := query[int](h, `SELECT count(*)::int FROM auth_tokens t WHERE t::text LIKE '%' || $1 || '%'`,
		secret[29:]); n != 0 {
		t.Error("the secret is in the database")
	}
}

func TestExpiredDisabledOrDeletedTokenIsNotAlive(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	tokenID, secret := h.createToken(me.identity,
		map[string]any{"expires_at": strconv.FormatInt(h.clock.now().Add(time.Hour).Unix(), 10)})
	version := h.stateOf(secret).Version
	h.do(me.identity, "PATCH", tokens+"/"+tokenID, `{"is_enabled":false}`).mustStatus(200)
	if s := h.stateOf(secret); s.Alive || s.Version <= version {
		t.Errorf("disabled: got %+v, want it dead and a version above %d", s, version)
	}
	h.do(me.identity, "PATCH", tokens+"/"+tokenID, `{"is_enabled":true}`).mustStatus(200)
	if s := h.stateOf(secret); !s.Alive || s.ExpiresAt.IsZero() {
		t.Errorf("enabled again: got %+v, want it alive with an end", s)
	}
	h.clock.forward(61 * time.Minute)
	if s := h.stateOf(secret); s.Alive || s.UserID != me.id {
		t.Errorf("expired: got %+v, want it dead but known", s)
	}
	h.do(me.identity, "DELETE", tokens+"/"+tokenID, nil).want(200, "", "Auth token deleted successfully")
	if s := h.stateOf(secret); s.Alive || s.UserID != "" {
		t.Errorf("deleted: got %+v, want nothing", s)
	}
	h.do(me.identity, "DELETE", tokens+"/"+tokenID, nil).want(404, "TOKEN_NOT_FOUND", "Auth token not found")
}

func TestTokenAliasIsUniquePerUser(t *testing.T) {
	t.Parallel()
	h := start(t)
	me, other := h.signUp(), h.signUp()
	var wait sync.WaitGroup
	codes := make([]string, 20)
	for i := range codes {
		wait.Go(func() { codes[i] = h.do(me.identity, "POST", tokens, `{"alias":"ci"}`).code })
	}
	wait.Wait()
	slices.Sort(codes)
	if codes[0] != "" || codes[1] != "DUPLICATE_ALIAS" || codes[19] != "DUPLICATE_ALIAS" {
		t.Errorf("twenty at once: got %v, want one created", codes)
	}
	second, _ := h.createToken(me.identity, nil)
	h.do(me.identity, "PATCH", tokens+"/"+second, `{"alias":"ci"}`).want(400, "DUPLICATE_ALIAS",
		"An auth token with this alias already exists")
	h.do(other.identity, "POST", tokens, `{"alias":"ci"}`).mustStatus(201)
}

func TestTokenLimitIsExact(t *testing.T) {
	t.Parallel()
	h := start(t, func(c *users.Config) { c.AuthTokenLimit = 7 })
	me := h.signUp()
	first, _ := h.createToken(me.identity, nil)
	other := h.startReplica()
	var wait sync.WaitGroup
	made := make([]int, 40)
	for i := range made {
		path, url := tokens, []string{h.baseURL, other}[i%2]
		if i%3 == 0 {
			path += "/" + first + "/copy"
		}
		wait.Go(func() {
			a := h.doAt(url, me.identity, "POST", path, nil)
			if made[i] = a.status; a.status != 201 {
				a.want(409, "AUTH_TOKEN_LIMIT_REACHED", "Auth token limit reached")
			}
		})
	}
	wait.Wait()
	slices.Sort(made)
	if n := slices.Index(made, 409); n != 6 {
		t.Errorf("forty callers for six places: got %d tokens", n)
	}
	h.do(me.identity, "DELETE", tokens+"/"+first, nil).mustStatus(200)
	h.createToken(me.identity, nil)
}

func TestTokenCopyHasRightsAndOwnAlias(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	tokenID, secret := h.createToken(me.identity,
		`{"alias":"ci","permission_template":"dev_team","vault_access":true,"realm_ids":["`+realmA+`"],"ip_whitelist":["10.0.0.0/8"]}`)
	h.do(me.identity, "PATCH", tokens+"/"+tokenID, `{"is_enabled":false}`).mustStatus(200)
	for _, want := range []string{"ci copy", "ci copy 2", "ci copy 3"} {
		a := h.do(me.identity, "POST", tokens+"/"+tokenID+"/copy", nil).want(201, "", "Auth token copied successfully")
		if a.text("alias") != want || a.text("id") == tokenID || a.text("token") == secret || a.field("is_enabled") != true ||
			a.field("created_by_token_id") != nil {
			t.Errorf("got %s, want an enabled token of its own called %s", a.body, want)
		}
		if got := fmt.Sprint(a.field("realm_ids"), a.field("ip_whitelist"), a.field("vault_access"),
			a.field("permissions.resources.vault")); got != "["+realmA+"] [10.0.0.0/8] true true" {
			t.Errorf("rights: got %s", got)
		}
	}
	h.do(me.identity, "POST", tokens+"/"+tokenID+"/copy", `{"alias":"ci copy"}`).want(400, "DUPLICATE_ALIAS", "")
	h.do(me.identity, "POST", tokens+"/"+tokenID+"/copy", `{"alias":"x/y"}`).want(400, "INVALID_ALIAS_FORMAT", "")
	h.do(me.identity, "POST", tokens+"/"+id.New(time.Now())+"/copy", nil).want(404, "TOKEN_NOT_FOUND", "")
}

func TestCopyOfExpiredTokenNeedsNewExpiry(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	tokenID, _ := h.createToken(me.identity, map[string]any{"expires_at": h.clock.now().Add(time.Hour)})
	h.clock.forward(2 * time.Hour)
	path := tokens + "/" + tokenID + "/copy"
	h.do(me.identity, "POST", path, map[string]any{"current_password": password}).want(400, "EXPIRATION_IN_PAST", "")
	fresh := map[string]any{"current_password": password, "expires_at": h.clock.now().Add(time.Hour)}
	if a := h.do(me.identity, "POST", path, fresh).mustStatus(201); !h.stateOf(a.text("token")).Alive {
		t.Errorf("a copy with a new expiry is not alive: %s", a.body)
	}
}

func TestTokenRealmsAreAddedAndRemoved(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	tokenID, secret := h.createToken(me.identity, nil)
	edit := func(verb, realm string) string {
		a := h.do(me.identity, "POST", tokens+"/"+tokenID+"/"+verb+"-realm", map[string]any{"realm_id": realm}).want(200, "",
			"Auth token updated successfully")
		return fmt.Sprint(a.field("realm_ids"))
	}
	for _, c := range [][3]string{
		{"add", strings.ToUpper(realmA), "[" + realmA + "]"}, {"add", realmA, "[" + realmA + "]"},
		{"add", realmB, "[" + realmA + " " + realmB + "]"},
		{"remove", realmA, "[" + realmB + "]"}, {"remove", realmA, "[" + realmB + "]"}, {"remove", realmB, "[]"},
		{"add", realmB, "[" + realmB + "]"},
	} {
		if got := edit(c[0], c[1]); got != c[2] {
			t.Errorf("%s %s: got %s, want %s", c[0], c[1], got, c[2])
		}
	}
	for body, code := range map[string]string{`{}`: "VALIDATION_ERROR", `{"realm_id":1}`: "VALIDATION_ERROR",
		`{"realm_id":null}`: "VALIDATION_ERROR",
		`{"realm_id":"x"}`:  "INVALID_REALM_ID_FORMAT", `{"realm_id":""}`: "INVALID_REALM_ID_FORMAT"} {
		h.do(me.identity, "POST", tokens+"/"+tokenID+"/add-realm", body).want(400, code, "")
	}
	got := string(h.do(system, "GET", "/internal/realms?user_id="+me.id, nil).mustStatus(200).body)
	if want := `{"realms":[{"realm_id":"` + realmB + `","count":1,"size_bytes":0}]}`; got != want {
		t.Errorf("realms: got %s, want %s", got, want)
	}
	h.do(me.identity, "GET", "/internal/realms?user_id="+me.id, nil).want(401, "INVALID_TOKEN", "")
	h.do(system, "GET", "/internal/realms?user_id=x", nil).want(400, "VALIDATION_ERROR", "")

	current := h.do(h.tokenIdentity(secret), "GET", tokens+"/me", nil).want(200, "", "Auth token retrieved successfully")
	if got, want := fmt.Sprint(current.field("restrictions")),
		"map[active_realm_id:<nil> allow_no_realm:true allowed_realm_ids:["+realmB+"] has_realm_restrictions:true requires_realm_scope:true]"; got != want {
		t.Errorf("restrictions: got %s, want %s", got, want)
	}
	inRealm := h.tokenIdentity(secret)
	inRealm.Realm = realmB
	if a := h.do(inRealm, "GET", tokens+"/me", nil).mustStatus(200); a.field("restrictions.active_realm_id") != realmB ||
		a.text("token.id") != tokenID {
		t.Errorf("in a realm: got %s", a.body)
	}
	h.do(me.identity, "GET", tokens+"/me", nil).want(403, "INSUFFICIENT_PERMISSIONS",
		"This endpoint requires auth token authentication")
}

func TestTokenLastUseIsStoredOncePerMinute(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	tokenID, _ := h.createToken(me.identity, nil)
	use := func(ip string) string {
		h.do(system, "POST", "/internal/tokens/"+tokenID+"/used", map[string]any{"ip": ip}).mustStatus(200)
		return fmt.Sprint(h.do(me.identity, "GET", tokens+"/"+tokenID, nil).mustStatus(200).field("last_used_ip"))
	}
	if got := use("192.0.2.1"); got != "192.0.2.1" {
		t.Errorf("first use: got %s", got)
	}
	if got := use("192.0.2.2"); got != "192.0.2.1" {
		t.Errorf("a second later: got %s, want the first still", got)
	}
	h.clock.forward(time.Minute)
	if got := use("192.0.2.3"); got != "192.0.2.3" {
		t.Errorf("a minute later: got %s", got)
	}
	h.do(system, "POST", "/internal/tokens/"+id.New(time.Now())+"/used", `{"ip":"192.0.2.1"}`).mustStatus(200)
	h.do(me.identity, "POST", "/internal/tokens/"+tokenID+"/used", `{"ip":"192.0.2.1"}`).want(401, "INVALID_TOKEN", "")
	h.do(system, "POST", "/internal/tokens/"+tokenID+"/used", `{"ip":7}`).want(400, "VALIDATION_ERROR", "")
}

func TestTokenWithoutReadAccountSeesReducedUser(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	_, plain := h.createToken(me.identity, nil)
	_, reader := h.createToken(me.identity, `{"permissions":{"resources":{"read_account":true}}}`)
	for _, path := range []string{"/api/v1/users/me", "/api/v1/users/auth/me", "/api/v1/users/" + me.id} {
		reduced := h.do(h.tokenIdentity(plain), "GET", path, nil).mustStatus(200).data.(map[string]any)
		if len(reduced) != 6 || reduced["id"] != me.id || reduced["email"] != nil {
			t.Errorf("%s without the permission: got %v, want the six fields", path, reduced)
		}
		if full := h.do(h.tokenIdentity(reader), "GET", path, nil).mustStatus(200); full.field("email") != me.email {
			t.Errorf("%s with the permission: got %s", path, full.body)
		}
	}
}

func TestBannedUserHasNoLiveTokens(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	_, secret := h.createToken(me.identity, nil)
	query[string](h, `UPDATE users SET is_banned = true WHERE id = $1 RETURNING id`, me.id)
	if s := h.stateOf(secret); !s.Banned {
		t.Errorf("got %+v, want it banned", s)
	}
	banned := me.identity
	banned.Banned = true
	for _, route := range [][2]string{{"GET", tokens}, {"POST", tokens}, {"GET", tokens + "/templates"},
		{"GET", tokens + "/me"}, {"DELETE", tokens + "/" + realmA}} {
		h.do(banned, route[0], route[1], nil).want(403, "ACCOUNT_BANNED", "Your account is banned")
	}
}

func TestTokensBelongToCaller(t *testing.T) {
	t.Parallel()
	h := start(t)
	me, other := h.signUp(), h.signUp()
	tokenID, _ := h.createToken(me.identity, nil)
	for _, route := range [][2]string{{"GET", ""}, {"PATCH", ""}, {"PUT", ""}, {"DELETE", ""}, {"POST", "/copy"},
		{"POST", "/add-realm"}, {"POST", "/remove-realm"}} {
		body := ""
		if strings.HasSuffix(route[1], "realm") {
			body = `{"realm_id":"` + realmA + `"}`
		}
		h.do(other.identity, route[0], tokens+"/"+tokenID+route[1], body).want(404, "TOKEN_NOT_FOUND", "")
		h.do(me.identity, route[0], tokens+"/XYZ"+route[1], body).want(400, "INVALID_ID_FORMAT", "")
		h.do(anonymous, route[0], tokens+"/"+tokenID+route[1], body).want(401, "MISSING_TOKEN", "")
	}
	if got := fmt.Sprint(h.do(other.identity, "GET", tokens, nil).mustStatus(200).data); got != "[]" {
		t.Errorf("another user's list: got %s", got)
	}
}

func TestTokenChangeInvalidatesRedisCopy(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	rdb, err := redisdb.Open(h.cfg.Redis)
	if err != nil {
		t.Fatal(err)
	}
	defer rdb.Close()
	cache := sessionstate.NewCache(rdb, h.internalKeys)
	tokenID, secret := h.createToken(me.identity, nil)
	sum := sha256.Sum256([]byte(secret))
	key := sessionstate.TokenKey(hex.EncodeToString(sum[:]))
	for _, c := range [][3]string{
		{"PATCH", "", `{"vault_access":true}`}, {"POST", "/add-realm", `{"realm_id":"` + realmA + `"}`},
		{"POST", "/remove-realm", `{"realm_id":"` + realmA + `"}`},
		{"PATCH", "", `{"is_enabled":false}`}, {"DELETE", "", ""},
	} {
		h.stateOf(secret)
		if _, err := cache.Get(t.Context(), key); err != nil {
			t.Fatalf("before %s%s: %v, want a copy", c[0], c[1], err)
		}
		h.do(me.identity, c[0], tokens+"/"+tokenID+c[1], c[2]).mustStatus(200)
		if s, err := cache.Get(t.Context(), key); err == nil {
			t.Errorf("after %s%s: got %+v, want a miss", c[0], c[1], s)
		}
	}
}
