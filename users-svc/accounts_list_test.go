package users_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/testkit"
	"github.com/realmgate/realmgate/users-svc"
)

// addUsers inserts n users, numbered from first, as the previous release would: without the counts
// and the search.
func addUsers(t *testing.T, conn *pgx.Conn, first, n int) {
	t.Helper()
	_, err := conn.Exec(t.Context(), `INSERT INTO users_svc.users (id, username, email, email_key, alias, password_hash, email_verified, signup_method, created_at, updated_at)
		SELECT lpad(to_hex(n), 24, '0'), 'Grown-' || n, 'Grown' || n || '@example.org', 'grown' || n || '@example.org', 'Ünïcode ' || n, '!', true, 'email', now(), now()
		FROM generate_series($1::int, $1::int + $2::int - 1) AS n`, first, n)
	if err != nil {
		t.Fatal(err)
	}
}

func TestSearchOfManyUsersUsesIndex(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	root, conn := h.admin(), h.database()
	const many = 6000 // more than the search scans one by one
	addUsers(t, conn, 1, many)
	if _, err := conn.Exec(t.Context(), "ANALYZE users"); err != nil {
		t.Fatal(err)
	}
	read := func() (rows int) {
		if err := conn.QueryRow(t.Context(),
			"SELECT seq_tup_read FROM pg_stat_user_tables WHERE schemaname = 'users_svc' AND relname = 'users'").Scan(&rows); err != nil {
			t.Fatal(err)
		}
		return rows
	}
	before := read()
	const searches = 16
	for _, c := range []struct {
		query string
		total float64
		first string
	}{
		{"grown-5999", 1, "Grown-5999"}, {"GROWN599", 11, "Grown-5999"}, {"599@EXAMPLE.ORG", 6, "Grown-5599"},
		{"Ünïcode 59", 111, "Grown-5999"}, {"ÜnïCODE", 1000, "Grown-6000"},
		{"5999@x", 0, ""}, {"wn-5999", 1, "Grown-5999"}, {"n-999", 1, "Grown-999"}, {"ro", 1000, ""},
		{"n-6", 112, "Grown-6000"}, {"ï", 1000, "Grown-6000"}, {"%", 0, ""},
		{"xy", 0, ""}, {"000000000000000000000001", 1, "Grown-1"}, {"example.org\ngrown", 0, ""},
		{strings.Repeat("ï", 255), 0, ""},
	} {
		a := h.do(root.identity, "GET", "/api/v1/users?limit=1&q="+url.QueryEscape(c.query), nil).mustStatus(200)
		if list := a.data.([]any); a.metadata["total"] != c.total || c.first != "" &&
			(len(list) != 1 || list[0].(map[string]any)["username"] != c.first) {
			t.Errorf("%q: got %v and %v, want %v and %s first", c.query, a.metadata["total"], list, c.total, c.first)
		}
	}
	eventually(t, "scans of the index", func() bool {
		// EXPLAIN ANALYZE reports the work of the statement
		h.do(root.identity, "GET", "/api/v1/users?q=nothing-like-it", nil).mustStatus(200)
		var scans int
		err := conn.QueryRow(t.Context(),
			"SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'users_search'").Scan(&scans)
		return err == nil && scans > 0
	})
	if rows := read() - before; rows > many {
		t.Errorf("%d searches read %d users one after the other", searches, rows)
	}
}

func TestUserListPagination(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	root, conn := h.admin(), h.database()
	addUsers(t, conn, 1, 2500)
	page := func(query string) (names []string, total float64) {
		a := h.do(root.identity, "GET", "/api/v1/users?"+query, nil).mustStatus(200)
		for _, u := range a.data.([]any) {
			names = append(names, u.(map[string]any)["username"].(string))
		}
		return names, a.metadata["total"].(float64)
	}
	for _, c := range []struct {
		query, want string
		total       float64
	}{
		{"limit=2&page=1250", "[Grown-3 Grown-2]", 2501}, {"limit=2&page=1251", "[Grown-1]", 2501},
		{"limit=2&page=10000", "[]", 2501},
		{"limit=2&page=2&is_admin=false", "[Grown-2498 Grown-2497]", 2500}, {"limit=2&is_banned=true", "[]", 0},
		// a search finds at most 1,000 users
		{"q=grown-&limit=2&page=500", "[Grown-1502 Grown-1501]", 1000}, {"q=grown-&limit=2&page=501", "[]", 1000},
		{"q=grown-25&limit=5&page=3", "[Grown-250 Grown-25]", 12},
	} {
		if names, total := page(c.query); fmt.Sprint(names) != c.want || total != c.total {
			t.Errorf("%s: got %v of %v, want %s of %v", c.query, names, total, c.want, c.total)
		}
	}
}

