package users_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// scopeOf returns what a gateway is told of a token's vault access.
func (h *harness) scopeOf(secret string) string {
	h.t.Helper()
	grant := h.stateOf(secret).Token.Grant
	part, ok := grant.Vault()
	return fmt.Sprint(ok, part.ReadOnly, part.Prefixes, grant.VaultAccess)
}

func TestVaultScopeRoundTrips(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	a := h.do(me.identity, "POST", tokens, `{"vault_access":true,"vault_read_only":true,
		"vault_prefixes":["b.","a","a","ab"],"permissions":{"resources":{"vault":true}}}`).mustStatus(201)
	secret, path := a.text("token"), tokens+"/"+a.text("id")
	shown := func(a *response) string {
		return fmt.Sprint(a.field("vault_access"), a.field("vault_read_only"), a.field("vault_prefixes"))
	}
	if got, want := shown(a), "true true [b. a ab]"; got != want {
		t.Errorf("created: got %s, want %s", got, want)
	}
	// A gateway of an earlier release reads only the last figure, and must not see the whole vault.
	if got, want := h.scopeOf(secret), "true true [a b.] false"; got != want {
		t.Errorf("grant: got %s, want %s", got, want)
	}
	if query[bool](h, `SELECT vault_access FROM auth_tokens WHERE id = $1`, a.text("id")) {
		t.Error("users-svc of an earlier release would read vault_access, and no scope")
	}
	for _, c := range []struct{ method, body, shown, grant string }{
		{"PATCH", `{"alias":"other"}`, "true true [b. a ab]", "true true [a b.] false"},
		{"PATCH", `{"vault_read_only":false}`, "true false [b. a ab]", "true false [a b.] false"},
		{"PUT", `{"vault_prefixes":[]}`, "true false []", "true false [] true"},
		{"PUT", `{"vault_read_only":true}`, "true true []", "true true [] false"},
		{"PATCH", `{"vault_access":false}`, "false true []", "false false [] false"},
		{"PATCH", `{"vault_access":true,"vault_prefixes":["x"]}`, "true true [x]", "true true [x] false"},
	} {
		if got := shown(h.do(me.identity, c.method, path, c.body).mustStatus(200)); got != c.shown {
			t.Errorf("%s: got %s, want %s", c.body, got, c.shown)
		}
		if got := shown(h.do(me.identity, "GET", path, nil).mustStatus(200)); got != c.shown {
			t.Errorf("%s: read again: got %s, want %s", c.body, got, c.shown)
		}
		if got := h.scopeOf(secret); got != c.grant {
			t.Errorf("%s: grant: got %s, want %s", c.body, got, c.grant)
		}
	}
	copied := h.do(me.identity, "POST", path+"/copy", nil).mustStatus(201)
	if got, want := shown(copied), "true true [x]"; got != want {
		t.Errorf("copy: got %s, want %s", got, want)
	}
}

func TestVaultPrefixesConsistOfKeyCharacters(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	long := strings.Repeat("a", 255)
	for prefix, ok := range map[string]bool{"": false, "a b": false, "a/": false, "*": false, "é": false, "a\n": false,
		"%": false, long: true, long + "a": false, "A-z0.9_-": true, ".": true, "..": true} {
		a := h.do(me.identity, "POST", tokens, map[string]any{"vault_prefixes": []string{"fine", prefix}})
		if got := a.status == 201; got != ok ||
			!ok && (a.code != "VALIDATION_ERROR" || !strings.Contains(string(a.body), `"instancePath":"/vault_prefixes/1"`)) {
			t.Errorf("%q: got %d %.300s, want it taken: %v", prefix, a.status, a.body, ok)
		}
	}
	var many []string
	for i := range 64 {
		many = append(many, fmt.Sprintf("%02d", i)+strings.Repeat("x", 253))
	}
	h.do(me.identity, "POST", tokens, map[string]any{"vault_prefixes": many}).mustStatus(201)
	a := h.do(me.identity, "POST", tokens, map[string]any{"vault_prefixes": append(many, "one")}).
		want(400, "VALIDATION_ERROR", "")
	if !strings.Contains(string(a.body), `"instancePath":"/vault_prefixes"`) {
		t.Errorf("65 prefixes: got %s, want the field named", a.body)
	}
}

