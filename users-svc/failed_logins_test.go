package users_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// failedLogins runs the command and returns its lines with single blanks, without the times.
func (h *harness) failedLogins(args ...string) []string {
	h.t.Helper()
	out, err := h.command("logins failed", args...)
	if err != nil {
		h.t.Fatal(err)
	}
	out = regexp.MustCompile(` +\d{4}-\d\d-\d\dT\S+Z\n`).ReplaceAllString(out, "\n")
	return strings.Split(strings.TrimSpace(regexp.MustCompile(` +`).ReplaceAllString(out, " ")), "\n")
}

// TestFailedLoginsAreListedByAddress includes logins with unknown names and with wrong second
// factors.
func TestFailedLoginsAreListedByAddress(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann, bob := h.signUp(), h.signUp()
	app := h.enableTwoFactor(&bob)
	for range 3 {
		h.tryLogin("203.0.113.9", newEmail(), "Wrong-horse-1").want(401, "", "")
	}
	h.tryLogin("203.0.113.9", ann.email, "Wrong-horse-1").want(401, "", "")
	h.tryLogin("203.0.113.9", bob.email, "Wrong-horse-1").want(401, "", "")
	h.tryLogin("2001:db8::1", ann.email, "Wrong-horse-1").want(401, "", "")
	h.tryLogin("2001:db8::2", "nobody", "Wrong-horse-1").want(401, "", "")
	h.tryLogin("198.51.100.7", ann.email, password).want(200, "", "")
	wrong := map[string]any{"temp_token": h.challenge(bob), "code": app.wrong()}
	h.do(anonymousFrom("198.51.100.8"), "POST", factorPath+"/verify", wrong).want(401, "INVALID_OTP_CODE", "")
	// A wrong current password in a session is no failed login.
	body := map[string]string{"password": "Another-horse-2", "current_password": "Wrong-horse-1"}
	h.do(ann.identity, "PATCH", "/api/v1/users/"+ann.id, body).want(400, "", "")
	want := []string{"ADDRESS FAILED UNKNOWN NAMES ACCOUNTS LAST", "203.0.113.9 5 3 2", "2001:db8::/64 2 1 1",
		"198.51.100.8 1 0 1", "3 of 3 addresses"}
	if got := h.failedLogins(); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	want = append(want[:2:2], "1 of 3 addresses")
	if got := h.failedLogins("-limit", "1"); !slices.Equal(got, want) {
		t.Errorf("the first: got %q\nwant %q", got, want)
	}
	h.clock.forward(3 * time.Hour)
	h.tryLogin("198.51.100.8", ann.email, "Wrong-horse-1").want(401, "", "")
	want = []string{want[0], "198.51.100.8 1 0 1", "1 of 1 addresses"}
	if got := h.failedLogins("-since", "1h"); !slices.Equal(got, want) {
		t.Errorf("of the last hours: got %q\nwant %q", got, want)
	}
	if got := h.failedLogins(); got[2] != "198.51.100.8 2 0 2" && got[3] != "198.51.100.8 2 0 2" {
		t.Errorf("of the day: got %q", got)
	}
	for _, args := range [][]string{{"-since", "0s"}, {"-limit", "0"}, {"all"}} {
		if out, err := h.command("logins failed", args...); err == nil {
			t.Errorf("%v: got %s, want an error", args, out)
		}
	}
}

// TestConcurrentFailedLoginsAreAllCounted runs them at two replicas.
func TestConcurrentFailedLoginsAreAllCounted(t *testing.T) {
	t.Parallel()
	h := start(t)
	replicas := []string{h.baseURL, h.startReplica()}
	h.countConcurrent(60, func(i int) bool {
		body := map[string]string{"email": newEmail(), "password": "Wrong-horse-1"}
		return h.doAt(replicas[i%2], anonymousFrom("203.0.113.9"), "POST", loginPath, body).mustStatus(401).status == 401
	})
	if got := h.failedLogins(); got[1] != "203.0.113.9 60 60 0" {
		t.Errorf("got %q, want all 60", got)
	}
}

// TestFailedLoginsExpire: they are kept as long as the history.
func TestFailedLoginsExpire(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.tryLogin("203.0.113.9", newEmail(), "Wrong-horse-1").want(401, "", "")
	h.backdate("failed_logins", h.cfg.HistoryRetention+2*time.Hour, "hour")
	h.cfg.CleanupEvery = 50 * time.Millisecond
	h.startReplica()
	eventually(t, "the count is deleted",
		func() bool { return query[int](h, `SELECT count(*)::int FROM failed_logins`) == 0 })
}
