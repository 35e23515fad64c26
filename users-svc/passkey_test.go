package users_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"

	"github.com/realmgate/realmgate/pkg/testkit/oidctest"
	"github.com/realmgate/realmgate/users-svc"
)

const passkeysPath = "/api/v1/users/auth/passkeys"

var party = virtualwebauthn.RelyingParty{Name: "Realmgate", ID: "app.example.com", Origin: "https://app.example.com"}

func withPublicURL(c *users.Config) { c.Mail.PublicURL = party.Origin + "/" }

// credential is a passkey in a virtual authenticator.
type credential struct {
	authenticator virtualwebauthn.Authenticator
	virtualwebauthn.Credential
}

// attest makes a passkey for the account, and returns it with the body for register/finish.
func (h *harness) attest(p testUser, rp virtualwebauthn.RelyingParty) (*credential, map[string]any) {
	h.t.Helper()
	options := h.do(p.identity, "POST", passkeysPath+"/register/begin", nil).mustStatus(200)
	raw, _ := json.Marshal(options.data)
	parsed, err := virtualwebauthn.ParseAttestationOptions(string(raw))
	if err != nil {
		h.t.Fatalf("%v: %s", err, raw)
	}
	made := &credential{virtualwebauthn.NewAuthenticatorWithOptions(
		virtualwebauthn.AuthenticatorOptions{UserHandle: []byte(p.id)}),
		newPasskey()}
	var body map[string]any
	if err := json.Unmarshal([]byte(virtualwebauthn.CreateAttestationResponse(rp, made.authenticator, made.Credential,
		*parsed)), &body); err != nil {
		h.t.Fatal(err)
	}
	return made, body
}

func (h *harness) addPasskey(p testUser) *credential {
	h.t.Helper()
	made, body := h.attest(p, party)
	body["name"] = "laptop"
	h.do(p.identity, "POST", passkeysPath+"/register/finish", body).want(201, "", "Passkey registered successfully")
	return made
}

// assert returns the body for login/finish with the passkey.
func (h *harness) assert(key *credential, rp virtualwebauthn.RelyingParty) map[string]any {
	h.t.Helper()
	options := h.do(anonymous, "POST", passkeysPath+"/login/begin", nil).mustStatus(200)
	raw, _ := json.Marshal(options.data)
	parsed, err := virtualwebauthn.ParseAssertionOptions(string(raw))
	if err != nil || len(parsed.AllowCredentials) > 0 {
		h.t.Fatalf("%v: %s", err, raw)
	}
	var body map[string]any
	if err := json.Unmarshal([]byte(virtualwebauthn.CreateAssertionResponse(rp, key.authenticator, key.Credential,
		*parsed)), &body); err != nil {
		h.t.Fatal(err)
	}
	return body
}

func (h *harness) passkeyLogin(body any) *response {
	h.t.Helper()
	return h.do(anonymous, "POST", passkeysPath+"/login/finish", body)
}

func TestPasskeySignsIn(t *testing.T) {
	t.Parallel()
	h := start(t, withPublicURL, withAdmin)
	me, root := h.signUp(), h.admin()
	key := h.addPasskey(me)
	body := h.assert(key, party)
	a := h.passkeyLogin(body).want(200, "", "Login successful")
	if a.text("user.id") != me.id || strings.Contains(string(a.body), "warnings") {
		t.Errorf("got %s", a.body)
	}
	h.passkeyLogin(body).want(400, "INVALID_PASSKEY_RESPONSE", "") // the challenge is used
	session := h.userOf(me.email, a)
	h.createToken(session.identity, nil) // the user was verified, so the session is confirmed
	list := h.do(me.identity, "GET", passkeysPath, nil).mustStatus(200).data.([]any)
	item := list[0].(map[string]any)
	if len(list) != 1 || item["name"] != "laptop" || item["last_used_at"] == nil || item["public_key"] != nil {
		t.Errorf("got %v", list)
	}
	one := passkeysPath + "/" + item["id"].(string)
	h.do(me.identity, "PATCH", one, map[string]any{"name": "phone"}).want(200, "", "Passkey updated successfully")
	h.do(me.identity, "PATCH", one, map[string]any{"name": strings.Repeat("x", 65)}).want(400, "VALIDATION_ERROR", "")
	h.do(root.identity, "PATCH", one, map[string]any{"name": "phone"}).want(404, "PASSKEY_NOT_FOUND", "")
	h.do(root.identity, "DELETE", one, nil).want(404, "PASSKEY_NOT_FOUND", "")
	waiting := h.assert(key, party)
	h.do(root.identity, "PATCH", "/api/v1/users/"+me.id, map[string]any{"is_banned": true}).mustStatus(200)
	h.passkeyLogin(waiting).want(403, "ACCOUNT_BANNED", "")
	h.do(root.identity, "PATCH", "/api/v1/users/"+me.id, map[string]any{"is_banned": false}).mustStatus(200)
	waiting = h.assert(key, party)
	h.do(h.signIn(me.email, password).identity, "DELETE", one, nil).want(200, "", "Passkey deleted successfully")
	h.passkeyLogin(waiting).want(401, "INVALID_PASSKEY", "")
}

