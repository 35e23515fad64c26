package users_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/testkit"
	"github.com/realmgate/realmgate/users-svc"
)

// testUser is an account of a test that has signed in.
type testUser struct {
	email, id, refresh, token string
	identity                  auth.Identity
}

const adminEmail = "root@example.com"

// withAdmin sets the first admin in the settings.
func withAdmin(c *users.Config) { c.FirstAdmin.Email, c.FirstAdmin.Password = adminEmail, password }

func newEmail() string {
	b := make([]byte, 6)
	_, _ = rand.Read(b)
	return "p" + hex.EncodeToString(b) + "@example.com"
}

// signUp creates an account and signs it in.
func (h *harness) signUp() testUser {
	h.t.Helper()
	email := newEmail()
	h.do(anonymous, "POST", "/api/v1/auth/signup", map[string]any{"email": email, "password": password}).mustStatus(200)
	return h.signIn(email, password)
}

// signIn opens another session.
func (h *harness) signIn(email, password string) testUser {
	h.t.Helper()
	a := h.do(anonymous, "POST", "/api/v1/users/auth/login",
		map[string]any{"email": email, "password": password}).mustStatus(200)
	return h.userOf(email, a)
}

func (h *harness) userOf(email string, a *response) testUser {
	h.t.Helper()
	claims, err := auth.Parse(a.text("token"), h.jwks(), h.cfg.Signing.Issuer, h.cfg.Signing.Audience, h.clock.now)
	if err != nil {
		h.t.Fatal(err)
	}
	admin, _ := a.field("user.is_admin").(bool)
	return testUser{
		email: email, id: claims.UserID, refresh: a.text("refreshToken"), token: a.text("token"),
		identity: auth.Identity{Kind: auth.Session, UserID: claims.UserID, SessionID: claims.SessionID, Admin: admin,
			ClientAddr: "192.0.2.1"},
	}
}

func (h *harness) admin() testUser {
	h.t.Helper()
	return h.signIn(adminEmail, password)
}

// alive reports whether the user's session is alive, as a gateway reads it.
func (h *harness) alive(p testUser) bool {
	h.t.Helper()
	alive, _ := h.do(system, "GET", "/internal/sessions/"+p.identity.SessionID, nil).mustStatus(200).field("alive").(bool)
	return alive
}

// anonymousFrom returns the identity of a client without a session at the address.
func anonymousFrom(address string) auth.Identity {
	return auth.Identity{Kind: auth.Anonymous, ClientAddr: address}
}

// eventually waits up to ten seconds until ok is true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(testkit.Patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within ten seconds: %s", what)
		}
	}
}

func (h *harness) jwks() map[string]ed25519.PublicKey {
	h.t.Helper()
	var set auth.JWKS
	if err := json.Unmarshal(h.do(anonymous, "GET", "/.well-known/jwks.json", nil).mustStatus(200).body,
		&set); err != nil {
		h.t.Fatal(err)
	}
	return set.PublicKeys()
}
