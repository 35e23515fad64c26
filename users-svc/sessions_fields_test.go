package users_test

import (
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/users-svc"
)

func TestAccessTokenNeverOutlivesItsSession(t *testing.T) {
	t.Parallel()
	h := start(t, func(c *users.Config) { c.Sessions.AccessTTL, c.Sessions.RefreshTTL = 24*time.Hour, time.Hour })
	ann := h.signUp()
	for name, a := range map[string]*response{
		"login":   h.tryLogin("192.0.2.1", ann.email, password).mustStatus(200),
		"refresh": h.refresh(ann.refresh).mustStatus(200),
	} {
		if a.field("expires_in") != 3600.0 || a.field("expires_at") != a.field("refresh_expires_at") {
			t.Errorf("%s: got an access token until %v (%v s), want the end of the session, %v", name,
				a.field("expires_at"), a.field("expires_in"), a.field("refresh_expires_at"))
		}
	}
}

func TestUserAgentOfSessionIsCut(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	a := h.do(anonymous, "POST", loginPath, map[string]string{"email": ann.email, "password": password},
		"User-Agent", strings.Repeat("ü", 401)).mustStatus(200)
	list := h.do(h.userOf(ann.email, a).identity, "GET", ownSessions, nil).mustStatus(200).data.([]any)
	if got := list[0].(map[string]any)["user_agent"]; got != strings.Repeat("ü", 400) {
		t.Errorf("user_agent: got %v, want the first 400 characters", got)
	}
}

// TestUseOfSessionIsStored: a gateway asks for the state of a session, and the list shows when.
func TestUseOfSessionIsStored(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann, bob := h.signUp(), h.signUp()
	lastSeen := func(u testUser) time.Time {
		list := h.do(u.identity, "GET", ownSessions, nil).mustStatus(200).data.([]any)
		seen, err := time.Parse(time.RFC3339, list[0].(map[string]any)["last_seen_at"].(string))
		if err != nil {
			t.Fatal(err)
		}
		return seen
	}
	before, beforeBob := lastSeen(ann), lastSeen(bob)
	h.clock.forward(time.Hour)
	if !h.alive(ann) {
		t.Fatal("the session is not alive")
	}
	for deadline := time.Now().Add(30 * time.Second); lastSeen(ann).Before(before.Add(time.Hour)); {
		if time.Now().After(deadline) {
			t.Fatalf("last_seen_at: got %v, want an hour after %v", lastSeen(ann), before)
		}
		time.Sleep(200 * time.Millisecond)
	}
	if got := lastSeen(bob); !got.Equal(beforeBob) {
		t.Errorf("last_seen_at of an unused session: got %v, want %v", got, beforeBob)
	}
}
