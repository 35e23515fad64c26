package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/realmgate/realmgate/pkg/testkit"
)

// matrix is the authorisation of the whole public API: every route that needs a caller, and its
// answer to each kind of caller.
//
// Columns: no token · a malformed token · an expired token · a token signed with another key · a
// token with alg none · a banned user · another user than the path names · an admin · an auth token
// without permissions · an auth token of another realm · an auth token with every permission.
//
// Cells: the status, followed by a letter for the error code: M MISSING_TOKEN, I INVALID_TOKEN, E
// TOKEN_EXPIRED, B ACCOUNT_BANNED, P INSUFFICIENT_PERMISSIONS, C CANNOT_MODIFY_OTHER_USER, R a
// REALM_* code, N a *_NOT_FOUND code, V VALIDATION_ERROR, Q CURRENT_PASSWORD_REQUIRED. Paths are
// below /api/v1; {id} is the owner of the auth tokens, {victim} another user, {none} an id that
// does not exist.
const matrix = `
                                        none garbage expired wrongkey algnone banned other admin token- tokenR token+
GET    /users/me                        401M 401I    401E    401I     401I    200    200   200   200    403R   200
GET    /users/auth/me                   401M 401I    401E    401I     401I    200    200   200   200    403R   200
GET    /users/{id}                      401M 401I    401E    401I     401I    403B   403P  200   200    403R   200
PATCH  /users/{id}                      401M 401I    401E    401I     401I    403B   403C  200   403P   403R   200
PUT    /users/{id}                      401M 401I    401E    401I     401I    403B   403C  200   403P   403R   200
GET    /users/me/sessions               401M 401I    401E    401I     401I    403B   200   200   403P   403R   403P
GET    /users/me/security-history       401M 401I    401E    401I     401I    403B   200   200   403P   403R   403P
GET    /users/me/free-tier-status       401M 401I    401E    401I     401I    403B   200   200   403P   403R   200
POST   /users/me/confirm                401M 401I    401E    401I     401I    403B   400Q  400Q  403P   403R   403P
GET    /users/auth/passkeys             401M 401I    401E    401I     401I    403B   200   200   403P   403R   403P
PATCH  /users/auth/passkeys/{none}      401M 401I    401E    401I     401I    403B   400V  400V  403P   403R   403P
DELETE /users/auth/passkeys/{none}      401M 401I    401E    401I     401I    403B   404N  404N  403P   403R   403P
POST   /users/auth/passkeys/register/begin 401M 401I 401E 401I 401I 403B 200 200 403P 403R 403P
POST   /users/auth/passkeys/register/finish 401M 401I 401E 401I 401I 403B 400V 400V 403P 403R 403P
GET    /users/me/identities             401M 401I    401E    401I     401I    403B   200   200   403P   403R   403P
DELETE /users/me/identities             401M 401I    401E    401I     401I    403B   200   200   403P   403R   403P
DELETE /users/me/identities/{none}      401M 401I    401E    401I     401I    403B   404N  404N  403P   403R   403P
POST   /users/me/email                  401M 401I    401E    401I     401I    403B   400V  400V  403P   403R   403P
POST   /users/me/retry-setup            401M 401I    401E    401I     401I    403B   200   200   403P   403R   200
GET    /containers/                     401M 401I    401E    401I     401I    403B   200   200   403P   403R   200
GET    /projects/                       401M 401I    401E    401I     401I    403B   200   200   403P   403R   200
GET    /realms/                         401M 401I    401E    401I     401I    403B   200   200   403P   403R   200
GET    /users/auth/activity             401M 401I    401E    401I     401I    403B   200   200   200    403R   200
GET    /users/auth/activity/stats       401M 401I    401E    401I     401I    403B   200   200   200    403R   200
GET    /users/auth/activity/export?format=csv 401M 401I 401E 401I 401I 403B 200 200 200 403R 200
GET    /users/auth/activity/series?interval=day 401M 401I 401E 401I 401I 403B 200 200 200 403R 200
GET    /activity/series?interval=hour   401M 401I    401E    401I     401I    403B   403P  200   403P   403P   403P
GET    /users/{victim}/activity         401M 401I    401E    401I     401I    403B   403P  200   403P   403P   403P
GET    /users/{victim}/activity/stats   401M 401I    401E    401I     401I    403B   403P  200   403P   403P   403P
GET    /users/{none}/activity           401M 401I    401E    401I     401I    403B   403P  404N  403P   403P   403P
GET    /vault/keys                      401M 401I    401E    401I     401I    403B   200   200   403P   403R   200
GET    /vault/keys/k                    401M 401I    401E    401I     401I    403B   404N  404N  403P   403R   404N
PUT    /vault/keys/k                    401M 401I    401E    401I     401I    403B   400V  400V  403P   403R   400V
PATCH  /vault/keys/k                    401M 401I    401E    401I     401I    403B   400V  400V  403P   403R   400V
DELETE /vault/keys/k                    401M 401I    401E    401I     401I    403B   404N  404N  403P   403R   404N
GET    /vault/keys/k/versions           401M 401I    401E    401I     401I    403B   404N  404N  403P   403R   404N
POST   /vault/keys/k/restore            401M 401I    401E    401I     401I    403B   404N  404N  403P   403R   404N
GET    /vault/trash                     401M 401I    401E    401I     401I    403B   200   200   403P   403R   200
DELETE /vault/trash                     401M 401I    401E    401I     401I    403B   200   200   403P   403R   200
DELETE /vault/trash/k                   401M 401I    401E    401I     401I    403B   404N  404N  403P   403R   404N
GET    /vault/export                    401M 401I    401E    401I     401I    403B   200   200   403P   403R   200
POST   /vault/batch                     401M 401I    401E    401I     401I    403B   400V  400V  403P   403R   400V
DELETE /vault                           401M 401I    401E    401I     401I    403B   200   200   403P   403R   200
GET    /vault/stats                     401M 401I    401E    401I     401I    403B   200   200   403P   403R   200
GET    /vault/watch                     401M 401I    401E    401I     401I    403B   200   200   403P   403R   200
GET    /auth/tokens                     401M 401I    401E    401I     401I    403B   200   200   403P   403R   200
GET    /auth/tokens/templates           401M 401I    401E    401I     401I    403B   200   200   200    403R   200
GET    /auth/tokens/me                  401M 401I    401E    401I     401I    403B   403P  403P  200    200    200
GET    /auth/tokens/{none}              401M 401I    401E    401I     401I    403B   404N  404N  403P   403R   404N
DELETE /auth/tokens/{none}              401M 401I    401E    401I     401I    403B   404N  404N  403P   403R   404N
GET    /users/auth/2fa/status           401M 401I    401E    401I     401I    403B   200   200   403P   403R   403P
POST   /users/auth/2fa/setup            401M 401I    401E    401I     401I    403B   400Q  400Q  403P   403R   403P
GET    /users                           401M 401I    401E    401I     401I    403B   403P  200   403P   403P   403P
POST   /users                           401M 401I    401E    401I     401I    403B   403P  400V  403P   403P   403P
GET    /servers                         401M 401I    401E    401I     401I    403B   403P  200   403P   403P   403P
POST   /servers                         401M 401I    401E    401I     401I    403B   403P  400V  403P   403P   403P
PUT    /users/{victim}/quota            401M 401I    401E    401I     401I    403B   403P  400V  403P   403P   403P
GET    /users/{victim}/security-history 401M 401I    401E    401I     401I    403B   403P  200   403P   403P   403P
GET    /users/{victim}/sessions         401M 401I    401E    401I     401I    403B   403P  200   403P   403P   403P
DELETE /users/{victim}/sessions/{none}  401M 401I    401E    401I     401I    403B   403P  404N  403P   403P   403P
POST   /users/{victim}/password         401M 401I    401E    401I     401I    403B   403P  400V  403P   403P   403P
GET    /users/{victim}/tokens           401M 401I    401E    401I     401I    403B   403P  200   403P   403P   403P
DELETE /users/{victim}/tokens           401M 401I    401E    401I     401I    403B   403P  200   403P   403P   403P
DELETE /users/{victim}/tokens/{none}    401M 401I    401E    401I     401I    403B   403P  404N  403P   403P   403P
DELETE /users/{victim}/2fa              401M 401I    401E    401I     401I    403B   403P  200   403P   403P   403P
POST   /users/{victim}/logout           401M 401I    401E    401I     401I    403B   403P  200   403P   403P   403P
POST   /users/{victim}/ban              401M 401I    401E    401I     401I    403B   403P  400V  403P   403P   403P
POST   /users/{victim}/unban            401M 401I    401E    401I     401I    403B   403P  200   403P   403P   403P
DELETE /users/me/sessions/{none}        401M 401I    401E    401I     401I    403B   404N  404N  403P   403R   403P
DELETE /users/me/sessions               401M 401I    401E    401I     401I    403B   200   200   403P   403R   403P
GET    /realms                          401M 401I    401E    401I     401I    403B   200   200   403P   403R   200
GET    /containers/{none}               401M 401I    401E    401I     401I    403B   404N  404N  403P   403R   404N
GET    /projects/{none}                 401M 401I    401E    401I     401I    403B   404N  404N  403P   403R   404N
POST   /auth/tokens                     401M 401I    401E    401I     401I    403B   201   201   403P   403R   201
PUT    /auth/tokens/{none}              401M 401I    401E    401I     401I    403B   404N  404N  403P   403R   404N
PATCH  /auth/tokens/{none}              401M 401I    401E    401I     401I    403B   404N  404N  403P   403R   404N
POST   /auth/tokens/{none}/copy         401M 401I    401E    401I     401I    403B   404N  404N  403P   403R   404N
POST   /auth/tokens/{none}/add-realm    401M 401I    401E    401I     401I    403B   400V  400V  403P   403R   400V
POST   /auth/tokens/{none}/remove-realm 401M 401I    401E    401I     401I    403B   400V  400V  403P   403R   400V
POST   /users/auth/2fa/verify-setup     401M 401I    401E    401I     401I    403B   400V  400V  403P   403R   403P
DELETE /users/auth/2fa                  401M 401I    401E    401I     401I    403B   400Q  400Q  403P   403R   403P
POST   /users/auth/2fa/backup-codes/regenerate 401M 401I 401E 401I 401I 403B 400Q 400Q 403P 403R 403P
PUT    /users/auth/2fa/token-gate       401M 401I    401E    401I     401I    403B   400V  400V  403P   403R   403P
GET    /auth/device                     401M 401I    401E    401I     401I    403B   400V  400V  403P   403R   403P
POST   /auth/device/approve             401M 401I    401E    401I     401I    403B   400V  400V  403P   403R   403P
POST   /auth/device/deny                401M 401I    401E    401I     401I    403B   400V  400V  403P   403R   403P
POST   /users/auth/logout               401M 401I    401E    401I     401I    200    200   200   403P   403R   403P
`

