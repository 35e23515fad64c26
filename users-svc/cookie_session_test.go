package users_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/internalapi"
)

// cookieCall sends a refresh token as the gateway does that found it in the console's cookie.
func (h *harness) cookieCall(url, path, token string) *response {
	h.t.Helper()
	return h.doAt(url, anonymous, "POST", path, map[string]string{"refreshToken": token},
		internalapi.CookieSessionHeader, "1")
}

// TestTabsThatRefreshOneCookieGetOneNewCookie races tabs at two replicas with the same cookie.
func TestTabsThatRefreshOneCookieGetOneNewCookie(t *testing.T) {
	t.Parallel()
	h := start(t, noRefreshLimit)
	ann := h.signUp()
	replicas := []string{h.baseURL, h.startReplica()}
	const tabs = 12
	got := make([]string, tabs)
	ok := h.countConcurrent(tabs, func(i int) bool {
		a := h.cookieCall(replicas[i%2], refreshPath, ann.refresh)
		got[i], _ = a.field("refreshToken").(string)
		return a.status == http.StatusOK && a.text("token") != ""
	})
	var cookies []string
	for _, token := range got {
		if token != "" {
			cookies = append(cookies, token)
		}
	}
	if ok != tabs || len(cookies) != 1 {
		t.Fatalf("tabs that stay signed in: got %d, want %d; new cookies: got %d, want 1", ok, tabs, len(cookies))
	}
	h.cookieCall(h.baseURL, refreshPath, cookies[0]).mustStatus(200)
	if !h.alive(ann) {
		t.Error("the session has ended")
	}
}

// TestLateUseOfRotatedCookieEndsSession although the cookie that replaced it was never used.
func TestLateUseOfRotatedCookieEndsSession(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	successor := h.cookieCall(h.baseURL, refreshPath, ann.refresh).mustStatus(200).text("refreshToken")
	h.clock.forward(h.cfg.Sessions.Grace + time.Second)
	h.cookieCall(h.baseURL, refreshPath, ann.refresh).want(401, "INVALID_TOKEN", "")
	h.cookieCall(h.baseURL, refreshPath, successor).want(401, "INVALID_TOKEN", "")
	if h.alive(ann) {
		t.Error("the session is alive after a cookie was used that had been replaced")
	}
}

// TestLogoutByCookieEndsOneSession of several, once, also when it is called again.
func TestLogoutByCookieEndsOneSession(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	other := h.signIn(ann.email, password)
	const logout = "/api/v1/users/auth/logout"
	h.cookieCall(h.baseURL, refreshPath, ann.refresh).mustStatus(200)
	for range 2 {
		h.cookieCall(h.baseURL, logout, ann.refresh).mustStatus(200) // also by the token that was replaced
	}
	h.cookieCall(h.baseURL, logout, "unknown").mustStatus(200)
	if h.alive(ann) || !h.alive(other) {
		t.Errorf("sessions alive: got %v and %v, want false and true", h.alive(ann), h.alive(other))
	}
}
