package users_test

import (
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/users-svc"
)

const historyPath = "/api/v1/users/me/security-history"

func events(a *response) string {
	var names []string
	for _, e := range a.data.([]any) {
		entry := e.(map[string]any)
		names = append(names, entry["event"].(string)+":"+entry["outcome"].(string))
	}
	return strings.Join(names, " ")
}

func TestSecurityHistory(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	h.tryLogin("198.51.100.7", ann.email, "Wrong-horse-1").mustStatus(401)
	other := h.signIn(ann.email, password)
	h.do(ann.identity, "PATCH", "/api/v1/users/"+ann.id,
		map[string]string{"password": "Another-horse-2", "current_password": password}).mustStatus(200)
	_ = other
	for query, want := range map[string]string{
		"":                       "login:success login:success",
		"?include_failed=true":   "login:success login:failed login:success",
		"?include_security=true": "password_changed:success login:success login:success",
		"?include_failed=true&include_security=true": "password_changed:success login:success login:failed login:success",
		"?include_failed=true&limit=1&page=2":        "login:failed",
		"?page=10000":                                "",
	} {
		a := h.do(ann.identity, "GET", historyPath+query, nil).want(200, "", "Login history retrieved successfully")
		if got := events(a); got != want {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
	failed := h.do(ann.identity, "GET", historyPath+"?include_failed=true&limit=1&page=2", nil).mustStatus(200)
	entry := failed.data.([]any)[0].(map[string]any)
	if entry["ip_address"] != "198.51.100.7" || entry["client"] != nil || len(entry) != 6 ||
		failed.metadata["total"] != 3.0 ||
		failed.metadata["pages"] != 3.0 {
		t.Errorf("entry: got %v, %v", entry, failed.metadata)
	}
	for _, query := range []string{"page=0", "page=10001", "limit=101", "limit=-1", "include_failed=1",
		"include_security=yes"} {
		h.do(ann.identity, "GET", historyPath+"?"+query, nil).want(400, "VALIDATION_ERROR", "")
	}
}

// TestHistoryHidesDeviceOfAdmin: users do not see from where an admin acted, as in the activity
// log. An admin's changes to their own account show the device.
func TestHistoryHidesDeviceOfAdmin(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	root, ann := h.admin(), h.signUp()
	h.enableTwoFactor(&ann)
	root.identity.ClientAddr = "203.0.113.77"
	user := "/api/v1/users/" + ann.id
	h.do(root.identity, "DELETE", user+"/2fa", nil).mustStatus(200)
	h.do(root.identity, "PATCH", user, map[string]any{"password": "Another-horse-2"}).mustStatus(200)
	h.do(root.identity, "POST", user+"/ban", `{"reason":"x"}`).mustStatus(200)
	h.do(root.identity, "POST", user+"/unban", nil).mustStatus(200)
	h.do(root.identity, "POST", user+"/logout", nil).mustStatus(200)
	ann = h.signIn(ann.email, "Another-horse-2")
	a := h.do(ann.identity, "GET", historyPath+"?include_security=true", nil).mustStatus(200)
	if got, want := events(a), "login:success logout:success unbanned:success banned:success password_changed:success 2fa_reset:success"; !strings.HasPrefix(got, want) {
		t.Errorf("history: got %s, want it to begin with %s", got, want)
	}
	if strings.Contains(string(a.body), "203.0.113.77") {
		t.Errorf("the user sees the admin's address: %s", a.body)
	}
	h.do(root.identity, "POST", "/api/v1/users/"+root.id+"/logout", nil).mustStatus(200)
	own := h.do(h.admin().identity, "GET", historyPath+"?include_security=true", nil).mustStatus(200)
	if !strings.Contains(string(own.body), `"event":"logout","outcome":"success","ip_address":"203.0.113.77"`) {
		t.Errorf("the admin's own history: got %s, want the address of the logout", own.body)
	}
}

// TestExpiredSessionIsKeptForADay: until then its refresh token is distinguished from a forged one.
func TestExpiredSessionIsKeptForADay(t *testing.T) {
	t.Parallel()
	h := start(t, func(c *users.Config) { c.CleanupEvery = 30 * time.Millisecond })
	ann := h.signUp()
	h.tryLogin("198.51.100.7", ann.email, "Wrong-horse-1").mustStatus(401)
	h.backdate("login_throttle", h.cfg.Sessions.RefreshTTL, "forget_at")
	h.backdate("sessions", h.cfg.Sessions.RefreshTTL+23*time.Hour, "created_at", "expires_at")
	eventually(t, "a cleanup has forgotten the failure",
		func() bool { return query[int](h, `SELECT count(*)::int FROM login_throttle`) == 0 })
	h.refresh(ann.refresh).want(401, "TOKEN_EXPIRED", "")
	h.backdate("sessions", time.Hour+time.Minute, "created_at", "expires_at")
	eventually(t, "the session is gone", func() bool { return query[int](h, `SELECT count(*)::int FROM sessions`) == 0 })
	h.refresh(ann.refresh).want(401, "INVALID_TOKEN", "")
}

func TestHistoryAndSessionsExpire(t *testing.T) {
	t.Parallel()
	h := start(t, func(c *users.Config) { c.CleanupEvery = 30 * time.Millisecond })
	ann := h.signUp()
	h.tryLogin("198.51.100.7", ann.email, "Wrong-horse-1").mustStatus(401)
	// The transaction that deletes the history deletes the sessions too.
	h.backdate("sessions", 181*24*time.Hour, "created_at", "expires_at")
	h.backdate("login_history", 181*24*time.Hour, "created_at")
	eventually(t, "the history is empty", func() bool {
		return h.do(ann.identity, "GET", historyPath+"?include_failed=true", nil).mustStatus(200).metadata["total"] == 0.0
	})
	h.refresh(ann.refresh).want(401, "INVALID_TOKEN", "") // the session is gone, not only expired
	h.signIn(ann.email, password)
}