// vaultMatrix is the authorisation of the vault for auth tokens that may use a part of it: one that
// may only read, one with the key prefix "in", one with both, and one with both in another realm.
// The key in-k does not exist, and out-k does; no cell may tell that.
const vaultMatrix = `
                          reader prefix both  elsewhere
GET    /vault/keys        200    200    200   403R
GET    /vault/keys/in-k   404N   404N   404N  403R
GET    /vault/keys/out-k  200    403P   403P  403R
GET    /vault/keys/out-no 404N   403P   403P  403R
PUT    /vault/keys/in-k   403P   400V   403P  403R
PUT    /vault/keys/out-k  403P   403P   403P  403R
PATCH  /vault/keys/in-k   403P   400V   403P  403R
PATCH  /vault/keys/out-no 403P   403P   403P  403R
DELETE /vault/keys/in-k   403P   404N   403P  403R
DELETE /vault/keys/out-k  403P   403P   403P  403R
DELETE /vault/keys/out-no 403P   403P   403P  403R
GET    /vault/keys/in-k/versions  404N 404N 404N 403R
POST   /vault/batch       400V   400V   400V  403R
GET    /vault/export      200    200    200   403R
DELETE /vault             403P   403P   403P  403R
GET    /vault/keys/out-k/versions 200  403P 403P 403R
GET    /vault/keys/out-no/versions 404N 403P 403P 403R
POST   /vault/keys/in-k/restore    403P 404N 403P 403R
POST   /vault/keys/out-k/restore   403P 403P 403P 403R
GET    /vault/trash        200    200    200   403R
DELETE /vault/trash        403P   403P   403P  403R
DELETE /vault/trash/in-k   403P   404N   403P  403R
DELETE /vault/trash/out-k  403P   403P   403P  403R
GET    /vault/stats       200    200    200   403R
GET    /vault/watch       200    200    200   403R
`

