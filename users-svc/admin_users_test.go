package users_test

import (
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/users-svc"
)

// TestAdminSeesHowAccountIsUsed reads an account before its first sign-in, in use, and after its
// sessions were deleted for their age.
func TestAdminSeesHowAccountIsUsed(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin, func(c *users.Config) { c.CleanupEvery, c.VaultQuotaMB = 50*time.Millisecond, 70 })
	root := h.admin()
	created := h.do(root.identity, "POST", "/api/v1/users",
		map[string]any{"email": "new@example.com", "password": password}).mustStatus(201)
	path := "/api/v1/users/" + created.text("id")
	want := func(what string, fields map[string]any) *response {
		t.Helper()
		a := h.do(root.identity, "GET", path, nil).mustStatus(200)
		for name, value := range fields {
			if got := a.field(name); got != value {
				t.Errorf("%s: %s: got %v, want %v", what, name, got, value)
			}
		}
		return a
	}
	want("never signed in", map[string]any{"last_seen_at": nil, "two_factor": false, "vault_quota_mb": 70.0,
		"sessions": 0.0, "ban_reason": nil, "banned_at": nil})
	first, second := h.signIn("new@example.com", password), h.signIn("new@example.com", password)
	h.do(root.identity, "PUT", path+"/quota", map[string]any{"limit_mb": 0}).mustStatus(200)
	want("no quota", map[string]any{"sessions": 2.0, "vault_quota_mb": 0.0})
	h.do(root.identity, "PUT", path+"/quota", map[string]any{"limit_mb": 300}).mustStatus(200)
	h.do(first.identity, "POST", logoutPath, nil).mustStatus(200)
	third := h.signIn("new@example.com", password)
	seen := want("own quota", map[string]any{"sessions": 1.0, "vault_quota_mb": 300.0}).text("last_seen_at")
	if seen == "" || h.alive(second) || !h.alive(third) {
		t.Errorf("last_seen_at: got %q", seen)
	}
	h.backdate("sessions", 30*24*time.Hour, "created_at", "last_seen_at", "expires_at")
	eventually(t, "the old sessions are deleted", func() bool {
		return query[int](h, `SELECT count(*)::int FROM sessions WHERE user_id = $1`, first.id) == 0
	})
	gone := want("old sessions", map[string]any{"sessions": 0.0})
	if at, err := time.Parse(time.RFC3339, gone.text("last_seen_at")); err != nil || time.Since(at) < 29*24*time.Hour ||
		time.Since(at) > 31*24*time.Hour {
		t.Errorf("last_seen_at after the sessions were deleted: got %s, want thirty days ago", gone.text("last_seen_at"))
	}
}

func TestAdminEndsSessions(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	root, ann, bob := h.admin(), h.signUp(), h.signUp()
	second := h.signIn(ann.email, password)
	path := "/api/v1/users/" + ann.id + "/sessions"
	const none = "0123456789abcdef01234567"
	a := h.do(root.identity, "GET", path, nil).want(200, "", "Sessions retrieved successfully")
	list, _ := a.data.([]any)
	if len(list) != 2 || list[0].(map[string]any)["id"] != second.identity.SessionID ||
		list[0].(map[string]any)["current"] != false || a.header.Get("X-Realmgate-On-User") != ann.id {
		t.Errorf("sessions: got %s", a.body)
	}
	h.do(ann.identity, "GET", path, nil).want(403, "INSUFFICIENT_PERMISSIONS", "")
	h.do(root.identity, "GET", "/api/v1/users/"+none+"/sessions", nil).want(404, "USER_NOT_FOUND", "")
	h.do(root.identity, "GET", "/api/v1/users/nope/sessions", nil).want(400, "INVALID_ID_FORMAT", "")
	h.do(root.identity, "DELETE", path+"/nope", nil).want(400, "INVALID_ID_FORMAT", "")
	h.do(root.identity, "DELETE", path+"/"+bob.identity.SessionID, nil).want(404, "SESSION_NOT_FOUND", "")
	h.do(root.identity, "DELETE", "/api/v1/users/"+none+"/sessions/"+none, nil).want(404, "USER_NOT_FOUND", "")
	h.do(ann.identity, "DELETE", path+"/"+second.identity.SessionID, nil).want(403, "INSUFFICIENT_PERMISSIONS", "")
	h.do(root.identity, "DELETE", path+"/"+second.identity.SessionID, nil).want(200, "", "Session ended successfully")
	h.do(root.identity, "DELETE", path+"/"+second.identity.SessionID, nil).want(404, "SESSION_NOT_FOUND", "")
	if h.alive(second) || !h.alive(ann) || !h.alive(bob) {
		t.Error("exactly the second session should have ended")
	}
	if got := h.events(ann); !strings.Contains(got, "session_ended") {
		t.Errorf("security history: got %s, want session_ended", got)
	}
}

