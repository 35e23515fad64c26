package users_test

import (
	"slices"
	"testing"
)

// addSessions inserts n live sessions that are older than those of the test and returns the id of
// the oldest.
func (h *harness) addSessions(p testUser, n int) string {
	h.t.Helper()
	return query[string](h, `WITH added AS (
			INSERT INTO sessions (id, user_id, created_at, last_seen_at, expires_at, max_at, ip_address, user_agent)
			SELECT 'aaaa' || lpad(to_hex(i), 20, '0'), $1, now() - interval '1 hour' + i * interval '1 second', now(),
				now() + interval '1 day', now() + interval '1 day', '192.0.2.1', 'ci'
			FROM generate_series(1, $2::int) i RETURNING id)
		SELECT min(id) FROM added`, p.id, n)
}

func (h *harness) liveSessions(p testUser) int {
	h.t.Helper()
	return query[int](h, `SELECT count(*)::int FROM sessions
		WHERE user_id = $1 AND ended_at IS NULL AND expires_at > now()`, p.id)
}

// TestSessionLimitEndsOldestSession: the end reaches every gateway and is in the history.
func TestSessionLimitEndsOldestSession(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	oldest := h.addSessions(ann, 999)
	alive := func(session string) bool {
		v, _ := h.do(system, "GET", "/internal/sessions/"+session, nil).mustStatus(200).field("alive").(bool)
		return v
	}
	if !alive(oldest) || h.liveSessions(ann) != 1000 {
		t.Fatalf("before: alive %v, %d sessions", alive(oldest), h.liveSessions(ann))
	}
	a := h.do(anonymous, "POST", loginPath, map[string]string{"email": ann.email, "password": password}).mustStatus(200)
	if a.header.Get("X-Realmgate-Changed") == "" {
		t.Error("the gateway that signed in is not told that sessions have changed")
	}
	newest := h.userOf(ann.email, a)
	if alive(oldest) || !alive("aaaa00000000000000000002") || !h.alive(ann) || !h.alive(newest) {
		t.Errorf("alive afterwards: oldest %v, first %v, newest %v", alive(oldest), h.alive(ann), h.alive(newest))
	}
	if n := h.liveSessions(ann); n != 1000 {
		t.Errorf("afterwards: %d sessions, want 1000", n)
	}
	var events []string
	path := "/api/v1/users/me/security-history?include_security=true"
	for _, e := range h.do(newest.identity, "GET", path, nil).mustStatus(200).data.([]any) {
		events = append(events, e.(map[string]any)["event"].(string))
	}
	if slices.Sort(events); !slices.Equal(events, []string{"login", "login", "session_limit"}) {
		t.Errorf("history: got %v, want two sign-ins and session_limit", events)
	}
	// The next login ends surplus sessions of an earlier release.
	query[int](h, `WITH back AS (
			UPDATE sessions SET ended_at = NULL, ended_why = NULL WHERE user_id = $1 RETURNING 1)
		SELECT count(*)::int FROM back`, ann.id)
	if h.signIn(ann.email, password); h.liveSessions(ann) != 1000 || alive(oldest) {
		t.Errorf("with one too many: %d sessions, want 1000", h.liveSessions(ann))
	}
}

// TestConcurrentLoginsKeepSessionLimit runs logins at two replicas; each gets its session.
func TestConcurrentLoginsKeepSessionLimit(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	h.addSessions(ann, 985)
	replicas := []string{h.baseURL, h.startReplica()}
	credentials := map[string]string{"email": ann.email, "password": password}
	ok := h.countConcurrent(40, func(i int) bool {
		return h.doAt(replicas[i%2], anonymous, "POST", loginPath, credentials).status == 200
	})
	left := query[int](h, `SELECT count(*)::int FROM sessions
		WHERE user_id = $1 AND ended_at IS NULL AND user_agent <> 'ci'`, ann.id)
	if n := h.liveSessions(ann); ok != 40 || n != 1000 || left != 41 {
		t.Errorf("%d of 40 signed in, %d sessions are live, %d of them opened here; want all, 1000 and 41", ok, n, left)
	}
}
