package core

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/realmgate/realmgate/pkg/db"
)

// DBTX runs statements, in a transaction or without: the pool and pgx.Tx implement it.
type DBTX interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// One reads the only row of a query with scan; false when the query returned no row. It takes the
// two results of Query, so that calls can be nested.
func One[T any](rows pgx.Rows, err error, scan pgx.RowToFunc[T]) (T, bool, error) {
	if err != nil {
		var zero T
		return zero, false, err
	}
	value, err := pgx.CollectOneRow(rows, scan)
	if db.IsNoRows(err) {
		return value, false, nil
	}
	return value, err == nil, err
}
