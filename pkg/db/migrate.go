package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"golang.org/x/time/rate"
)

// migrateWait is how long -migrate waits for a database that does not answer yet. A service waits
// without a limit.
const migrateWait = time.Minute

// tellEvery is how often the log repeats that the database does not answer.
const tellEvery = 10 * time.Second

// MigrateAlone opens a pool, calls Migrate and closes the pool, for a process that does nothing
// else.
func MigrateAlone(ctx context.Context, c Config, schema string, files fs.FS, log *slog.Logger) error {
	pool, err := Open(ctx, c, schema, nil, nil)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := waitFor(ctx, sessions(pool, schema), log, migrateWait); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	return Migrate(ctx, pool, schema, files, log)
}

// Prepare waits until the database answers, without a limit, and then brings schema up to date
// unless DATABASE_MIGRATE turns that off. It logs why it waits, and refuses a pooler that shares
// sessions. A service calls it before its first statement. A process that ended because the
// database is unreachable would be restarted after ever longer pauses (CrashLoopBackOff), and so
// come back long after the database.
func Prepare(ctx context.Context, c Config, pool *Pool, schema string, files fs.FS, log *slog.Logger) error {
	if err := waitFor(ctx, sessions(pool, schema), log, 0); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if !c.Migrate {
		return nil
	}
	return Migrate(ctx, pool, schema, files, log)
}

// Migrate brings schema up to the newest file in the folder migrations of files (goose SQL files,
// forward only), and creates the schema when it is missing. Several processes may call it at once:
// a lock on a table of the schema lets one work while the others wait. It waits up to a minute for
// the database to answer, and logs why it waits.
func Migrate(ctx context.Context, pool *Pool, schema string, files fs.FS, log *slog.Logger) error {
	migrations, err := fs.Sub(files, "migrations")
	if err != nil {
		return err
	}
	if err := waitFor(ctx, pool.Ping, log, migrateWait); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if err := createSchema(ctx, pool, schema); err != nil {
		return fmt.Errorf("create schema %s: %w", schema, err)
	}
	conn := migrationConn(pool)
	defer conn.Close()
	unlock, err := lockMigrations(ctx, conn)
	if err != nil {
		return fmt.Errorf("lock the migrations of %s: %w", schema, err)
	}
	defer unlock()
	p, err := goose.NewProvider(goose.DialectPostgres, conn, migrations, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("migrations of %s: %w", schema, err)
	}
	applied, err := p.Up(ctx)
	var partial *goose.PartialError
	if errors.As(err, &partial) {
		applied = partial.Applied
	}
	for _, m := range applied {
		log.Info("migrated", "schema", schema, "migration", filepath.Base(m.Source.Path), "took", m.Duration.String())
	}
	if err != nil {
		return fmt.Errorf("migrate %s: %w", schema, err)
	}
	return nil
}

// lockMigrations waits until no other process migrates the schema. It locks a table of the schema.
// It takes no advisory lock, because any role of the database could hold that one. The lock lasts
// until unlock or the end of the connection. Its transaction has no snapshot, so no CREATE INDEX
// CONCURRENTLY waits for it.
func lockMigrations(ctx context.Context, conn *sql.DB) (unlock func(), err error) {
	if _, err := conn.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS migrations_lock ()"); unlessThere(err) != nil {
		return nil, err
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	for _, statement := range []string{
		"SET LOCAL idle_in_transaction_session_timeout = 0", "LOCK TABLE migrations_lock IN EXCLUSIVE MODE",
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return nil, errors.Join(err, tx.Rollback())
		}
	}
	return func() { _ = tx.Rollback() }, nil
}

// unlessThere returns nil when err means that another process has created the same object first.
func unlessThere(err error) error {
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pe.Code {
		case "42P06", "42P07", "42710",
			"23505": // duplicate schema, table, or type of a table; unique violation in the catalog
			return nil
		}
	}
	return err
}

// migrationConn opens database/sql with the pool's settings, but without the statement timeout,
// because a migration may take long.
func migrationConn(pool *pgxpool.Pool) *sql.DB {
	cc := pool.Config().ConnConfig.Copy()
	delete(cc.RuntimeParams, "statement_timeout")
	return stdlib.OpenDB(*cc)
}

// waitFor calls ping until it succeeds. It fails after atMost, or when ctx ends, with the error of
// the last attempt; an atMost of 0 is no limit.
func waitFor(ctx context.Context, ping func(context.Context) error, log *slog.Logger, atMost time.Duration) error {
	last, told := errors.New("no answer yet"), rate.Sometimes{Interval: tellEvery}
	try := func() (struct{}, error) {
		err := ping(ctx)
		if refused := refusal(err); refused != nil {
			return struct{}{}, backoff.Permanent(refused)
		}
		if err != nil && ctx.Err() == nil { // otherwise err only says that ctx ended
			last = err
			told.Do(func() {
				log.Warn("the database cannot be reached: trying on (DATABASE_URL)", "error", err.Error())
			})
		}
		return struct{}{}, err
	}
	_, err := backoff.Retry(ctx, try,
		backoff.WithBackOff(&backoff.ExponentialBackOff{InitialInterval: 50 * time.Millisecond, Multiplier: 2,
			MaxInterval: 2 * time.Second}),
		backoff.WithMaxElapsedTime(atMost))
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w (%w)", last, context.Cause(ctx))
	}
	return err
}

func createSchema(ctx context.Context, pool *Pool, schema string) error {
	// CREATE SCHEMA IF NOT EXISTS needs the right to create even when the schema exists.
	var there bool
	if err := pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)",
		schema).Scan(&there); err != nil || there {
		return err
	}
	_, err := pool.Exec(ctx, "CREATE SCHEMA "+pgx.Identifier{schema}.Sanitize())
	return unlessThere(err)
}
