package users_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
)

func TestTokenNeedsPermissionToManageTokens(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	tokenID, secret := h.createToken(me.identity, `{"vault_access":true}`)
	who := h.tokenIdentity(secret)
	for _, route := range [][2]string{{"GET", tokens}, {"POST", tokens}, {"GET", tokens + "/" + tokenID},
		{"PATCH", tokens + "/" + tokenID}, {"POST", tokens + "/" + tokenID + "/copy"}} {
		h.do(who, route[0], route[1], nil).want(403, "INSUFFICIENT_PERMISSIONS", "Insufficient permissions")
	}
	h.do(who, "GET", tokens+"/templates", nil).mustStatus(200)
	h.do(who, "GET", tokens+"/me", nil).mustStatus(200)
	h.do(who, "DELETE", tokens+"/"+tokenID, nil).mustStatus(200) // the token deletes itself
	if s := h.stateOf(secret); s.Alive {
		t.Error("a token that deleted itself is alive")
	}
	h.do(who, "GET", tokens+"/me", nil).want(401, "INVALID_TOKEN", "")
}

// createManagingToken creates a token that may create others, in one realm and one network, for an
// hour.
func (h *harness) createManagingToken(me testUser) (tokenID string, who auth.Identity) {
	h.t.Helper()
	tokenID, secret := h.createToken(me.identity, map[string]any{
		"alias": "maker", "realm_ids": []string{realmA}, "allow_no_realm": false,
		"ip_whitelist": []string{"10.0.0.0/8", "2001:db8::/32"}, "vault_access": true, "event_access": false,
		"expires_at":  h.clock.now().Add(time.Hour).UTC().Format(time.RFC3339),
		"permissions": map[string]any{"resources": map[string]any{"create_tokens": true, "read_tokens": true, "vault": true}},
	})
	return tokenID, h.tokenIdentity(secret)
}

func TestTokenCannotDelegateRightsItLacks(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	makerID, maker := h.createManagingToken(me)
	for name, body := range map[string]string{
		"another permission": `{"permissions":{"resources":{"read_account":true}}}`,
		"a whole branch":     `{"permissions":{"resources":true}}`, "a template": `{"permission_template":"full_access"}`,
		"another realm":  `{"realm_ids":["` + realmB + `"]}`,
		"one realm more": `{"realm_ids":["` + realmA + `","` + realmB + `"]}`, "every realm": `{"realm_ids":[]}`,
		"no realm": `{"allow_no_realm":true}`, "the activity log": `{"event_access":true}`,
		"every address": `{"ip_whitelist":"*"}`, "another address": `{"ip_whitelist":["192.0.2.1"]}`,
		"a wider network": `{"ip_whitelist":["10.0.0.0/7"]}`, "no end": `{"expires_at":null}`,
		"a later end": `{"expires_at":"2999-01-01"}`,
	} {
		if a := h.do(maker, "POST", tokens, body); a.code != "INSUFFICIENT_PERMISSIONS" {
			t.Errorf("%s: got %d %s, want 403", name, a.status, a.body)
		}
	}
	a := h.do(maker, "POST", tokens, nil).mustStatus(201)
	if got, want := fmt.Sprintln(a.field("realm_ids"), a.field("ip_whitelist"), a.field("allow_no_realm"),
		a.field("event_access"),
		a.field("vault_access"), a.field("permissions"), a.field("created_by_token_id"), a.field("delegation_depth")),
		"["+realmA+"] [10.0.0.0/8 2001:db8::/32] false false false map[] "+makerID+" 1\n"; got != want {
		t.Errorf("left out: got %s, want what the maker has: %s", got, want)
	}
	h.do(maker, "POST", tokens, `{"alias":"narrow","ip_whitelist":["10.1.0.0/16"],"vault_access":true,"expires_at":"`+h.clock.now().Add(time.Minute).UTC().Format(time.RFC3339)+
		`","permissions":{"resources":{"vault":true},"custom":{"leaf":true}}}`).mustStatus(201)
}

func TestTokenManagesOnlyItsDescendants(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	makerID, maker := h.createManagingToken(me)
	mine, _ := h.createToken(me.identity, `{"alias":"of the session"}`)
	child, _ := h.createToken(maker, `{"alias":"child"}`)
	var seen []string
	for _, v := range h.do(maker, "GET", tokens, nil).mustStatus(200).data.([]any) {
		seen = append(seen, v.(map[string]any)["alias"].(string))
	}
	if got := fmt.Sprint(seen); got != "[child maker]" {
		t.Errorf("the list: got %s, want the child and itself", got)
	}
	for _, method := range []string{"GET", "PATCH", "DELETE"} {
		h.do(maker, method, tokens+"/"+mine, nil).want(404, "TOKEN_NOT_FOUND", "")
	}
	h.do(maker, "GET", tokens+"/"+makerID, nil).mustStatus(200)
	h.do(maker, "PATCH", tokens+"/"+makerID, `{"ip_whitelist":"*"}`).want(403, "INSUFFICIENT_PERMISSIONS", "")
	h.do(maker, "PATCH", tokens+"/"+child,
		`{"permissions":{"resources":{"vault":true}},"vault_access":true}`).mustStatus(200)
	h.do(maker, "PATCH", tokens+"/"+child, `{"is_enabled":false}`).mustStatus(200)
	h.do(maker, "PATCH", tokens+"/"+child, `{"realm_ids":[]}`).want(403, "INSUFFICIENT_PERMISSIONS", "")
	h.do(maker, "POST", tokens+"/"+child+"/remove-realm", `{"realm_id":"`+realmA+`"}`).want(403,
		"INSUFFICIENT_PERMISSIONS", "")
	h.do(maker, "POST", tokens+"/"+child+"/copy", nil).mustStatus(201)
	h.do(maker, "DELETE", tokens+"/"+child, nil).mustStatus(200)
}

