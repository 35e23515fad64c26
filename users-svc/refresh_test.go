package users_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/ratelimit"
	"github.com/realmgate/realmgate/users-svc"
)

func noRefreshLimit(c *users.Config) { c.Sessions.RefreshRate = ratelimit.Rate{} }

// BenchmarkRefresh measures one refresh.
func BenchmarkRefresh(b *testing.B) {
	h := start(b, noRefreshLimit)
	token := h.signUp().refresh
	for b.Loop() {
		token = h.refresh(token).mustStatus(200).text("refreshToken")
	}
}

// TestConcurrentRefreshesKeepOneTokenChain: clients of two replicas share a session, and each
// refreshes the token it got last. All stay signed in, and the session never has more than one
// current token.
func TestConcurrentRefreshesKeepOneTokenChain(t *testing.T) {
	t.Parallel()
	h := start(t, noRefreshLimit)
	ann := h.signUp()
	replicas := []string{h.baseURL, h.startReplica()}
	const clients, rounds = 8, 10
	ok := h.countConcurrent(clients, func(i int) bool {
		token := ann.refresh
		for range rounds {
			a := h.doAt(replicas[i%2], anonymous, "POST", refreshPath, map[string]string{"refreshToken": token})
			if a.status != http.StatusOK {
				t.Errorf("refresh: got %d %s", a.status, a.body)
				return false
			}
			token = a.text("refreshToken")
		}
		return true
	})
	if ok != clients {
		t.Fatalf("clients that stayed signed in: got %d, want %d", ok, clients)
	}
	chain := query[string](h, `SELECT count(*) FILTER (WHERE replaced_at IS NULL) || ' of ' || count(*) FROM refresh_tokens WHERE session_id = $1`, ann.identity.SessionID)
	current, all, _ := strings.Cut(chain, " of ")
	if current != "1" || all == "1" {
		t.Errorf("tokens that are current: %s, want 1", chain)
	}
	if !h.alive(ann) {
		t.Error("the session has ended")
	}
}

// TestReuseWithinGraceKeepsExpiry: the session ends at the time that the refresh which replaced the
// token announced.
func TestReuseWithinGraceKeepsExpiry(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	first := h.refresh(ann.refresh).mustStatus(200)
	h.clock.forward(h.cfg.Sessions.Grace / 2)
	second := h.refresh(ann.refresh).mustStatus(200)
	for _, field := range []string{"refreshToken", "refresh_expires_at"} {
		if a, b := first.text(field), second.text(field); a == "" || a != b {
			t.Errorf("%s: got %q after %q", field, b, a)
		}
	}
}

// TestConcurrentReplaysEndSessionOnce replays old tokens of several sessions of a user at once:
// each session ends once, and each end is announced.
func TestConcurrentReplaysEndSessionOnce(t *testing.T) {
	t.Parallel()
	h := start(t, noRefreshLimit)
	ann := h.signUp()
	sessions := []testUser{ann, h.signIn(ann.email, password), h.signIn(ann.email, password)}
	for _, one := range sessions {
		h.refresh(h.refresh(one.refresh).mustStatus(200).text("refreshToken")).mustStatus(200)
	}
	version := query[int](h, `SELECT state_version::int FROM users WHERE id = $1`, ann.id)
	h.clock.forward(h.cfg.Sessions.Grace + time.Second)
	refused := h.countConcurrent(24, func(i int) bool { return h.refresh(sessions[i%3].refresh).code == "INVALID_TOKEN" })
	if refused != 24 {
		t.Errorf("old tokens that were refused with 401 INVALID_TOKEN: got %d, want 24", refused)
	}
	for _, one := range sessions {
		if h.alive(one) {
			t.Error("a session lives on after the re-use of an old token")
		}
	}
	if n := query[int](h, `SELECT count(*)::int FROM login_history WHERE user_id = $1 AND event = 'refresh_reuse' AND failed AND security`, ann.id); n != 3 {
		t.Errorf("lines of the history: got %d, want one for each session", n)
	}
	if raised := query[int](h, `SELECT state_version::int FROM users WHERE id = $1`, ann.id) - version; raised != 3 {
		t.Errorf("the version of the user's state: raised by %d, want 3", raised)
	}
}

// TestReplayEndsSessionDespiteRateLimit: a thief who keeps the session's rate limit used up must
// still be detected.
func TestReplayEndsSessionDespiteRateLimit(t *testing.T) {
	t.Parallel()
	h := start(t, func(c *users.Config) { c.Sessions.RefreshRate.Count = 3 })
	ann := h.signUp()
	stolen := h.refresh(ann.refresh).mustStatus(200).text("refreshToken")
	for range 2 {
		stolen = h.refresh(stolen).mustStatus(200).text("refreshToken")
	}
	h.refresh(ann.refresh).want(429, "RATE_LIMITED", "") // within the grace period it is valid
	if !h.alive(ann) {
		t.Fatal("a token within its grace ended the session")
	}
	h.clock.forward(h.cfg.Sessions.Grace + time.Second)
	h.refresh(ann.refresh).want(401, "INVALID_TOKEN", "")
	if h.alive(ann) {
		t.Error("the session is alive after the re-use of an old token")
	}
	h.refresh(ann.refresh).want(429, "RATE_LIMITED", "") // the session has ended, so the limit counts
}