func TestVaultScopeMatrix(t *testing.T) {
	t.Parallel()
	r := product(t, loadConformance(t))
	u := r.user("scopes")
	r.do("PUT", "/api/v1/vault/keys/out-k", u.Token, map[string]any{"value": "v"}).want(t, "put", 201, "")
	token := func(body map[string]any) string {
		body["permission_template"], body["vault_access"] = "full_access", true
		var data struct{ Token string }
		r.do("POST", "/api/v1/auth/tokens", u.Token, body).want(t, "token", 201, "").into(t, &data)
		return data.Token
	}
	in := []string{"in"}
	callers := map[string]string{
		"reader": token(map[string]any{"vault_read_only": true}), "prefix": token(map[string]any{"vault_prefixes": in}),
		"both":      token(map[string]any{"vault_prefixes": in, "vault_read_only": true}),
		"elsewhere": token(map[string]any{"vault_prefixes": in, "vault_read_only": true, "realm_ids": []string{realm}}),
	}
	lines := strings.Split(strings.TrimSpace(vaultMatrix), "\n")
	columns := strings.Fields(lines[0])
	for _, line := range lines[1:] {
		cells := strings.Fields(line)
		for i, column := range columns {
			a := r.do(cells[0], "/api/v1"+cells[1], callers[column], nil)
			if got := a.cell(); got != cells[i+2] {
				t.Errorf("%s %s as %s: got %s, want %s; answer %.200s", cells[0], cells[1], column, got, cells[i+2], a.raw)
			}
		}
	}
	var long []string
	for i := range 64 {
		long = append(long, fmt.Sprintf("%02d", i)+strings.Repeat("x", 253))
	}
	r.get("/api/v1/vault/keys/"+long[63], token(map[string]any{"vault_prefixes": long})).want(t,
		"the longest scope", 404, "VAULT_KEY_NOT_FOUND")
	page := r.get("/api/v1/vault/keys?limit=1", u.Token).want(t, "a page", 200, "")
	if !strings.Contains(string(page.raw), `"next_cursor":null`) {
		t.Errorf("got %s, want the last page", page.raw)
	}
}

