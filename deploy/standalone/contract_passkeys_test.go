package main

import (
	"encoding/json"
	"testing"

	"github.com/descope/virtualwebauthn"

	"github.com/realmgate/realmgate/pkg/testkit"
)

const passkeys = "/api/v1/users/auth/passkeys"

// relyingParty is the product at its PUBLIC_URL.
var relyingParty = virtualwebauthn.RelyingParty{ID: "app.example.com", Origin: "https://app.example.com"}

// attest begins a registration and returns the body that finishes it with the credential.
func (r *running) attest(u account, made virtualwebauthn.Credential) map[string]any {
	r.t.Helper()
	options, err := virtualwebauthn.ParseAttestationOptions(string(r.do("POST", passkeys+"/register/begin", u.Token,
		nil).want(r.t, "begin", 200, "").Data))
	if err != nil {
		r.t.Fatal(err)
	}
	return fields(r.t, virtualwebauthn.CreateAttestationResponse(relyingParty, virtualwebauthn.NewAuthenticator(), made,
		*options))
}

// assert begins a login and returns the body that finishes it with the credential.
func (r *running) assert(u account, made virtualwebauthn.Credential) map[string]any {
	r.t.Helper()
	options, err := virtualwebauthn.ParseAssertionOptions(string(r.do("POST", passkeys+"/login/begin", "",
		nil).want(r.t, "begin", 200, "").Data))
	if err != nil {
		r.t.Fatal(err)
	}
	authenticator := virtualwebauthn.NewAuthenticatorWithOptions(
		virtualwebauthn.AuthenticatorOptions{UserHandle: []byte(u.ID)})
	return fields(r.t, virtualwebauthn.CreateAssertionResponse(relyingParty, authenticator, made, *options))
}

func fields(t *testing.T, object string) (out map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(object), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func contractPasskeys(t *testing.T, spec *conformance) {
	office, database := testkit.SMTP(t), testkit.Postgres(t)
	r := product(t, spec, "DATABASE_URL="+database, "PUBLIC_URL="+relyingParty.Origin,
		"SMTP_URL=smtp://"+office.Addr+"?tls=off")
	admin := r.admin()
	r.do("POST", "/api/v1/users", admin.Token, map[string]any{"email": "key@example.com", "password": userPassword}).want(
		t, "create", 201, "")
	u := r.login("key@example.com", userPassword)
	key := newPasskey()
	finish, login := passkeys+"/register/finish", passkeys+"/login/finish"
	r.do("POST", finish, u.Token, nil).want(t, "nothing", 400, "VALIDATION_ERROR")
	body := r.attest(u, key)
	var stored struct{ ID string }
	r.do("POST", finish, u.Token, body).want(t, "register", 201, "").into(t, &stored)
	r.do("POST", finish, u.Token, body).want(t, "again", 400, "INVALID_PASSKEY_RESPONSE")
	r.do("POST", finish, u.Token, r.attest(u, key)).want(t, "the same passkey", 409, "PASSKEY_EXISTS")
	late := r.attest(u, newPasskey())
	for range 9 {
		r.do("POST", finish, u.Token, r.attest(u, newPasskey())).want(t,
			"register", 201, "")
	}
	r.do("POST", finish, u.Token, late).want(t, "the eleventh", 409, "PASSKEY_LIMIT_REACHED")
	r.do("POST", passkeys+"/register/begin", u.Token, nil).want(t, "one more", 409, "PASSKEY_LIMIT_REACHED")
	r.get(passkeys, u.Token).want(t, "list", 200, "")
	r.do("PATCH", passkeys+"/"+stored.ID, u.Token, map[string]any{"name": "phone"}).want(t, "rename", 200, "")
	r.do("PATCH", passkeys+"/"+stored.ID, u.Token, nil).want(t, "no name", 400, "VALIDATION_ERROR")

	r.do("POST", login, "", nil).want(t, "nothing", 400, "VALIDATION_ERROR")
	r.do("POST", login, "", r.assert(u, key)).want(t, "login", 200, "")
	used := r.assert(u, key)
	r.do("POST", login, "", used).want(t, "login", 200, "")
	r.do("POST", login, "", used).want(t, "again", 400, "INVALID_PASSKEY_RESPONSE")
	r.do("POST", login, "", r.assert(admin, key)).want(t, "another account", 401, "INVALID_PASSKEY")
	set := func(field string, value bool) {
		r.do("PATCH", "/api/v1/users/"+u.ID, admin.Token, map[string]any{field: value}).want(t, field, 200, "")
	}
	set("email_verified", false)
	r.do("POST", login, "", r.assert(u, key)).want(t, "not verified", 401, "EMAIL_NOT_VERIFIED")
	set("email_verified", true)
	contractLastPasskey(r, database, u, stored.ID)
	set("is_banned", true)
	r.do("POST", login, "", r.assert(u, key)).want(t, "banned", 403, "ACCOUNT_BANNED")
}

// contractLastPasskey removes passkeys of an account that has no password.
func contractLastPasskey(r *running, database string, u account, keep string) {
	t := r.t
	var list []struct{ ID string }
	r.get(passkeys, u.Token).want(t, "list", 200, "").into(t, &list)
	for _, one := range list {
		if one.ID != keep {
			r.do("DELETE", passkeys+"/"+one.ID, u.Token, nil).want(t, "remove", 200, "")
		}
	}
	for _, method := range []string{"PATCH", "DELETE"} {
		body := map[string]any{"name": "x"}
		r.do(method, passkeys+"/xyz", u.Token, body).want(t, "no id", 400, "INVALID_ID_FORMAT")
		r.do(method, passkeys+"/"+nobody, u.Token, body).want(t, "no such passkey", 404, "PASSKEY_NOT_FOUND")
	}
	execute(t, database, `UPDATE users_svc.users SET password_hash = $1 WHERE id = $2`,
		"$argon2id$v=19$m=19456,t=2,p=1$aGFzIG5vIHBhc3N3b3JkLg$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", u.ID)
	r.do("DELETE", passkeys+"/"+keep, u.Token, nil).want(t, "the last way", 409, "LAST_SIGN_IN_METHOD")
	ageSessions(t, database)
	r.do("POST", passkeys+"/register/begin", u.Token, nil).want(t, "much later", 403, "CONFIRMATION_REQUIRED")
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