// TestRefreshSeesConcurrentChanges holds the account's row during a refresh and changes something
// meanwhile.
func TestRefreshSeesConcurrentChanges(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change string
		status int
		code   string
	}{
		"a ban": {`UPDATE users SET is_banned = true WHERE id = $1`, 403, "ACCOUNT_BANNED"},
		"the session's end": {`UPDATE sessions SET ended_at = now(), ended_why = 'logout' WHERE user_id = $1`, 401,
			"INVALID_TOKEN"},
		"the session's expiry":  {`UPDATE sessions SET expires_at = 'epoch' WHERE user_id = $1`, 401, "TOKEN_EXPIRED"},
		"the account's end":     {`DELETE FROM users WHERE id = $1`, 401, "INVALID_TOKEN"},
		"the session's cleanup": {`DELETE FROM sessions WHERE user_id = $1`, 401, "INVALID_TOKEN"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t)
			ann := h.signUp()
			h.doWhileLocked(ann.id, func() *response { return h.refresh(ann.refresh) }, c.change).want(c.status, c.code, "")
			if n := query[int](h, `SELECT count(*)::int FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id WHERE s.user_id = $1`, ann.id); n > 1 {
				t.Errorf("%d tokens, want no new one", n)
			}
		})
	}
}

// TestLostRefreshAnswerIsRepeated: a token returns the same successor long after its grace period,
// until the successor is used.
func TestLostRefreshAnswerIsRepeated(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	lost := h.refresh(ann.refresh).mustStatus(200).text("refreshToken")
	h.clock.forward(24 * time.Hour)
	got := make([]string, 6)
	replicas := []string{h.baseURL, h.startReplica()}
	h.countConcurrent(len(got), func(i int) bool {
		a := h.doAt(replicas[i%2], anonymous, "POST", refreshPath, map[string]string{"refreshToken": ann.refresh})
		got[i], _ = a.field("refreshToken").(string)
		return a.status == http.StatusOK
	})
	for _, token := range got {
		if token != lost {
			t.Errorf("successor: got %q, want %q again", token, lost)
		}
	}
	h.refresh(lost).mustStatus(200)
	h.refresh(ann.refresh).want(401, "INVALID_TOKEN", "")
	if h.alive(ann) {
		t.Error("the session is alive after an old token was used although its successor was")
	}
}

// TestOldTokenRacesItsSuccessor: an old token and its successor are used at once. Each answer is
// right for one of the two orders, and the session ends if and only if the old token was refused.
func TestOldTokenRacesItsSuccessor(t *testing.T) {
	t.Parallel()
	h := start(t, noRefreshLimit)
	for range 8 {
		ann := h.signUp()
		successor := h.refresh(ann.refresh).mustStatus(200).text("refreshToken")
		h.clock.forward(h.cfg.Sessions.Grace + time.Second)
		var status [2]int
		h.countConcurrent(2, func(i int) bool {
			status[i] = h.refresh([]string{ann.refresh, successor}[i]).status
			return true
		})
		if alive := h.alive(ann); alive != (status[0] == 200) || alive && status[1] != 200 {
			t.Errorf("statuses of the old token and its successor: got %v with a session alive: %v", status, alive)
		}
	}
}

// TestRefreshLimitAllowsShortAccessTokens: a client that refreshes whenever half of the lifetime of
// its access token is over is never refused.
func TestRefreshLimitAllowsShortAccessTokens(t *testing.T) {
	t.Parallel()
	h := start(t, func(c *users.Config) {
		c.Sessions.AccessTTL = time.Minute
		c.Sessions.RefreshRate = ratelimit.Rate{Count: 3, Period: 10 * time.Minute}
	})
	token := h.signUp().refresh
	for range 20 {
		token = h.refresh(token).mustStatus(200).text("refreshToken")
	}
	if a := h.refresh(token).want(429, "RATE_LIMITED", ""); a.header.Get("RateLimit-Limit") != "20" {
		t.Errorf("RateLimit-Limit: got %q, want 20", a.header.Get("RateLimit-Limit"))
	}
}

// TestLogoutByRefreshToken: a client without a valid access token ends the sessions with its
// refresh token.
func TestLogoutByRefreshToken(t *testing.T) {
	t.Parallel()
	h := start(t)
	logout := func(token any) *response {
		return h.do(anonymous, "POST", logoutPath, map[string]any{"refreshToken": token})
	}
	h.do(anonymous, "POST", logoutPath, nil).want(401, "MISSING_TOKEN", "")
	h.do(anonymous, "POST", logoutPath, `{"refresh_token":"x"}`).want(401, "MISSING_TOKEN", "")
	logout(1).want(400, "VALIDATION_ERROR", "")
	logout("").want(400, "VALIDATION_ERROR", "")
	logout("unknown").want(401, "INVALID_TOKEN", "")
	ann, bob := h.signUp(), h.signUp()
	second := h.signIn(ann.email, password)
	h.refresh(ann.refresh).mustStatus(200) // within the grace period and after a lost answer, the token is good
	h.clock.forward(25 * time.Hour)
	logout(ann.refresh).want(200, "", "Logout successful")
	if h.alive(ann) || h.alive(second) || !h.alive(bob) {
		t.Error("logout should end every session of the user and no other")
	}
	logout(ann.refresh).want(401, "INVALID_TOKEN", "")

	first := h.refresh(bob.refresh).mustStatus(200).text("refreshToken")
	h.refresh(first).mustStatus(200)
	other := h.signIn(bob.email, password)
	h.clock.forward(h.cfg.Sessions.Grace + time.Second)
	logout(bob.refresh).want(401, "INVALID_TOKEN", "")
	if h.alive(bob) || !h.alive(other) {
		t.Error("a stolen token should end its own session and no other")
	}
	a := h.do(other.identity, "POST", logoutPath, `{"refreshToken":"any"}`).want(200, "", "Logout successful")
	if strings.Contains(string(a.body), "warnings") {
		t.Errorf("got %s, want no warning about refreshToken", a.body)
	}
}