func TestTokenCannotWidenItsVaultScope(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	const rights = `"vault_access":true,"permissions":{"resources":{"vault":true,"create_tokens":true,"read_tokens":true}}`
	makerID, secret := h.createToken(me.identity, `{"vault_read_only":true,"vault_prefixes":["a.","b.x"],`+rights+`}`)
	maker := h.tokenIdentity(secret)
	childID, child := h.createToken(maker, `{`+rights+`}`)
	if got, want := h.scopeOf(child), "true true [a. b.x] false"; got != want {
		t.Errorf("a child without a scope of its own: got %s, want the maker's, %s", got, want)
	}
	for name, fields := range map[string]string{
		"all keys": `"vault_prefixes":[]`, "a shorter prefix": `"vault_prefixes":["a"]`,
		"one prefix more": `"vault_prefixes":["a.","b.x","c"]`, "another prefix": `"vault_prefixes":["c"]`,
		"writing": `"vault_read_only":false`, "writing, all keys": `"vault_read_only":false,"vault_prefixes":[]`,
		"all keys without vault access": `"vault_prefixes":[],"vault_access":false`,
	} {
		h.do(maker, "POST", tokens, `{`+fields+`}`).want(403, "INSUFFICIENT_PERMISSIONS", "")
		for _, method := range []string{"PUT", "PATCH"} {
			if a := h.do(maker, method, tokens+"/"+childID, `{`+fields+`}`); a.code != "INSUFFICIENT_PERMISSIONS" {
				t.Errorf("%s %s: got %d %.200s, want 403", method, name, a.status, a.body)
			}
		}
	}
	h.do(maker, "PATCH", tokens+"/"+childID, `{"vault_prefixes":["a.b","b.xy","a.c"]}`).mustStatus(200)
	if got, want := h.scopeOf(child), "true true [a.b a.c b.xy] false"; got != want {
		t.Errorf("narrowed: got %s, want %s", got, want)
	}
	copied := h.do(maker, "POST", tokens+"/"+childID+"/copy", nil).mustStatus(201)
	if got, want := fmt.Sprint(copied.field("vault_read_only"), copied.field("vault_prefixes")),
		"true [a.b b.xy a.c]"; got != want {
		t.Errorf("copy: got %s, want %s", got, want)
	}
	// Narrowing the maker narrows what it made, at once.
	h.do(me.identity, "PATCH", tokens+"/"+makerID, `{"vault_prefixes":["a.c.d","b"]}`).mustStatus(200)
	if got, want := h.scopeOf(child), "true true [a.c.d b.xy] false"; got != want {
		t.Errorf("after the maker was narrowed: got %s, want %s", got, want)
	}
	h.do(me.identity, "PATCH", tokens+"/"+makerID, `{"vault_prefixes":["z"]}`).mustStatus(200)
	if got, want := h.scopeOf(child), "false false [] false"; got != want {
		t.Errorf("without a common key: got %s, want %s", got, want)
	}
	h.do(me.identity, "POST", tokens+"/"+childID+"/copy", nil).want(403, "INSUFFICIENT_PERMISSIONS", "")
	h.do(me.identity, "PATCH", tokens+"/"+makerID, `{"vault_prefixes":[],"vault_read_only":false}`).mustStatus(200)
	if got, want := h.scopeOf(child), "true true [a.b a.c b.xy] false"; got != want {
		t.Errorf("after the maker was widened: got %s, want the child's own, %s", got, want)
	}
}

// TestEarlierReleaseNeverOpensAScopedToken runs the statements of the previous release's users-svc.
func TestEarlierReleaseNeverOpensAScopedToken(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	tokenID, secret := h.createToken(me.identity,
		`{"vault_access":true,"vault_prefixes":["a"],"permissions":{"resources":{"vault":true}}}`)
	conn, err := pgx.Connect(t.Context(), h.cfg.DB.URL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	old := func(vaultAccess bool) error {
		_, err := conn.Exec(t.Context(), `UPDATE users_svc.auth_tokens SET alias = 'changed', vault_access = $2 WHERE id = $1`,
			tokenID, vaultAccess)
		return err
	}
	if err := old(false); err != nil { // what it read is what it writes back
		t.Errorf("a change that keeps vault_access: %v", err)
	}
	if err := old(true); err == nil {
		t.Error("the previous release could open the whole vault to a token with a scope")
	}
	if got, want := h.scopeOf(secret), "true false [a] false"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
