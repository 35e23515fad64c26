package db

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// migrateWait is how long a start waits for a database that does not answer yet.
const migrateWait = time.Minute

// Migrate brings schema up to the newest file of migrations (goose SQL files, forward only), creating the schema when it is missing. Several
// processes may call it at once: an advisory lock lets one work and the others wait. It waits up to a minute for the database to answer.
func Migrate(ctx context.Context, pool *Pool, schema string, migrations fs.FS) error {
	if err := waitFor(ctx, pool); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if err := createSchema(ctx, pool, schema); err != nil {
		return fmt.Errorf("create schema %s: %w", schema, err)
	}
	conn := migrationConn(pool)
	defer conn.Close()
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, conn, migrations, goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("migrations of %s: %w", schema, err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate %s: %w", schema, err)
	}
	return nil
}

// migrationConn opens database/sql on the pool's own settings, but without the statement timeout: a migration may take its time.
func migrationConn(pool *pgxpool.Pool) *sql.DB {
	cc := pool.Config().ConnConfig.Copy()
	delete(cc.RuntimeParams, "statement_timeout")
	return stdlib.OpenDB(*cc)
}

func waitFor(ctx context.Context, pool *Pool) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) { return struct{}{}, pool.Ping(ctx) },
		backoff.WithBackOff(&backoff.ExponentialBackOff{InitialInterval: 50 * time.Millisecond, Multiplier: 2, MaxInterval: 2 * time.Second}),
		backoff.WithMaxElapsedTime(migrateWait))
	return err
}

func createSchema(ctx context.Context, pool *Pool, schema string) error {
	return InTx(ctx, pool, func(tx pgx.Tx) error {
		// CREATE SCHEMA IF NOT EXISTS races with itself, and needs the right to create even when there is nothing to do.
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtext($1))", "create schema "+schema); err != nil {
			return err
		}
		var there bool
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", schema).Scan(&there); err != nil || there {
			return err
		}
		_, err := tx.Exec(ctx, "CREATE SCHEMA "+pgx.Identifier{schema}.Sanitize())
		return err
	})
}