var cellCodes = map[string]string{
	"M": "MISSING_TOKEN", "I": "INVALID_TOKEN", "E": "TOKEN_EXPIRED", "B": "ACCOUNT_BANNED",
	"P": "INSUFFICIENT_PERMISSIONS", "C": "CANNOT_MODIFY_OTHER_USER",
	"R": "REALM", "N": "NOT_FOUND", "V": "VALIDATION_ERROR", "Q": "CURRENT_PASSWORD_REQUIRED",
}

func TestAuthorisationMatrix(t *testing.T) {
	t.Parallel()
	spec := loadConformance(t)
	// Two products share a database and a key. Tokens of the second live for one second, and the
	// first must report them as expired.
	key, err := randomKey()
	if err != nil {
		t.Fatal(err)
	}
	shared := []string{"DATABASE_URL=" + testkit.Postgres(t), "KEY_ENCRYPTION_KEY=" + key}
	r, shortLived := product(t, spec, shared...), product(t, spec, append(shared, "ACCESS_TOKEN_TTL=1s")...)
	expired := shortLived.admin().Token
	callers, ids := matrixCallers(t, r)
	callers["expired"] = expired
	time.Sleep(1100 * time.Millisecond)
	lines := strings.Split(strings.TrimSpace(matrix), "\n")
	columns := strings.Fields(lines[0])
	for _, line := range lines[1:] {
		cells := strings.Fields(line)
		method, path := cells[0], "/api/v1"+ids.Replace(cells[1])
		if len(cells) != len(columns)+2 {
			t.Fatalf("%s: %d cells for %d columns", line, len(cells)-2, len(columns))
		}
		for i, column := range columns {
			a := r.do(method, path, callers[column], nil)
			if got := a.cell(); got != cells[i+2] {
				t.Errorf("%s %s as %s: got %s, want %s; answer %.200s", method, cells[1], column, got, cells[i+2],
					a.raw)
			}
		}
	}
}

