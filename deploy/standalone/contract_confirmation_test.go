package main

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/testkit"
)

// realmField is the body of a request about auth tokens. Operations that change realms need a
// realm, the others do not know the field.
func realmField(path string) map[string]any {
	if strings.HasSuffix(path, "-realm") {
		return map[string]any{"realm_id": realm}
	}
	return map[string]any{}
}

// contractConfirmation creates and changes tokens in a session that signed in eleven minutes ago.
func contractConfirmation(t *testing.T, spec *conformance) {
	database := testkit.Postgres(t)
	r := product(t, spec, "DATABASE_URL="+database)
	u, confirm := r.user("cora"), "/api/v1/users/me/confirm"
	var item struct{ ID string }
	r.do("POST", tokens, u.Token, nil).want(t, "right after signing in", 201, "").into(t, &item)
	routes := []operation{{"POST", ""}, {"PUT", "/" + item.ID}, {"PATCH", "/" + item.ID},
		{"POST", "/" + item.ID + "/copy"},
		{"POST", "/" + item.ID + "/add-realm"}, {"POST", "/" + item.ID + "/remove-realm"}}
	ageSessions(t, database)
	for _, o := range routes {
		r.do(o.method, tokens+o.path, u.Token, realmField(o.path)).want(t, o.method+o.path+" much later", 403,
			"CONFIRMATION_REQUIRED")
		body := realmField(o.path)
		body["current_password"] = "not-that-one"
		r.do(o.method, tokens+o.path, u.Token, body).want(t, o.method+o.path+" with a wrong password", 400,
			"CURRENT_PASSWORD_INCORRECT")
	}
	r.do("POST", confirm, u.Token, nil).want(t, "confirm with nothing", 400, "CURRENT_PASSWORD_REQUIRED")
	r.do("POST", confirm, u.Token, map[string]any{"password": "not-that-one"}).want(t, "confirm with a wrong password",
		400, "CURRENT_PASSWORD_INCORRECT")
	r.do("POST", confirm, u.Token, map[string]any{"password": userPassword, "code": "000000"}).want(t,
		"confirm with a code", 409, "TWOFACTOR_NOT_ENABLED")
	r.do("POST", tokens, u.Token, nil).want(t, "still", 403, "CONFIRMATION_REQUIRED")
	r.do("POST", confirm, u.Token, map[string]any{"password": userPassword}).want(t, "confirm", 200, "")
	r.do("POST", tokens, u.Token, nil).want(t, "confirmed", 201, "")
	ageSessions(t, database)
	r.do("POST", tokens, u.Token, map[string]any{"current_password": userPassword}).want(t, "with the password", 201,
		"")

	var setup struct {
		Key string `json:"manual_entry_key"`
	}
	r.do("POST", "/api/v1/users/auth/2fa/setup", u.Token, map[string]any{"password": userPassword}).want(t, "setup",
		200, "").into(t, &setup)
	var pair struct{ Token string }
	r.do("POST", "/api/v1/users/auth/2fa/verify-setup", u.Token, map[string]any{"code": code(t, setup.Key, 0)}).want(t,
		"verify", 200, "").into(t, &pair)
	for range 5 {
		r.do("POST", confirm, pair.Token, map[string]any{"password": userPassword, "code": "wrong-code"}).want(t,
			"confirm with a wrong code", 401, "INVALID_OTP_CODE")
	}
	r.do("POST", confirm, pair.Token, map[string]any{"password": userPassword, "code": "wrong-code"}).want(t,
		"confirm, locked", 429, "TWOFACTOR_RATE_LIMIT")
}

// ageSessions makes every session eleven minutes older.
func ageSessions(t *testing.T, database string) {
	t.Helper()
	execute(t, database,
		`UPDATE users_svc.sessions SET created_at = created_at - interval '11 minutes', confirmed_at = NULL`)
}

// execute runs a statement in the database of a product.
func execute(t *testing.T, database, sql string, args ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}
