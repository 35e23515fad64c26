package users_test

import (
	"testing"

	"github.com/realmgate/realmgate/users-svc"
)

func TestInviteCodeOfSignup(t *testing.T) {
	t.Parallel()
	h := start(t, func(c *users.Config) { c.Signup.InviteRequired, c.Signup.InviteCodes = true, "first, second ,," })
	for code, invited := range map[string]bool{"first": true, "second": true, "": false, " first": false,
		"first, second": false, "third": false} {
		email := newEmail()
		body := map[string]string{"email": email, "password": password, "invite_code": code}
		h.do(anonymous, "POST", signupPath, body).mustStatus(200)
		a := h.tryLogin("192.0.2.1", email, password).mustStatus(200)
		if got := a.field("server") != nil; got != invited {
			t.Errorf("code %q: got a server %v, want %v", code, got, invited)
		}
		status := h.do(h.userOf(email, a).identity, "GET", "/api/v1/users/me/free-tier-status", nil).mustStatus(200)
		if got, want := status.field("signup_code_failed"), code != "" && !invited; got != want {
			t.Errorf("code %q: signup_code_failed: got %v, want %v", code, got, want)
		}
	}
}
