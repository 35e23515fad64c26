package db

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func open(t *testing.T, url, schema string) *Pool {
	t.Helper()
	pool, err := Open(t.Context(), Config{URL: config.Secret(url), MaxConns: 4, Timeout: 10 * time.Second}, schema, nil,
		nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func TestManyProcessesMigrateOneSchemaAtOnce(t *testing.T) {
	t.Parallel()
	url := testkit.Postgres(t)
	files := fstest.MapFS{
		"migrations/00001_first.sql": {Data: []byte("-- +goose Up\nCREATE TABLE things (id int PRIMARY KEY);\n" +
			"SELECT pg_sleep(0.1);\n")},
		"migrations/00002_second.sql": {Data: []byte("-- +goose Up\nINSERT INTO things VALUES (1);\n")},
	}
	var wait sync.WaitGroup
	for range 5 {
		pool := open(t, url, "some_svc")
		wait.Go(func() {
			err := Migrate(context.Background(), pool, "some_svc", files, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	var n int
	if err := open(t, url, "some_svc").QueryRow(t.Context(),
		"SELECT count(*) FROM some_svc.things").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d rows (%v), want 1: a migration ran twice or not at all", n, err)
	}
}

func TestInvalidSettingsAreRefusedByName(t *testing.T) {
	t.Parallel()
	for set, name := range map[string]string{
		"DATABASE_URL=":                         "DATABASE_URL is required",
		"DATABASE_URL=mysql://user:s3cret@host": "DATABASE_URL is not a URL such as postgres://",
		"DATABASE_MAX_CONNS=0":                  "DATABASE_MAX_CONNS must be at least 1",
		"DATABASE_STATEMENT_TIMEOUT=-1s":        "DATABASE_STATEMENT_TIMEOUT must be",
		"DATABASE_STATEMENT_TIMEOUT=10us":       "DATABASE_STATEMENT_TIMEOUT must be",
		"DATABASE_STATEMENT_TIMEOUT=1000h":      "DATABASE_STATEMENT_TIMEOUT must be",
		"DATABASE_STATEMENT_TIMEOUT=0s":         "",
	} {
		err := config.Load(&Config{}, []string{"DATABASE_URL=postgres://user:s3cret@host/db", set})
		if name == "" && err != nil || name != "" &&
			(err == nil || !strings.HasPrefix(err.Error(), name) || strings.Contains(err.Error(), "s3cret")) {
			t.Errorf("%s: %v, want %q first and no password", set, err, name)
		}
	}
}

func TestWaitingForTheDatabaseSaysWhy(t *testing.T) {
	t.Parallel()
	stopped := errors.New("told to stop")
	ctx, stop := context.WithCancelCause(t.Context())
	log := &testkit.Buffer{}
	time.AfterFunc(500*time.Millisecond, func() { stop(stopped) })
	err := Migrate(ctx, open(t, "postgres://somebody:s3cret@127.0.0.1:1/db", "some_svc"), "some_svc", fstest.MapFS{},
		slog.New(slog.NewTextHandler(log, nil)))
	said := log.String()
	if strings.Count(said, "DATABASE_URL") != 1 || !strings.Contains(said, "127.0.0.1:1") ||
		strings.Contains(said, "s3cret") {
		t.Errorf("while it waited it logged %q, want one line with the address and no password", said)
	}
	if !errors.Is(err, stopped) || !strings.Contains(err.Error(), "127.0.0.1:1") ||
		strings.Contains(err.Error(), "s3cret") {
		t.Errorf("stopped: %v, want why it waited and who stopped it, no password", err)
	}
}

func TestInTxRetriesATransactionThatADeadlockEnded(t *testing.T) {
	t.Parallel()
	pool := open(t, testkit.Postgres(t), "public")
	if _, err := pool.Exec(t.Context(),
		"CREATE TABLE accounts (id int PRIMARY KEY, n int); INSERT INTO accounts VALUES (1, 0), (2, 0)"); err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for i := range 2 {
		wait.Go(func() {
			err := InTx(context.Background(), pool, func(tx pgx.Tx) error {
				for _, id := range [][]int{{1, 2}, {2, 1}}[i] {
					_, err := tx.Exec(context.Background(), "UPDATE accounts SET n = n + 1 WHERE id = $1", id)
					if err != nil {
						return err
					}
					time.Sleep(50 * time.Millisecond)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	var sum int
	if err := pool.QueryRow(t.Context(), "SELECT sum(n) FROM accounts").Scan(&sum); err != nil || sum != 4 {
		t.Errorf("sum %d (%v), want 4", sum, err)
	}
}

func TestClassifyDistinguishesAnUnreachableDatabaseFromAWrongStatement(t *testing.T) {
	t.Parallel()
	away := open(t, "postgres://nobody:secret@127.0.0.1:1/none", "public")
	for name, c := range map[string]struct {
		err         error
		unavailable bool
	}{
		"nobody listens":        {away.Ping(t.Context()), true},
		"a time limit":          {fmt.Errorf("query: %w", context.DeadlineExceeded), true},
		"a broken connection":   {fmt.Errorf("receive: %w", io.ErrUnexpectedEOF), true},
		"the server goes down":  {&pgconn.PgError{Code: "57P01"}, true},
		"the disk is full":      {&pgconn.PgError{Code: "53100"}, true},
		"a read-only standby":   {&pgconn.PgError{Code: "25006"}, true},
		"a broken constraint":   {&pgconn.PgError{Code: "23505"}, false},
		"a statement that lies": {&pgconn.PgError{Code: "42601"}, false},
		"another error":         {errors.New("other"), false},
	} {
		if got := Classify(c.err) != nil; got != c.unavailable {
			t.Errorf("%s (%v): unavailable %v, want %v", name, c.err, got, c.unavailable)
		}
	}
}

func TestARawPasswordIsReadWholeOrRefusedWithoutQuotingIt(t *testing.T) {
	t.Parallel()
	for _, password := range testkit.RawPasswords() {
		for _, url := range []string{
			"postgres://u:" + password + "@host/db", "postgres://u:" + password + "@host:5432,other:5432/db",
			"postgres://" + password + "@host",
			"host=h password=" + password + " user=u",
		} {
			pc, err := Config{URL: config.Secret(url)}.parse()
			switch {
			case err != nil && (testkit.Leaks(err.Error()) || !strings.Contains(err.Error(), "percent-encode")):
				t.Errorf("%s: %v", url, err)
			case err == nil && (pc.ConnConfig.Host != "host" ||
				pc.ConnConfig.User+pc.ConnConfig.Password != "u"+password &&
					pc.ConnConfig.User+":"+pc.ConnConfig.Password != password && pc.ConnConfig.User != password):
				t.Errorf("%s: host %q, user %q, password %q", url, pc.ConnConfig.Host, pc.ConnConfig.User,
					pc.ConnConfig.Password)
			}
		}
	}
}

func TestABadURLIsRefusedWithoutQuotingIt(t *testing.T) {
	t.Parallel()
	_, err := Open(t.Context(), Config{URL: "postgres://u:s3cret@host:port/x"}, "public", nil, nil)
	if err == nil || !strings.HasPrefix(err.Error(), "DATABASE_URL is not a URL such as ") ||
		strings.Contains(err.Error(), "s3cret") {
		t.Errorf("error %v", err)
	}
}

func TestGenericPlansPlansAnArrayOnce(t *testing.T) {
	t.Parallel()
	url := testkit.Postgres(t)
	planned := func(options ...Option) (plans int64) {
		pool, err := Open(t.Context(), Config{URL: config.Secret(url), MaxConns: 1, Timeout: 10 * time.Second},
			"public", nil, nil, options...)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		const query = `SELECT c.relname FROM unnest($1::text[]) AS asked (name)
		JOIN pg_class c ON c.relname = asked.name`
		for range 20 {
			if _, err := pool.Exec(t.Context(), query, []string{"pg_class", "pg_proc"}); err != nil {
				t.Fatal(err)
			}
		}
		if err := pool.QueryRow(t.Context(), `SELECT custom_plans FROM pg_prepared_statements WHERE statement = $1`,
			query).Scan(&plans); err != nil {
			t.Fatal(err)
		}
		return plans
	}
	if n := planned(GenericPlans); n != 0 {
		t.Errorf("with GenericPlans a statement was planned for its parameters %d times", n)
	}
	if n := planned(); n == 0 {
		t.Error("without it PostgreSQL planned no statement for its parameters: GenericPlans is of no use any more")
	}
}