// cell formats an answer as a cell of the matrix.
func (a answer) cell() string {
	for letter, code := range cellCodes {
		if a.Code == code || (letter == "R" && strings.HasPrefix(a.Code, "REALM_")) ||
			(letter == "N" && strings.HasSuffix(a.Code, "_NOT_FOUND")) {
			return fmt.Sprint(a.status, letter)
		}
	}
	return fmt.Sprint(a.status, a.Code)
}

// matrixCallers signs in the users. It returns the credential of each column and the ids for the
// paths.
func matrixCallers(t *testing.T, r *running) (map[string]string, *strings.Replacer) {
	u, other, victim, banned, admin := r.user("matrix"), r.user("matrix-other"), r.user("matrix-victim"),
		r.user("matrix-banned"), r.admin()
	r.do("PATCH", "/api/v1/users/"+banned.ID, admin.Token, map[string]any{"is_banned": true}).want(t, "ban", 200, "")
	token := func(alias string, body map[string]any) string {
		body["alias"] = alias
		var data struct{ Token string }
		r.do("POST", "/api/v1/auth/tokens", u.Token, body).want(t, "token "+alias, 201, "").into(t, &data)
		return data.Token
	}
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(u.Token, claims); err != nil {
		t.Fatal(err)
	}
	header, _, _ := strings.Cut(u.Token, ".")
	_, strangersKey, _ := ed25519.GenerateKey(nil)
	callers := map[string]string{
		"none": "", "garbage": "garbage", "banned": banned.Token, "other": other.Token, "admin": admin.Token,
		"wrongkey": forge(t, kidOf(t, header), claims, strangersKey),
		"algnone": base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"`+kidOf(t, header)+`"}`)) + "." +
			strings.Split(u.Token, ".")[1] + ".",
		"token-": token("nothing", map[string]any{"permissions": map[string]any{}}),
		"tokenR": token("another realm",
			map[string]any{"permission_template": "full_access", "vault_access": true, "realm_ids": []string{realm},
				"allow_no_realm": false}),
		"token+": token("everything",
			map[string]any{"permission_template": "full_access", "vault_access": true, "event_access": true}),
	}
	return callers, strings.NewReplacer("{id}", u.ID, "{victim}", victim.ID, "{none}", nobody)
}

func kidOf(t *testing.T, header string) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(header)
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(raw), `"kid":"`)
	kid, _, _ := strings.Cut(after, `"`)
	return kid
}

// forge signs claims with key under the id of another key.
func forge(t *testing.T, kid string, claims jwt.MapClaims, key ed25519.PrivateKey) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims)
	token.Header["kid"] = kid
	signed, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// TestMatrixIsComplete demands a row for every documented operation that needs a caller.
func TestMatrixIsComplete(t *testing.T) {
	spec := loadConformance(t)
	var rows []string
	for line := range strings.SplitSeq(strings.TrimSpace(matrix), "\n") {
		if cells := strings.Fields(line); len(cells) > 2 {
			path, _, _ := strings.Cut(cells[1], "?")
			rows = append(rows, cells[0]+" /api/v1"+path)
		}
	}
	shape := strings.NewReplacer(nobody, "{}", "some-key", "{}")
	rowShape := strings.NewReplacer("{id}", "{}", "{victim}", "{}", "{none}", "{}", "/keys/k", "/keys/{}", "/trash/k", "/trash/{}")
	for _, o := range spec.operations(t, "MISSING_TOKEN") {
		want := o.method + " " + shape.Replace(o.path)
		if !isPublicRefusal(o) &&
			!slices.ContainsFunc(rows, func(row string) bool { return rowShape.Replace(row) == want }) {
			t.Errorf("the matrix has no row for %s", want)
		}
	}
}
