package users_test

import (
	"crypto/sha256"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/testkit"
	"github.com/realmgate/realmgate/users-svc"
)

// typedUmlauts is a password with letters that Unicode can encode in two ways.
const typedUmlauts = "Grüße-aus-Zürich-1"

func unicodeForms(t *testing.T) (c, d string) {
	t.Helper()
	c, d = norm.NFC.String(typedUmlauts), norm.NFD.String(typedUmlauts)
	if c == d {
		t.Fatal("the two forms are the same")
	}
	return c, d
}

// TestPasswordMatchesInBothUnicodeForms covers every endpoint that takes a password.
func TestPasswordMatchesInBothUnicodeForms(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	composed, apart := unicodeForms(t)
	for name, forms := range map[string][2]string{
		"composed first": {composed, apart}, "apart first": {apart, composed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set, typed := forms[0], forms[1]
			h := start(t, func(c *users.Config) {
				c.FirstAdmin.Email, c.FirstAdmin.Password = adminEmail, config.Secret(set)
			}, withMail(office))
			root := h.signIn(adminEmail, typed)
			made := map[string]any{"email": "made@example.com", "password": set}
			h.do(root.identity, "POST", "/api/v1/users", made).mustStatus(201)
			h.signIn("made@example.com", typed)
			email := newEmail()
			h.do(anonymous, "POST", signupPath, map[string]string{"email": email, "password": set}).mustStatus(200)
			token := linkToken(t, office.Await(t, email, 1), "verify-email")
			h.do(anonymous, "POST", verifyPath, map[string]string{"token": token}).mustStatus(200)
			ann := h.signIn(email, typed)
			h.signIn(email, set)
			change := func(from, to string) {
				body := map[string]string{"password": to, "current_password": from}
				h.do(ann.identity, "PATCH", "/api/v1/users/"+ann.id, body).mustStatus(200)
			}
			change(typed, "Another-horse-2")
			change("Another-horse-2", set)
			h.signIn(email, typed)
			setup := h.do(ann.identity, "POST", factorPath+"/setup", map[string]string{"password": typed}).mustStatus(200)
			app := &authenticator{h: h, secret: setup.text("manual_entry_key")}
			code := map[string]any{"code": app.code()}
			h.adoptSession(&ann, h.do(ann.identity, "POST", factorPath+"/verify-setup", code).mustStatus(200))
			h.do(ann.identity, "DELETE", factorPath, map[string]string{"password": typed, "code": app.code()}).mustStatus(200)
			file := writeFile(t, "password", set+"\n")
			if out, err := h.command("admin create", "-email", "cmd@example.com", "-password-file", file); err != nil {
				t.Fatal(out, err)
			}
			h.signIn("cmd@example.com", typed)
			h.do(anonymous, "POST", forgotPath, map[string]string{"email": email}).mustStatus(200)
			token = linkToken(t, office.Await(t, email, 2), "reset-password")
			h.do(anonymous, "POST", resetPath, map[string]string{"token": token, "password": typed}).mustStatus(200)
			h.signIn(email, set)
		})
	}
}

// TestUnnormalizedPasswordHashStillMatches: the hash of a password as it was typed matches either
// form, and a login replaces it by the hash of form C.
func TestUnnormalizedPasswordHashStillMatches(t *testing.T) {
	t.Parallel()
	h := start(t)
	composed, apart := unicodeForms(t)
	const ligature = "Die-ﬁnale-Prüfung-1" // with a compatibility character
	h.setHashes(map[string]string{
		"a1": argonOf(128, 5, 1, apart), "a2": argonOf(128, 5, 1, apart),
		"c1": pbkdf2Of(t, "sha256", sha256.New, 1_000, 32, composed),
		"l1": argonOf(128, 5, 1, norm.NFC.String(ligature)),
	})
	for _, c := range []struct{ name, typed string }{{"a1", apart}, {"a2", composed}, {"c1", apart}} {
		email := c.name + "@example.com"
		before := h.storedHash(email)
		h.tryLogin("198.51.100.7", email, c.typed).want(200, "", "")
		after := h.storedHash(email)
		if after == before {
			t.Errorf("%s: the hash was not made again", c.name)
		}
		h.tryLogin("198.51.100.7", email, composed).want(200, "", "")
		h.tryLogin("198.51.100.7", email, apart).want(200, "", "")
		if h.storedHash(email) != after {
			t.Errorf("%s: the hash in form C was made again", c.name)
		}
	}
	h.tryLogin("198.51.100.7", "l1@example.com", norm.NFD.String(ligature)).want(200, "", "")
	h.tryLogin("198.51.100.7", "l1@example.com", norm.NFKC.String(ligature)).want(401, "", "")
}

// TestPasswordLengthIsThatOfComposedForm counts code points.
func TestPasswordLengthIsThatOfComposedForm(t *testing.T) {
	t.Parallel()
	h := start(t, func(c *users.Config) { c.Passwords.DenyCommon = false }) // the password repeats one letter
	fits, short := norm.NFD.String(strings.Repeat("ü", 126)+"A1"), norm.NFD.String(strings.Repeat("ü", 9)+"A1")
	signUp := func(email, password string) *response {
		return h.do(anonymous, "POST", signupPath, map[string]string{"email": email, "password": password})
	}
	email := newEmail()
	signUp(email, fits).mustStatus(200)
	ann := h.signIn(email, fits)
	h.do(ann.identity, "POST", factorPath+"/setup", map[string]string{"password": fits}).want(200, "", "")
	signUp(newEmail(), short).want(400, "WEAK_PASSWORD", "")
	signUp(newEmail(), fits+"üü").want(400, "WEAK_PASSWORD", "")
	h.tryLogin("198.51.100.7", email, fits+"üü").want(400, "VALIDATION_ERROR", "")
}