func TestDescendantTokenNeverExceedsAncestor(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	makerID, maker := h.createManagingToken(me)
	body := `{"permissions":{"resources":{"vault":true,"create_tokens":true}},"vault_access":true}`
	_, child := h.createToken(maker, body)
	_, grandchild := h.createToken(h.tokenIdentity(child), body)
	if s := h.stateOf(grandchild); !s.Alive || !s.Token.Grant.VaultAccess || s.ExpiresAt.IsZero() {
		t.Fatalf("got %+v, want it alive with the vault and an end", s)
	}
	h.do(me.identity, "PATCH", tokens+"/"+makerID, `{"vault_access":false,"ip_whitelist":["10.9.0.0/16"]}`).mustStatus(200)
	if s := h.stateOf(grandchild); s.Token.Grant.VaultAccess || fmt.Sprint(s.Token.IPWhitelist) != "[10.9.0.0/16]" {
		t.Errorf("after the first was narrowed: got %+v", s.Token)
	}
	h.do(me.identity, "PATCH", tokens+"/"+makerID, `{"realm_ids":["`+realmB+`"]}`).mustStatus(200)
	if h.stateOf(grandchild).Alive {
		t.Error("a token whose realms are all gone is alive")
	}
	h.do(me.identity, "PATCH", tokens+"/"+makerID, `{"realm_ids":["`+realmA+`"],"is_enabled":false}`).mustStatus(200)
	if h.stateOf(child).Alive || h.stateOf(grandchild).Alive {
		t.Error("a token of a disabled one is alive")
	}
	h.do(me.identity, "DELETE", tokens+"/"+makerID, nil).mustStatus(200)
	if s := h.stateOf(grandchild); s.Alive || s.UserID != "" {
		t.Errorf("after the first was deleted: got %+v, want nothing", s)
	}
}

// TestTokenCopyHasEffectiveRightsOfSource narrows an ancestor of the source before the copy.
func TestTokenCopyHasEffectiveRightsOfSource(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	makerID, secret := h.createToken(me.identity,
		`{"permissions":{"resources":true,"projects":{"read":true}},"vault_access":true}`)
	child, childSecret := h.createToken(h.tokenIdentity(secret),
		`{"alias":"child","permissions":{"resources":true,"projects":{"read":true},"custom":{"leaf":true}},"vault_access":true}`)
	end := h.clock.now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05.000Z")
	h.do(me.identity, "PATCH", tokens+"/"+makerID, `{"vault_access":false,"event_access":false,"allow_no_realm":false,"realm_ids":["`+realmA+`"],"ip_whitelist":["10.0.0.0/8"],
		"permissions":{"resources":{"vault":true,"create_tokens":true}},"expires_at":"`+end+`"}`).mustStatus(200)
	a := h.do(me.identity, "POST", tokens+"/"+child+"/copy", nil).mustStatus(201)
	if got, want := h.stateOf(a.text("token")),
		h.stateOf(childSecret); fmt.Sprint(got.Token.Grant, got.Token.IPWhitelist,
		got.ExpiresAt) != fmt.Sprint(want.Token.Grant, want.Token.IPWhitelist, want.ExpiresAt) {
		t.Errorf("the copy: got %+v, want what its source has, %+v", got.Token, want.Token)
	}
	if got, want := fmt.Sprint(a.field("permissions"))+" "+a.text("expires_at"),
		"map[custom:map[leaf:true] projects:map[] resources:map[create_tokens:true vault:true]] "+end; got != want {
		t.Errorf("the copy: got %s, want %s", got, want)
	}
	h.do(h.tokenIdentity(secret), "POST", tokens+"/"+child+"/copy", nil).mustStatus(201)
	h.do(me.identity, "PATCH", tokens+"/"+makerID, `{"is_enabled":false}`).mustStatus(200)
	// it has no permission at all
	h.do(me.identity, "POST", tokens+"/"+child+"/copy", nil).want(403, "INSUFFICIENT_PERMISSIONS", "")
	h.do(me.identity, "PATCH", tokens+"/"+makerID, `{"is_enabled":true}`).mustStatus(200)
	h.do(me.identity, "PATCH", tokens+"/"+child, `{"realm_ids":["`+realmB+`"]}`).mustStatus(200)
	h.do(me.identity, "POST", tokens+"/"+child+"/copy", nil).want(403, "INSUFFICIENT_PERMISSIONS", "")
}

func TestDelegationDepthIsBounded(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	_, secret := h.createToken(me.identity, `{"permission_template":"full_access"}`)
	for depth := 1; depth <= 5; depth++ {
		a := h.do(h.tokenIdentity(secret), "POST", tokens, `{"permission_template":"full_access"}`).mustStatus(201)
		if secret = a.text("token"); a.field("delegation_depth") != float64(depth) {
			t.Errorf("depth: got %v, want %d", a.field("delegation_depth"), depth)
		}
	}
	h.do(h.tokenIdentity(secret), "POST", tokens, nil).want(403, "INSUFFICIENT_PERMISSIONS", "")
}
