package users_test

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/testkit"
	"github.com/realmgate/realmgate/users-svc"
)

// awaitBlocked waits until n connections of the harness's database wait for a lock.
func (h *harness) awaitBlocked(n int) {
	h.t.Helper()
	for deadline := time.Now().Add(testkit.Patience); ; time.Sleep(time.Millisecond) {
		switch got := query[int](h, `SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`); {
		case got >= n:
			return
		case time.Now().After(deadline):
			h.t.Fatalf("%d connections wait for a lock, want %d", got, n)
		}
	}
}

// doWhileLocked locks the row of an account until request waits for it, runs the changes, whose $1
// is the account's id, commits, and returns the response.
func (h *harness) doWhileLocked(id string, request func() *response, changes ...string) *response {
	h.t.Helper()
	tx, err := h.database().Begin(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := tx.Exec(h.t.Context(), `SELECT FROM users WHERE id = $1 FOR UPDATE`, id); err != nil {
		h.t.Fatal(err)
	}
	answered := make(chan *response, 1)
	go func() { answered <- request() }()
	h.awaitBlocked(1)
	for _, change := range changes {
		if _, err := tx.Exec(h.t.Context(), change, id); err != nil {
			h.t.Fatal(err)
		}
	}
	if err := tx.Commit(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	return <-answered
}

// database connects to the service's schema, for data that no endpoint shows.
func (h *harness) database() *pgx.Conn {
	h.t.Helper()
	conn, err := pgx.Connect(h.t.Context(), h.cfg.DB.URL.Reveal())
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	if _, err := conn.Exec(h.t.Context(), "SET search_path TO users_svc"); err != nil {
		h.t.Fatal(err)
	}
	return conn
}

func TestLoginRenewsWeakHash(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	conn := h.database()
	hash := func() (s string) {
		if err := conn.QueryRow(t.Context(), "SELECT password_hash FROM users WHERE id = $1", ann.id).Scan(&s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	weak := hash()
	if !strings.HasPrefix(weak, "$argon2id$v=19$m=64,t=1,p=1$") {
		t.Fatalf("hash: got %s", weak)
	}
	h.signIn(ann.email, password)
	if hash() != weak {
		t.Error("a login renewed a hash that is as strong as the settings")
	}
	h.cfg.Passwords.MemoryKiB, h.cfg.Passwords.Time = 128, 2
	h.baseURL = h.startReplica()
	h.tryLogin("192.0.2.1", ann.email, "Wrong-horse-1").mustStatus(401)
	if hash() != weak {
		t.Error("a failed login renewed the hash")
	}
	if ok := h.countConcurrent(5,
		func(int) bool { return h.tryLogin("192.0.2.1", ann.email, password).status == 200 }); ok != 5 {
		t.Errorf("logins at once that renew: got %d, want 5", ok)
	}
	if renewed := hash(); !strings.HasPrefix(renewed, "$argon2id$v=19$m=128,t=2,p=1$") {
		t.Errorf("hash after login: got %s", renewed)
	}
	if !h.alive(ann) {
		t.Error("renewing a hash is no change of the password: sessions go on")
	}
}

func TestGeneratedUsernameGrowsWhenShortOnesAreTaken(t *testing.T) {
	t.Parallel()
	h := start(t)
	conn := h.database()
	// These indexes make many rows slow, and names do not need them.
	if _, err := conn.Exec(t.Context(), "DROP INDEX users_search, users_hash_kind"); err != nil {
		t.Fatal(err)
	}
	_, err := conn.Exec(t.Context(), `INSERT INTO users
		(id, username, email, email_key, alias, password_hash, email_verified, signup_method, created_at, updated_at)
		SELECT '0000000000000000' || lpad(to_hex(n), 8, '0'), 'info-' || lpad(to_hex(n), 4, '0'), n || '@x', n || '@x', 'x', 'x', true, 'email', now(), now()
		FROM generate_series(0, 65535) n`)
	if err != nil {
		t.Fatal(err)
	}
	h.do(anonymous, "POST", signupPath,
		map[string]string{"email": "info@example.com", "password": password}).mustStatus(200)
	if name := h.tryLogin("192.0.2.1", "info@example.com",
		password).mustStatus(200).text("user.username"); !regexp.MustCompile("^info-[0-9a-f]{12}$").MatchString(name) {
		t.Errorf("username: got %s", name)
	}
}

// TestForeignKeysHaveIndexes: without an index, deleting a row scans every table that references
// it.
func TestForeignKeysHaveIndexes(t *testing.T) {
	t.Parallel()
	h := start(t)
	missing := query[string](h, `SELECT coalesce(string_agg(c.conrelid::regclass || '.' || a.attname, ', '), '') FROM pg_constraint c
		JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
		WHERE c.contype = 'f' AND c.confrelid IN ('users'::regclass, 'two_factor'::regclass, 'sessions'::regclass, 'auth_tokens'::regclass)
			AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.conrelid AND i.indisvalid AND i.indkey[0] = c.conkey[1])`)
	if missing != "" {
		t.Errorf("foreign keys without an index: %s", missing)
	}
}

func TestSecretsAreNotInTheDatabase(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	root := h.admin()
	next := h.refresh(root.refresh).mustStatus(200).text("refreshToken")
	conn := h.database()
	for _, secret := range []string{password, root.refresh, next, root.token} {
		for _, table := range []string{"users", "sessions", "refresh_tokens", "signing_keys", "login_history"} {
			var n int
			if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM "+table+" t WHERE strpos(t::text, $1) > 0",
				secret).Scan(&n); err != nil || n != 0 {
				t.Errorf("%s holds a secret in clear: %d rows, %v", table, n, err)
			}
		}
	}
	h.cfg.KeyEncryptionKey = otherKeyEncryptionKey
	if _, err := users.New(t.Context(), h.cfg, h.runtime()); err == nil ||
		!strings.Contains(err.Error(), "KEY_ENCRYPTION_KEY") {
		t.Errorf("start with another key-encryption key: got %v, want an error that names the setting", err)
	}
	h.cfg.KeyEncryptionKey += "," + keyEncryptionKey
	h.baseURL = h.startReplica()
	if h.do(root.identity, "GET", "/api/v1/users/me", nil).status != 200 || len(h.jwks()) != 1 {
		t.Error("a second key that opens should be enough")
	}
}
