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

// matrix is the whole authorisation of the public API: every route that asks who is calling, and
// what each kind of caller is answered.
//
// Columns: nobody at all · garbage as a token · a token that has expired · one signed with another
// key · one with alg none · a banned user · another user than the path names · an admin · an auth
// token without the permission · one of another realm · one with every permission.
//
// Cells: a status alone, or with the first letters of the code: M MISSING_TOKEN, I INVALID_TOKEN, E
// TOKEN_EXPIRED, B ACCOUNT_BANNED, P INSUFFICIENT_PERMISSIONS, C CANNOT_MODIFY_OTHER_USER, R a
// realm's refusal, N a *_NOT_FOUND, V VALIDATION_ERROR, Q CURRENT_PASSWORD_REQUIRED. {id} is the
// user whose auth tokens the last three columns are, {victim} somebody else, {none} nobody's.
const matrix = `
                                              none garbage expired wrongkey algnone banned other admin token- tokenR token+
GET    /api/v1/users/me                       401M 401I    401E    401I     401I    200    200   200   200    403R   200
GET    /api/v1/users/auth/me                  401M 401I    401E    401I     401I    200    200   200   200    403R   200
GET    /api/v1/users/{id}                     401M 401I    401E    401I     401I    403B   403P  200   200    403R   200
PATCH  /api/v1/users/{id}                     401M 401I    401E    401I     401I    403B   403C  200   403P   403R   200
PUT    /api/v1/users/{id}                     401M 401I    401E    401I     401I    403B   403C  200   403P   403R   200
GET    /api/v1/users/me/sessions              401M 401I    401E    401I     401I    403B   200   200   403P   403R   403P
GET    /api/v1/users/me/security-history      401M 401I    401E    401I     401I    403B   200   200   403P   403R   403P
GET    /api/v1/users/me/free-tier-status      401M 401I    401E    401I     401I    403B   200   200   403P   403R   200
POST   /api/v1/users/me/confirm               401M 401I    401E    401I     401I    403B   400Q  400Q  403P   403R   403P
POST   /api/v1/users/me/retry-setup           401M 401I    401E    401I     401I    403B   200   200   403P   403R   200
GET    /api/v1/containers/                    401M 401I    401E    401I     401I    403B   200   200   403P   403R   200
GET    /api/v1/projects/                      401M 401I    401E    401I     401I    403B   200   200   403P   403R   200
GET    /api/v1/realms/                        401M 401I    401E    401I     401I    403B   200   200   403P   403R   200
GET    /api/v1/users/auth/activity            401M 401I    401E    401I     401I    403B   200   200   200    403R   200
GET    /api/v1/users/auth/activity/stats      401M 401I    401E    401I     401I    403B   200   200   200    403R   200
GET    /api/v1/vault/keys                     401M 401I    401E    401I     401I    403B   200   200   403P   403R   200
GET    /api/v1/vault/keys/k                   401M 401I    401E    401I     401I    403B   404N  404N  403P   403R   404N
PUT    /api/v1/vault/keys/k                   401M 401I    401E    401I     401I    403B   400V  400V  403P   403R   400V
PATCH  /api/v1/vault/keys/k                   401M 401I    401E    401I     401I    403B   400V  400V  403P   403R   400V
DELETE /api/v1/vault/keys/k                   401M 401I    401E    401I     401I    403B   404N  404N  403P   403R   404N
DELETE /api/v1/vault                          401M 401I    401E    401I     401I    403B   200   200   403P   403R   200
GET    /api/v1/vault/stats                    401M 401I    401E    401I     401I    403B   200   200   403P   403R   200
GET    /api/v1/auth/tokens                    401M 401I    401E    401I     401I    403B   200   200   403P   403R   200
GET    /api/v1/auth/tokens/templates          401M 401I    401E    401I     401I    403B   200   200   200    403R   200
GET    /api/v1/auth/tokens/me                 401M 401I    401E    401I     401I    403B   403P  403P  200    200    200
GET    /api/v1/auth/tokens/{none}             401M 401I    401E    401I     401I    403B   404N  404N  403P   403R   404N
DELETE /api/v1/auth/tokens/{none}             401M 401I    401E    401I     401I    403B   404N  404N  403P   403R   404N
GET    /api/v1/users/auth/2fa/status          401M 401I    401E    401I     401I    403B   200   200   403P   403R   403P
POST   /api/v1/users/auth/2fa/setup           401M 401I    401E    401I     401I    403B   400Q  400Q  403P   403R   403P
GET    /api/v1/users                          401M 401I    401E    401I     401I    403B   403P  200   403P   403P   403P
POST   /api/v1/users                          401M 401I    401E    401I     401I    403B   403P  400V  403P   403P   403P
GET    /api/v1/servers                        401M 401I    401E    401I     401I    403B   403P  200   403P   403P   403P
POST   /api/v1/servers                        401M 401I    401E    401I     401I    403B   403P  400V  403P   403P   403P
PUT    /api/v1/users/{victim}/quota           401M 401I    401E    401I     401I    403B   403P  400V  403P   403P   403P
GET    /api/v1/users/{victim}/security-history 401M 401I   401E    401I     401I    403B   403P  200   403P   403P   403P
GET    /api/v1/users/{victim}/tokens          401M 401I    401E    401I     401I    403B   403P  200   403P   403P   403P
DELETE /api/v1/users/{victim}/tokens          401M 401I    401E    401I     401I    403B   403P  200   403P   403P   403P
DELETE /api/v1/users/{victim}/tokens/{none}   401M 401I    401E    401I     401I    403B   403P  404N  403P   403P   403P
DELETE /api/v1/users/{victim}/2fa             401M 401I    401E    401I     401I    403B   403P  200   403P   403P   403P
POST   /api/v1/users/{victim}/logout          401M 401I    401E    401I     401I    403B   403P  200   403P   403P   403P
POST   /api/v1/users/{victim}/ban             401M 401I    401E    401I     401I    403B   403P  400V  403P   403P   403P
POST   /api/v1/users/{victim}/unban           401M 401I    401E    401I     401I    403B   403P  200   403P   403P   403P
DELETE /api/v1/users/me/sessions/{none}       401M 401I    401E    401I     401I    403B   404N  404N  403P   403R   403P
DELETE /api/v1/users/me/sessions              401M 401I    401E    401I     401I    403B   200   200   403P   403R   403P
GET    /api/v1/realms                         401M 401I    401E    401I     401I    403B   200   200   403P   403R   200
GET    /api/v1/containers/{none}              401M 401I    401E    401I     401I    403B   404N  404N  403P   403R   404N
GET    /api/v1/projects/{none}                401M 401I    401E    401I     401I    403B   404N  404N  403P   403R   404N
POST   /api/v1/auth/tokens                    401M 401I    401E    401I     401I    403B   201   201   403P   403R   201
PUT    /api/v1/auth/tokens/{none}             401M 401I    401E    401I     401I    403B   404N  404N  403P   403R   404N
PATCH  /api/v1/auth/tokens/{none}             401M 401I    401E    401I     401I    403B   404N  404N  403P   403R   404N
POST   /api/v1/auth/tokens/{none}/copy        401M 401I    401E    401I     401I    403B   404N  404N  403P   403R   404N
POST   /api/v1/auth/tokens/{none}/add-realm   401M 401I    401E    401I     401I    403B   400V  400V  403P   403R   400V
POST   /api/v1/auth/tokens/{none}/remove-realm 401M 401I   401E    401I     401I    403B   400V  400V  403P   403R   400V
POST   /api/v1/users/auth/2fa/verify-setup    401M 401I    401E    401I     401I    403B   400V  400V  403P   403R   403P
DELETE /api/v1/users/auth/2fa                 401M 401I    401E    401I     401I    403B   400Q  400Q  403P   403R   403P
POST   /api/v1/users/auth/2fa/backup-codes/regenerate 401M 401I 401E 401I   401I    403B   400Q  400Q  403P   403R   403P
PUT    /api/v1/users/auth/2fa/token-gate      401M 401I    401E    401I     401I    403B   400V  400V  403P   403R   403P
POST   /api/v1/users/auth/logout              401M 401I    401E    401I     401I    200    200   200   403P   403R   403P
`

