package users_test

import (
	"strings"
	"testing"
	"time"
)

// TestWhatChangesWhileAPasswordIsCheckedCounts holds an account's row while somebody signs in to it, and changes it after the password was checked.
func TestWhatChangesWhileAPasswordIsCheckedCounts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change string
		status int
		code   string
		holds  string
	}{
		"a ban":             {`UPDATE users SET is_banned = true WHERE id = $1`, 403, "ACCOUNT_BANNED", ""},
		"another password":  {`UPDATE users SET password_hash = 'x' WHERE id = $1`, 401, "INVALID_CREDENTIALS", ""},
		"a second factor":   {`INSERT INTO two_factor (user_id, secret, enabled_at, failed_at, created_at) VALUES ($1, 'x', now(), 'epoch', now())`, 200, "", `"requires_2fa":true`},
		"an alias":          {`UPDATE users SET alias = 'Someone else', updated_at = updated_at + interval '1 second' WHERE id = $1`, 200, "", `"alias":"Someone else"`},
		"the account's end": {`DELETE FROM users WHERE id = $1`, 404, "USER_NOT_FOUND", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t)
			ann := h.signUp()
			sessions := query[int](h, `SELECT count(*)::int FROM sessions WHERE user_id = $1`, ann.id)
			tx, err := h.database().Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(t.Context(), `SELECT FROM users WHERE id = $1 FOR UPDATE`, ann.id); err != nil {
				t.Fatal(err)
			}
			answered := make(chan *answer, 1)
			go func() { answered <- h.tryLogin("192.0.2.1", ann.email, password) }()
			for query[int](h, `SELECT count(*)::int FROM pg_locks WHERE NOT granted AND $1 <> ''`, ann.id) == 0 {
				time.Sleep(time.Millisecond)
			}
			if _, err := tx.Exec(t.Context(), c.change, ann.id); err != nil {
				t.Fatal(err)
			}
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			if a := (<-answered).want(c.status, c.code, ""); !strings.Contains(string(a.body), c.holds) {
				t.Errorf("got %s, want it to hold %s", a.body, c.holds)
			}
			more := query[int](h, `SELECT count(*)::int FROM sessions WHERE user_id = $1`, ann.id) - sessions
			if opened := strings.Contains(c.holds, "alias"); (more > 0) != opened {
				t.Errorf("%d sessions more, want one: %v", more, opened)
			}
		})
	}
}
