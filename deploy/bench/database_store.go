package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/realmgate/realmgate/pkg/event"
)

// schemas are the schemas of the services.
func schemas() []string { return []string{"users_svc", "vault_svc", "activity_svc"} }

// prepareDatabase creates the schemas, lets sessions load auto_explain if PostgreSQL has it, and
// returns the process id of the server.
func prepareDatabase(ctx context.Context, url string) (int, error) {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, err
	}
	defer c.Close(context.WithoutCancel(ctx))
	for _, schema := range schemas() {
		if _, err := c.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{schema}.Sanitize()); err != nil {
			return 0, err
		}
	}
	if _, err := c.Exec(ctx, "LOAD 'auto_explain'"); err == nil { // otherwise the growth table has no plans
		if _, err := c.Exec(ctx,
			"ALTER DATABASE "+databaseName+" SET session_preload_libraries = 'auto_explain'"); err != nil {
			return 0, err
		}
	}
	backend, err := readStat(int(c.PgConn().PID()))
	return backend.parent, err
}

// explainAll makes PostgreSQL log the plan of every statement, or stop doing so.
func explainAll(ctx context.Context, url string, on bool) error {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx))
	threshold := "-1"
	if on {
		threshold = "0"
	}
	for _, sql := range []string{
		"ALTER SYSTEM SET auto_explain.log_min_duration = " + threshold,
		"ALTER SYSTEM SET auto_explain.log_analyze = off",
		"ALTER SYSTEM SET auto_explain.log_nested_statements = on", "SELECT pg_reload_conf()",
	} {
		if _, err := c.Exec(ctx, sql); err != nil {
			return err
		}
	}
	// Sessions reload the settings before their next statement, once the signal has reached them.
	time.Sleep(100 * time.Millisecond)
	return nil
}

// one runs a query that returns one value.
func one[T any](ctx context.Context, url, sql string, args ...any) (v T, err error) {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return v, err
	}
	defer c.Close(context.WithoutCancel(ctx))
	return v, c.QueryRow(ctx, sql, args...).Scan(&v)
}

// execute runs statements one after another.
func execute(ctx context.Context, url string, statements ...string) error {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx))
	for _, sql := range statements {
		if _, err := c.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%.60s: %w", sql, err)
		}
	}
	return nil
}

// selectItem is the point SELECT that the vault is compared with: the sealed row by its primary
// key, with the columns that vault-svc reads.
const selectItem = `SELECT sealed, version::text, sealed_metadata, size_bytes, created_at, updated_at
	FROM vault_svc.vault_items WHERE user_id = $1 AND realm_id = $2 AND key = $3`

// item is a row of selectItem.
type item struct {
	sealed, metadata []byte
	version          string
	size             int64
	created, updated time.Time
}

func (i *item) scan(r pgx.Row) error {
	return r.Scan(&i.sealed, &i.version, &i.metadata, &i.size, &i.created, &i.updated)
}

// selectWorker is a connection of pgx that reads one row repeatedly.
type selectWorker struct {
	conn *pgx.Conn
	args []any
	row  item
}

// selectLoad reads rows over conns connections, each worker its own row.
func selectLoad(url string, conns int, args func(i int) []any) load {
	return load{conns: conns, worker: func(i int) (worker, error) {
		c, err := pgx.Connect(context.Background(), url)
		return &selectWorker{conn: c, args: args(i)}, err
	}}
}

func (w *selectWorker) do() (bool, error) {
	err := w.row.scan(w.conn.QueryRow(context.Background(), selectItem, w.args...))
	return err == nil && len(w.row.sealed) > 0, err
}

func (w *selectWorker) close() { _ = w.conn.Close(context.Background()) }

// itemPool opens the pool of the role pgselect, with as many connections as vault-svc has by
// default.
func itemPool(ctx context.Context) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(os.Getenv("DATABASE_URL"))
	if err != nil {
		return nil, err
	}
	config.MaxConns = 10
	return pgxpool.NewWithConfig(ctx, config)
}

// eventSubject returns the subject on which the gateways of the installation publish events.
func (b *bench) eventSubject(ctx context.Context) (string, error) {
	c, err := pgx.Connect(ctx, b.backing.cluster.URL(databaseName))
	if err != nil {
		return "", err
	}
	defer c.Close(context.WithoutCancel(ctx))
	var installation string
	err = c.QueryRow(ctx, `SELECT id FROM activity_svc.installation`).Scan(&installation)
	return event.NamesOf(installation).Subject, err
}