func TestAdminSetsPassword(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	root, ann := h.admin(), h.signUp()
	path, next := "/api/v1/users/"+ann.id+"/password", "Another-horse-2"
	for _, body := range []any{nil, map[string]any{"password": 1}, map[string]any{"password": next, "revoke_tokens": 1}} {
		h.do(root.identity, "POST", path, body).want(400, "VALIDATION_ERROR", "")
	}
	h.do(root.identity, "POST", path, map[string]any{"password": "weak"}).want(400, "WEAK_PASSWORD", "")
	h.do(ann.identity, "POST", path, map[string]any{"password": next}).want(403, "INSUFFICIENT_PERMISSIONS", "")
	h.do(root.identity, "POST", "/api/v1/users/0123456789abcdef01234567/password", map[string]any{"password": next}).
		want(404, "USER_NOT_FOUND", "")
	h.do(root.identity, "POST", "/api/v1/users/"+root.id+"/password", map[string]any{"password": next}).
		want(400, "CURRENT_PASSWORD_REQUIRED", "")
	h.createToken(ann.identity, nil)
	kept := h.do(root.identity, "POST", path, map[string]any{"password": "Third-horse-3", "revoke_tokens": false}).
		want(200, "", "Password set successfully")
	again := h.signIn(ann.email, "Third-horse-3")
	query[int](h, `WITH u AS (UPDATE users SET email_verified = false WHERE id = $1 RETURNING 1) SELECT 1 FROM u`, ann.id)
	set := h.do(root.identity, "POST", path, map[string]any{"password": next}).mustStatus(200)
	if kept.field("tokens_revoked") != 0.0 || set.field("tokens_revoked") != 1.0 || set.text("id") != ann.id ||
		set.field("email_verified") != true || set.header.Get("X-Realmgate-On-User") != ann.id {
		t.Errorf("got %s after %s", set.body, kept.body)
	}
	if h.alive(ann) || h.alive(again) || !h.alive(root) {
		t.Error("exactly the sessions of the user should have ended")
	}
	h.signIn(ann.email, next)
}

// TestAdminsNeedSecondFactor: with ADMIN_REQUIRE_2FA, to the gateways an admin without a second
// factor is none.
func TestAdminsNeedSecondFactor(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin, func(c *users.Config) { c.Sessions.AdminNeeds2FA = true })
	root, ann := h.admin(), h.signUp()
	state := func(u testUser, admin, locked any) {
		t.Helper()
		a := h.do(system, "GET", "/internal/sessions/"+u.identity.SessionID, nil).mustStatus(200)
		if a.field("admin") != admin || a.field("admin_needs_2fa") != locked {
			t.Errorf("state: got %s, want admin %v, admin_needs_2fa %v", a.body, admin, locked)
		}
	}
	state(root, false, true)
	state(ann, false, false)
	query[int](h, `WITH f AS (INSERT INTO two_factor (user_id, secret, enabled_at, failed_at, created_at)
		VALUES ($1, 'x', now(), now(), now()) RETURNING 1) SELECT 1 FROM f`, root.id)
	state(root, true, false)
}
