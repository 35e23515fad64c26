package users_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/alexedwards/argon2id"
)

// TestLoginSeesChangesDuringPasswordCheck changes the account after the password was verified and
// before the session is opened.
func TestLoginSeesChangesDuringPasswordCheck(t *testing.T) {
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
			a := h.doWhileLocked(ann.id, func() *response { return h.tryLogin("192.0.2.1", ann.email, password) }, c.change)
			if a.want(c.status, c.code, ""); !strings.Contains(string(a.body), c.holds) {
				t.Errorf("got %s, want it to hold %s", a.body, c.holds)
			}
			more := query[int](h, `SELECT count(*)::int FROM sessions WHERE user_id = $1`, ann.id) - sessions
			if opened := strings.Contains(c.holds, "alias"); (more > 0) != opened {
				t.Errorf("%d sessions more, want one: %v", more, opened)
			}
		})
	}
}

// TestLoginSeesPasswordChangeDuringHashRenewal verifies the old password against a weak hash and
// changes the password before the stronger hash is stored: the login is refused.
func TestLoginSeesPasswordChangeDuringHashRenewal(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	weak := func(password string) string {
		hash, err := argon2id.CreateHash(password,
			&argon2id.Params{Memory: 16, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32})
		if err != nil {
			t.Fatal(err)
		}
		return hash
	}
	query[string](h, `UPDATE users SET password_hash = $2 WHERE id = $1 RETURNING id`, ann.id, weak(password))
	another := `UPDATE users SET password_hash = '` + weak("another-"+password) + `' WHERE id = $1`
	h.doWhileLocked(ann.id, func() *response { return h.tryLogin("192.0.2.1", ann.email, password) }, another).want(401,
		"INVALID_CREDENTIALS", "")
}

// TestConcurrentFirstLoginsShowServer: every answer shows the server, also that of a login that
// finds another one claiming it.
func TestConcurrentFirstLoginsShowServer(t *testing.T) {
	t.Parallel()
	h := start(t)
	newcomer := func() string {
		email := newEmail()
		h.do(anonymous, "POST", signupPath, map[string]string{"email": email, "password": password}).mustStatus(200)
		return email
	}
	shows := func(email string) bool {
		a := h.tryLogin("192.0.2.1", email, password)
		ok := a.status == 200 && a.field("server.id") != nil && a.field("project.id") != nil && a.field("container.id") != nil
		if !ok {
			t.Errorf("a first login: got %d %s, want a server, a project and a container", a.status, a.body)
		}
		return ok
	}
	for range 3 {
		email := newcomer()
		h.countConcurrent(10, func(int) bool { return shows(email) })
	}

	tx, err := h.database().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT FROM servers FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	email := newcomer()
	var logins sync.WaitGroup
	for i := range 2 {
		logins.Go(func() { shows(email) })
		h.awaitBlocked(i + 1)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	logins.Wait()
}

// TestLoginDuringFirstLoginShowsServer includes a login that reads the account again because it
// changed meanwhile.
func TestLoginDuringFirstLoginShowsServer(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	// its server is hidden
	query[bool](h, `UPDATE projects SET is_default = false WHERE user_id = $1 RETURNING true`, ann.id)
	query[bool](h, `UPDATE users SET welcomed = false WHERE id = $1 RETURNING true`, ann.id)
	a := h.doWhileLocked(ann.id, func() *response { return h.tryLogin("192.0.2.1", ann.email, password) },
		`UPDATE projects SET is_default = true WHERE user_id = $1`,
		`UPDATE users SET welcomed = true, updated_at = updated_at + interval '1 second' WHERE id = $1`)
	if a.mustStatus(200).field("server.id") == nil {
		t.Errorf("no server in %s", a.body)
	}
}