func TestPasskeyChecks(t *testing.T) {
	t.Parallel()
	h := start(t, withPublicURL)
	me, other := h.signUp(), h.signUp()
	elsewhere := party
	elsewhere.Origin = "https://evil.example.com"
	_, body := h.attest(me, elsewhere)
	finish := func(who testUser, body map[string]any) *response {
		return h.do(who.identity, "POST", passkeysPath+"/register/finish", body)
	}
	finish(me, body).want(400, "INVALID_PASSKEY_RESPONSE", "")
	_, body = h.attest(me, party)
	finish(other, body).want(400, "INVALID_PASSKEY_RESPONSE", "")
	finish(h.signIn(me.email, password), body).want(400, "INVALID_PASSKEY_RESPONSE", "")
	finish(me, nil).want(400, "VALIDATION_ERROR", "")
	finish(me, map[string]any{"id": "x", "response": "y"}).want(400, "INVALID_PASSKEY_RESPONSE", "")
	finish(me, body).mustStatus(201)
	finish(me, body).want(400, "INVALID_PASSKEY_RESPONSE", "")

	key := h.addPasskey(me)
	h.passkeyLogin(h.assert(key, elsewhere)).want(401, "INVALID_PASSKEY", "")
	stranger := *key
	stranger.authenticator.Options.UserHandle = []byte(other.id)
	h.passkeyLogin(h.assert(&stranger, party)).want(401, "INVALID_PASSKEY", "")
	stranger.authenticator.Options.UserHandle = []byte("nobody")
	h.passkeyLogin(h.assert(&stranger, party)).want(401, "INVALID_PASSKEY", "")
	forged := &credential{key.authenticator, newPasskey()}
	forged.ID = key.ID
	h.passkeyLogin(h.assert(forged, party)).want(401, "INVALID_PASSKEY", "")
	// A counter that does not grow belongs to a copy.
	key.Counter = 7
	h.passkeyLogin(h.assert(key, party)).mustStatus(200)
	h.passkeyLogin(h.assert(key, party)).want(401, "INVALID_PASSKEY", "")
	key.Counter = 8
	h.passkeyLogin(h.assert(key, party)).mustStatus(200)
	late := h.assert(key, party)
	h.clock.forward(5*time.Minute + time.Second)
	h.passkeyLogin(late).want(400, "INVALID_PASSKEY_RESPONSE", "")
	h.clock.forward(5 * time.Minute)
	h.do(me.identity, "POST", passkeysPath+"/register/begin", nil).want(403, "CONFIRMATION_REQUIRED", "")
	_, secret := h.createToken(h.signIn(me.email, password).identity, `{"permission_template":"full_access"}`)
	h.do(h.tokenIdentity(secret), "POST", passkeysPath+"/register/begin", nil).want(403, "INSUFFICIENT_PERMISSIONS", "")
}

func TestPasskeysAreBounded(t *testing.T) {
	t.Parallel()
	h := start(t, withPublicURL)
	me := h.signUp()
	for range 9 {
		h.addPasskey(me)
	}
	var bodies []map[string]any
	for range 4 {
		_, body := h.attest(me, party)
		bodies = append(bodies, body)
	}
	var mu sync.Mutex
	var group sync.WaitGroup
	counts := map[int]int{}
	for _, body := range bodies {
		group.Go(func() {
			status := h.do(me.identity, "POST", passkeysPath+"/register/finish", body).status
			mu.Lock()
			defer mu.Unlock()
			counts[status]++
		})
	}
	group.Wait()
	if counts[201] != 1 || counts[409] != 3 {
		t.Errorf("got %v, want one 201 and three 409", counts)
	}
	h.do(me.identity, "POST", passkeysPath+"/register/begin", nil).want(409, "PASSKEY_LIMIT_REACHED", "")
}

func TestPasskeyAndSecondFactor(t *testing.T) {
	t.Parallel()
	h := start(t, withPublicURL)
	me := h.signUp()
	key := h.addPasskey(me)
	app := h.enableTwoFactor(&me)
	if a := h.passkeyLogin(h.assert(key, party)).mustStatus(200); a.field("token") == nil {
		t.Errorf("with user verification: got %s", a.body)
	}
	key.authenticator.Options.UserNotVerified = true
	a := h.passkeyLogin(h.assert(key, party)).mustStatus(200)
	if a.field("requires_2fa") != true {
		t.Fatalf("without user verification: got %s", a.body)
	}
	h.verify(a.text("temp_token"), app.code()).mustStatus(200)
}

// TestPasskeyIsAWayToSignIn: an account without a password may have a passkey alone.
func TestPasskeyIsAWayToSignIn(t *testing.T) {
	t.Parallel()
	i := oidctest.Start(t)
	h := start(t, withIssuer(i))
	local := virtualwebauthn.RelyingParty{ID: "localhost", Origin: "http://localhost:8080"}
	b, email := h.browser(), newEmail()
	me := h.userOf(email, h.exchange(b.signInWith(i, person("ada", email)).Get("code")).mustStatus(200))
	h.do(me.identity, "POST", passkeysPath+"/register/begin", nil).want(403, "CONFIRMATION_REQUIRED", "")
	query[int](h, `WITH u AS (UPDATE sessions SET confirmed_at = now() + interval '1 hour' RETURNING 1) SELECT count(*)::int FROM u`)
	key, body := h.attest(me, local)
	id := h.do(me.identity, "POST", passkeysPath+"/register/finish", body).mustStatus(201).text("id")
	h.do(me.identity, "DELETE", identitiesPath, nil).mustStatus(200)
	h.do(me.identity, "DELETE", passkeysPath+"/"+id, nil).want(409, "LAST_SIGN_IN_METHOD", "")
	h.passkeyLogin(h.assert(key, local)).mustStatus(200)
}

// newPasskey returns a credential with a new key on P-256. The library encodes a coordinate that
// begins with a zero byte one byte short, which RFC 9053, section 7.1.1, forbids and the product
// refuses; such a key is left out.
func newPasskey() virtualwebauthn.Credential {
	const encoded = 77 // bytes of a key with two coordinates of 32 bytes
	for {
		made := virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
		if len(made.Key.AttestationData()) == encoded {
			return made
		}
	}
}
