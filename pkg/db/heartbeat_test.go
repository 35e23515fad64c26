package db

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/realmgate/realmgate/pkg/localpg"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// heartbeatOf creates the function heartbeat as the services' migrations do, and returns its check.
func heartbeatOf(t *testing.T, url string) (*Heartbeat, *Pool) {
	t.Helper()
	pool := open(t, url, "some_svc")
	files := os.DirFS("../../vault-svc")
	if err := Migrate(t.Context(), pool, "some_svc", files, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return NewHeartbeat(pool), pool
}

// fresh clears the cached result and the time of the last new session.
func (h *Heartbeat) fresh() *Heartbeat {
	h.at, h.newSession = time.Time{}, time.Time{}
	return h
}

func beats(t *testing.T, pool *Pool) (n int) {
	t.Helper()
	if err := pool.QueryRow(t.Context(), `SELECT beats FROM heartbeat`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestManyChecksShareOneHeartbeat(t *testing.T) {
	t.Parallel()
	h, pool := heartbeatOf(t, testkit.Postgres(t))
	other := NewHeartbeat(pool) // of another replica
	began := time.Now()
	var wait sync.WaitGroup
	for n := range 40 {
		wait.Go(func() {
			if err := []*Heartbeat{h, other}[n%2].Check(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if n, most := beats(t, pool), 2*(1+int(time.Since(began)/heartbeatAge)); n < 2 || n > most {
		t.Errorf("%d beats, want 2 to %d", n, most)
	}
	var files int
	for end := time.Now().Add(testkit.Patience); files == 0 && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
		err := pool.QueryRow(t.Context(),
			`SELECT temp_files FROM pg_stat_database WHERE datname = current_database()`).Scan(&files)
		if err != nil {
			t.Fatal(err)
		}
	}
	if files == 0 {
		t.Error("a beat writes no temporary file, so a full disk goes unnoticed")
	}
}

func TestAHeartbeatFailsWhenTheDatabaseCannotWrite(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ damage, repair, want string }{
		"read-only": {`ALTER DATABASE %s SET default_transaction_read_only = on`,
			`ALTER DATABASE %s RESET default_transaction_read_only`, "25006"},
		"no room for temporary files": {`ALTER DATABASE %s SET temp_file_limit = '8kB'`,
			`ALTER DATABASE %s RESET temp_file_limit`, "53400"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testkit.Postgres(t)
			h, pool := heartbeatOf(t, url)
			admin := open(t, testkit.Postgres(t), "public")
			database := pool.Config().ConnConfig.Database
			exec := func(sql string) {
				t.Helper()
				if _, err := admin.Exec(t.Context(), strings.ReplaceAll(sql, "%s", database)); err != nil {
					t.Fatal(err)
				}
			}
			exec(c.damage)
			if err := h.fresh().Check(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want SQLSTATE %s", err, c.want)
			}
			exec(c.repair)
			if err := h.fresh().Check(t.Context()); err != nil {
				t.Errorf("repaired: %v", err)
			}
		})
	}
}

// TestAHeartbeatNoticesThatNewSessionsFail although the pool's sessions work.
func TestAHeartbeatNoticesThatNewSessionsFail(t *testing.T) {
	t.Parallel()
	bin, library := testkit.PostgresPrograms(t)
	settings := localpg.Disposable()
	settings["shared_preload_libraries"] = ""
	dir, err := os.MkdirTemp("", "heartbeat-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	pg, err := localpg.Start(t.Context(), localpg.Options{
		Dir: filepath.Join(dir, "postgres"), BinDir: bin, Settings: settings, Log: testkit.Log(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	h, pool := heartbeatOf(t, pg.URL("postgres"))
	if err := h.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), `SELECT heartbeat()`); err != nil {
		t.Fatal(err)
	}
	plpgsql := filepath.Join(library, "plpgsql.so")
	if err := os.Rename(plpgsql, plpgsql+".away"); err != nil {
		t.Fatal(err)
	}
	if err := h.fresh().Check(t.Context()); err == nil || !strings.Contains(err.Error(), "a new session") {
		t.Errorf("without %s: %v, want an error of a new session", plpgsql, err)
	}
	if err := os.Rename(plpgsql+".away", plpgsql); err != nil {
		t.Fatal(err)
	}
	if err := h.fresh().Check(t.Context()); err != nil {
		t.Errorf("with it again: %v", err)
	}
}

// TestAHeartbeatNeedsNoNewSessionWhenThereAreTooMany checks that too many connections are no
// failure, because the pool has sessions of its own.
func TestAHeartbeatNeedsNoNewSessionWhenThereAreTooMany(t *testing.T) {
	t.Parallel()
	h, pool := heartbeatOf(t, testkit.Postgres(t))
	role := pool.Config().ConnConfig.Database + "_role" // as unique as the database
	for _, sql := range []string{
		"CREATE ROLE " + role + " LOGIN PASSWORD 'secret' CONNECTION LIMIT 1", "ALTER TABLE heartbeat OWNER TO " + role,
		"GRANT USAGE ON SCHEMA some_svc TO " + role,
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		_, _ = pool.Exec(context.WithoutCancel(t.Context()), "DROP OWNED BY "+role+"; DROP ROLE "+role)
	})
	cc := pool.Config()
	cc.ConnConfig.User, cc.ConnConfig.Password, cc.MaxConns = role, "secret", 1
	limited := openConfig(t, cc)
	if err := limited.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.pool = limited
	if err := h.Check(t.Context()); err != nil {
		t.Errorf("with every connection of the role in use: %v", err)
	}
	if beats(t, pool) != 1 || !h.newSession.IsZero() {
		t.Errorf("%d beats, the last in a new session at %v; want 1 on the pool", beats(t, pool), h.newSession)
	}
}

func openConfig(t *testing.T, c *pgxpool.Config) *Pool {
	t.Helper()
	pool, err := pgxpool.NewWithConfig(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}