var cellCodes = map[string]string{
	"M": "MISSING_TOKEN", "I": "INVALID_TOKEN", "E": "TOKEN_EXPIRED", "B": "ACCOUNT_BANNED",
	"P": "INSUFFICIENT_PERMISSIONS", "C": "CANNOT_MODIFY_OTHER_USER",
	"R": "REALM", "N": "NOT_FOUND", "V": "VALIDATION_ERROR", "Q": "CURRENT_PASSWORD_REQUIRED",
}

func TestAuthorisationMatrix(t *testing.T) {
	t.Parallel()
	spec := loadConformance(t)
	// Two products on one database and one key: the tokens of the second live for a second, and the
	// first must say that they have expired.
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
		method, path := cells[0], ids.Replace(cells[1])
		if len(cells) != len(columns)+2 {
			t.Fatalf("%s: %d cells for %d columns", line, len(cells)-2, len(columns))
		}
		for i, column := range columns {
			a := r.do(method, path, callers[column], nil)
			if got := a.cell(); got != cells[i+2] {
				t.Errorf("%s %s as %s: got %s, want %s; answer %.200s", method, cells[1], column, got, cells[i+2], a.raw)
			}
		}
	}
}

// cell writes an answer as the matrix does.
func (a answer) cell() string {
	for letter, code := range cellCodes {
		if a.Code == code || (letter == "R" && strings.HasPrefix(a.Code, "REALM_")) ||
			(letter == "N" && strings.HasSuffix(a.Code, "_NOT_FOUND")) {
			return fmt.Sprint(a.status, letter)
		}
	}
	return fmt.Sprint(a.status, a.Code)
}

// matrixCallers signs everybody in and returns their credentials by column, and the ids that paths
// name.
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

// forge signs claims with key under a key id that is not key's.
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

// TestMatrixIsComplete demands a row for every documented operation that asks who is calling.
func TestMatrixIsComplete(t *testing.T) {
	spec := loadConformance(t)
	var rows []string
	for line := range strings.SplitSeq(strings.TrimSpace(matrix), "\n") {
		if cells := strings.Fields(line); len(cells) > 2 {
			rows = append(rows, cells[0]+" "+cells[1])
		}
	}
	shape := strings.NewReplacer(nobody, "{}", "some-key", "{}")
	rowShape := strings.NewReplacer("{id}", "{}", "{victim}", "{}", "{none}", "{}", "/keys/k", "/keys/{}")
	for _, o := range spec.operations(t, "MISSING_TOKEN") {
		want := o.method + " " + shape.Replace(o.path)
		if !isPublicRefusal(o) && !slices.ContainsFunc(rows, func(row string) bool { return rowShape.Replace(row) == want }) {
			t.Errorf("the matrix has no row for %s", want)
		}
	}
}
