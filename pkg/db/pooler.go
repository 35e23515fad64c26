package db

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// errPooler is the error of a process whose DATABASE_URL is the address of a pooler.
var errPooler = errors.New("DATABASE_URL leads to a pooler that shares sessions or drops their settings: name " +
	"PostgreSQL itself, or set up PgBouncer in session mode as deploy/docs/growth.md says")

// refusal returns the error to report when err is permanent, so that waiting is useless; nil for
// other errors.
func refusal(err error) error {
	if errors.Is(err, errPooler) {
		return err
	}
	pe, ok := errors.AsType[*pgconn.PgError](err)
	if ok && pe.Code == "08P01" && strings.Contains(pe.Message, "unsupported startup parameter") { // PgBouncer
		return fmt.Errorf("%w: it says %q", errPooler, pe.Message)
	}
	return nil
}

// whichSession identifies a session, even among several servers behind one address.
const whichSession = "SELECT pg_backend_pid() || ' ' || pg_postmaster_start_time()"

// looks is how often two connections are compared. A pooler gives the most recently used session to
// the next statement, unless another client takes it first.
const looks = 5

// sessions returns a check that the database answers and that each connection has a session of its
// own. Through a pooler two connections may have the same session, or one connection several, so
// that one would see or lose the schema and the prepared statements of another.
func sessions(pool *Pool, schema string) func(context.Context) error {
	return func(ctx context.Context) error {
		var two [2]*pgx.Conn
		for i := range two {
			conn, err := pgx.ConnectConfig(ctx, pool.Config().ConnConfig)
			if err != nil {
				return err
			}
			defer conn.Close(context.WithoutCancel(ctx))
			two[i] = conn
		}
		path, err := simple(ctx, two[0], "SHOW search_path")
		if err != nil {
			return err
		}
		if strings.Trim(path, `"`) != schema { // the pooler does not pass on the settings of a new connection
			return errPooler
		}
		var seen [2]string
		for range looks {
			for i, conn := range two {
				session, err := simple(ctx, conn, whichSession)
				if err != nil {
					return err
				}
				if seen[i] != "" && session != seen[i] || session == seen[1-i] {
					return errPooler
				}
				seen[i] = session
			}
		}
		return nil
	}
}

// simple returns the one text of a query, without a prepared statement.
func simple(ctx context.Context, conn *pgx.Conn, sql string) (text string, err error) {
	results, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil {
		return "", err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 {
		return "", fmt.Errorf("%s has %d results", sql, len(results))
	}
	return string(results[0].Rows[0][0]), nil
}