func TestUserCountsFollowConcurrentAndForeignWrites(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	root := h.admin()
	check := func(after string, all, admins, banned float64) {
		t.Helper()
		for query, want := range map[string]float64{"": all, "?is_admin=true": admins, "?is_banned=true": banned,
			"?is_admin=false": all - admins, "?is_banned=false": all - banned} {
			if a := h.do(root.identity, "GET", "/api/v1/users"+query, nil).mustStatus(200); a.metadata["total"] != want {
				t.Errorf("after %s, %s: got %v, want %v", after, query, a.metadata["total"], want)
			}
		}
	}
	conn, err := pgx.Connect(t.Context(), h.cfg.DB.URL.Reveal()) // with another search path than the service
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	addUsers(t, conn, 1, 20)
	check("adding 20", 21, 1, 0)
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec("UPDATE users_svc.users SET is_admin = true WHERE username IN ('Grown-1', 'Grown-2'); UPDATE users_svc.users SET is_banned = true WHERE NOT is_admin")
	check("three admins, the others banned", 21, 3, 18)
	exec("DELETE FROM users_svc.users WHERE username IN ('Grown-1', 'Grown-3')")
	check("deleting an admin and a banned one", 19, 2, 17)
	exec("BEGIN; DELETE FROM users_svc.users; ROLLBACK; UPDATE users_svc.users SET is_banned = false, alias = 'x'")
	check("nothing, and lifting every ban", 19, 2, 0)
	created := h.countConcurrent(20, func(int) bool {
		return h.do(anonymous, "POST", signupPath, map[string]string{"email": newEmail(), "password": password}).status == 200
	})
	check("sign-ups at once", 19+float64(created), 2, 0)
	exec("TRUNCATE users_svc.users CASCADE")
	check("leaving nobody", 0, 0, 0)
}

// TestSearchMigrationNeedsOnlySchemaOwner upgrades a database of the previous release as a role
// that owns the schema and nothing else.
func TestSearchMigrationNeedsOnlySchemaOwner(t *testing.T) {
	t.Parallel()
	superuser := testkit.Postgres(t)
	conn, err := pgx.Connect(t.Context(), superuser)
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(superuser)
	role := "role_" + strings.TrimPrefix(u.Path, "/test_")
	u.User = url.UserPassword(role, "secret")
	_, err = conn.Exec(t.Context(), fmt.Sprintf(`CREATE ROLE %[1]s LOGIN PASSWORD 'secret'; CREATE SCHEMA users_svc AUTHORIZATION %[1]s;
		REVOKE ALL ON DATABASE %[2]s FROM PUBLIC; GRANT CONNECT ON DATABASE %[2]s TO %[1]s; REVOKE ALL ON SCHEMA public FROM PUBLIC`, role, strings.TrimPrefix(u.Path, "/")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := conn.Exec(context.Background(), fmt.Sprintf("DROP OWNED BY %[1]s CASCADE; DROP ROLE %[1]s", role))
		if err != nil {
			t.Error(err)
		}
		_ = conn.Close(context.Background())
	})
	previous := fstest.MapFS{}
	files, _ := filepath.Glob("migrations/*.sql")
	for _, f := range files {
		if f < "migrations/00023" {
			raw, _ := os.ReadFile(f)
			previous[f] = &fstest.MapFile{Data: raw}
		}
	}
	startPrevious := func() {
		t.Helper()
		if err := db.MigrateAlone(t.Context(), db.Config{URL: config.Secret(u.String()), MaxConns: 2, Timeout: time.Minute},
			"users_svc", previous, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
	}
	startPrevious()
	addUsers(t, conn, 1, 40)
	// left behind by a start that was killed
	if _, err := conn.Exec(t.Context(), "CREATE INDEX users_search ON users_svc.users (alias)"); err != nil {
		t.Fatal(err)
	}
	h := start(t, withAdmin, func(c *users.Config) { c.DB.URL, c.DB.Migrate = config.Secret(u.String()), true })
	root := h.admin()
	startPrevious() // beside the new one
	addUsers(t, conn, 41, 10)
	for query, want := range map[string]float64{"": 51, "?q=grown-50": 1, "?q=wn-4": 11} {
		if a := h.do(root.identity, "GET", "/api/v1/users"+query, nil).mustStatus(200); a.metadata["total"] != want {
			t.Errorf("%s: got %v, want %v", query, a.metadata["total"], want)
		}
	}
}
