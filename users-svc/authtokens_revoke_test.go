package users_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/realmgate/realmgate/pkg/testkit"
)

// events returns the events of an account, the newest first.
func (h *harness) events(p testUser) string {
	h.t.Helper()
	var out []string
	for _, e := range h.do(p.identity, "GET", "/api/v1/users/me/security-history?include_security=true",
		nil).mustStatus(200).data.([]any) {
		out = append(out, e.(map[string]any)["event"].(string))
	}
	return strings.Join(out, " ")
}

func TestSecuringAccountRevokesTokens(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	root := h.admin()
	for name, c := range map[string]struct {
		secure func(me testUser, fields map[string]any) *response
	}{
		"a new password": {func(me testUser, f map[string]any) *response {
			f["password"], f["current_password"] = "Another-horse-2", password
			return h.do(me.identity, "PATCH", "/api/v1/users/"+me.id, f)
		}},
		"a new password by an admin": {func(me testUser, f map[string]any) *response {
			f["password"] = "Another-horse-2"
			return h.do(root.identity, "PUT", "/api/v1/users/"+me.id, f)
		}},
		"a second factor": {func(me testUser, f map[string]any) *response {
			f["code"] = h.setupTwoFactor(me).code()
			return h.do(me.identity, "POST", factorPath+"/verify-setup", f)
		}},
		"an admin's logout": {func(me testUser, f map[string]any) *response {
			return h.do(root.identity, "POST", "/api/v1/users/"+me.id+"/logout", f)
		}},
	} {
		for _, fields := range []map[string]any{{}, {"revoke_tokens": true}, {"revoke_tokens": false}} {
			what, keeps := fmt.Sprint(name, fields), fields["revoke_tokens"] == false
			me, other := h.signUp(), h.signUp()
			_, maker := h.createToken(me.identity, `{"permission_template":"full_access"}`)
			_, made := h.createToken(h.tokenIdentity(maker), nil)
			_, others := h.createToken(other.identity, nil)
			h.do(me.identity, "PATCH", "/api/v1/users/"+me.id, `{"alias":"x"}`).mustStatus(200)
			a := c.secure(me, fields).mustStatus(200)
			want := 2.0
			if keeps {
				want = 0
			}
			if a.field("tokens_revoked") != want || strings.Contains(string(a.body), "warnings") {
				t.Errorf("%s: got %s, want tokens_revoked %v", what, a.body, want)
			}
			for _, secret := range []string{maker, made} {
				if s := h.stateOf(secret); s.Alive != keeps {
					t.Errorf("%s: a token is alive: %v, want %v", what, s.Alive, keeps)
				}
			}
			if !h.stateOf(others).Alive {
				t.Errorf("%s: another user's token ended", what)
			}
			if got := strings.Contains(h.events(me), "tokens_revoked"); got == keeps {
				t.Errorf("%s: history %s", what, h.events(me))
			}
		}
	}
}

func TestRevokeTokensNeedsNewPassword(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	root := h.admin()
	me := h.signUp()
	h.do(me.identity, "PATCH", "/api/v1/users/"+me.id, `{"revoke_tokens":true}`).want(400, "VALIDATION_ERROR", "")
	h.do(me.identity, "PATCH", "/api/v1/users/"+me.id,
		`{"revoke_tokens":"no","password":"Another-horse-2","current_password":"`+password+`"}`).want(400, "VALIDATION_ERROR",
		"")
	h.do(root.identity, "POST", "/api/v1/users/"+me.id+"/logout", `{"revoke_tokens":1}`).want(400, "VALIDATION_ERROR", "")
	if a := h.do(me.identity, "PATCH", "/api/v1/users/"+me.id,
		`{"alias":"y"}`).mustStatus(200); strings.Contains(string(a.body),
		"tokens_revoked") {
		t.Errorf("without a password: got %s", a.body)
	}
	// The user's own logout keeps them, as the API contract says.
	_, secret := h.createToken(me.identity, nil)
	h.do(me.identity, "POST", "/api/v1/users/auth/logout", nil).mustStatus(200)
	if !h.stateOf(secret).Alive {
		t.Error("a logout ended an auth token")
	}
}

