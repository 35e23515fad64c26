package users_test

import (
	"testing"

	users "github.com/realmgate/realmgate/users-svc"
)

func TestGuessablePasswordsAreRefused(t *testing.T) {
	t.Parallel()
	h, lax := start(t), start(t, func(c *users.Config) { c.Passwords.DenyCommon = false })
	for _, c := range []struct{ name, email, password, code string }{
		{"common", "a1@example.com", "Qwerty123456", "WEAK_PASSWORD"},
		{"common with symbols around", "a2@example.com", "!Password123!", "WEAK_PASSWORD"},
		{"common with digits for letters", "a3@example.com", "P@ssw0rd1234", "WEAK_PASSWORD"},
		{"the address", "Annabelle.9@example.com", "annabelle.9@Example.com", "WEAK_PASSWORD"},
		{"the local part and little more", "annabelle@example.com", "Annabelle-123", "WEAK_PASSWORD"},
		{"the local part and enough more", "annabelle2@example.com", "Annabelle2-goes-home", ""},
		{"a short local part is no reason", "jo@example.com", "Jo-and-12-more", ""},
		{"a phrase", "a4@example.com", "Correct-horse-1", ""},
	} {
		status := map[bool]int{true: 200, false: 400}[c.code == ""]
		body := map[string]string{"email": c.email, "password": c.password}
		a := h.do(anonymous, "POST", signupPath, body)
		a.what = c.name
		a.want(status, c.code, "")
		lax.do(anonymous, "POST", signupPath, body).want(200, "", "")
	}
	ann := h.signUp()
	h.do(ann.identity, "PATCH", "/api/v1/users/"+ann.id, `{"alias":"Bartholomew"}`).must(200)
	for _, bad := range []string{"Qwerty123456", "Bartholomew-1"} {
		h.do(ann.identity, "PATCH", "/api/v1/users/"+ann.id, map[string]string{"password": bad, "current_password": password}).
			want(400, "WEAK_PASSWORD", "Password is too easy to guess: a common one, or little more than your name or address")
	}
	h.do(ann.identity, "PATCH", "/api/v1/users/"+ann.id, map[string]string{"password": "Short-1", "current_password": password}).
		want(400, "WEAK_PASSWORD", "Password must be at least 12 characters, 3 of 4 character classes")
}