func TestPasswordResetRevokesTokens(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t, withMail(office))
	email := newEmail()
	h.do(anonymous, "POST", signupPath, map[string]string{"email": email, "password": password}).mustStatus(200)
	h.do(anonymous, "POST", verifyPath,
		map[string]string{"token": linkToken(t, office.Await(t, email, 1), "verify-email")}).mustStatus(200)
	me := h.signIn(email, password)
	_, secret := h.createToken(me.identity, nil)
	h.do(anonymous, "POST", forgotPath, map[string]string{"email": email}).mustStatus(200)
	token := linkToken(t, office.Await(t, email, 2), "reset-password")
	h.do(anonymous, "POST", resetPath, map[string]any{"token": token, "password": "Another-horse-2"}).mustStatus(200)
	if h.stateOf(secret).Alive {
		t.Error("an auth token survived the reset")
	}
	if got := h.events(h.signIn(email, "Another-horse-2")); !strings.Contains(got, "tokens_revoked") {
		t.Errorf("history %s", got)
	}
}

func TestAdminListsAndRevokesTokensOfUser(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	root, me, other := h.admin(), h.signUp(), h.signUp()
	path := "/api/v1/users/" + me.id + "/tokens"
	makerID, maker := h.createToken(me.identity, `{"permission_template":"full_access","alias":"maker"}`)
	_, made := h.createToken(h.tokenIdentity(maker), `{"alias":"made"}`)
	lastID, last := h.createToken(me.identity, `{"alias":"last"}`)
	otherID, others := h.createToken(other.identity, nil)
	list := h.do(root.identity, "GET", path, nil).want(200, "", "Auth tokens retrieved successfully")
	if got := len(list.data.([]any)); got != 3 || strings.Contains(string(list.body), maker[29:]) ||
		list.header.Get("X-Realmgate-On-User") != me.id {
		t.Errorf("got %d tokens, on user %q: %s", got, list.header.Get("X-Realmgate-On-User"), list.body)
	}
	h.do(root.identity, "DELETE", path+"/"+makerID, nil).want(200, "", "Auth token deleted successfully")
	if h.stateOf(maker).Alive || h.stateOf(made).Alive || !h.stateOf(last).Alive {
		t.Error("want the token and what it made gone, and the other there")
	}
	h.do(root.identity, "DELETE", path+"/"+makerID, nil).want(404, "TOKEN_NOT_FOUND", "")
	h.do(root.identity, "DELETE", path+"/"+otherID, nil).want(404, "TOKEN_NOT_FOUND", "")
	if a := h.do(root.identity, "DELETE", path, nil).want(200, "",
		"Auth tokens deleted successfully"); a.field("deleted_count") != 1.0 || h.stateOf(last).Alive {
		t.Errorf("got %s", a.body)
	}
	if got := h.events(me); strings.Count(got, "tokens_revoked") != 2 || !h.stateOf(others).Alive {
		t.Errorf("history %s", got)
	}
	for _, route := range [][2]string{{"GET", ""}, {"DELETE", ""}, {"DELETE", "/" + lastID}} {
		h.do(root.identity, route[0], "/api/v1/users/ffffffffffffffffffffffff/tokens"+route[1], nil).want(404,
			"USER_NOT_FOUND", "")
		h.do(root.identity, route[0], "/api/v1/users/xyz/tokens"+route[1], nil).want(400, "INVALID_ID_FORMAT", "")
		h.do(me.identity, route[0], path+route[1], nil).want(403, "INSUFFICIENT_PERMISSIONS", "")
		h.do(h.tokenIdentity(others), route[0], path+route[1], nil).want(403, "INSUFFICIENT_PERMISSIONS", "")
	}
	h.do(root.identity, "DELETE", path+"/xyz", nil).want(400, "INVALID_ID_FORMAT", "")
}
