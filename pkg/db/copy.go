package db

import (
	"context"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/trace"
)

// Copy inserts rows into columns of a table, with a span like that of pgx's CopyFrom. The rows are
// already encoded in COPY's binary format (PostgreSQL, COPY, File Formats). CopyFrom would box
// every field and look up its encoding, which is slow for many rows.
func Copy(ctx context.Context, tx pgx.Tx, table string, columns []string, rows io.Reader) (err error) {
	conn := tx.Conn()
	if trace.Current(ctx).Kept() { // Config makes a copy, which is expensive
		if t, ok := conn.Config().Tracer.(*tracer); ok {
			ctx = t.start(ctx, "COPY", "COPY "+table)
			defer func() { end(ctx, err) }()
		}
	}
	_, err = conn.PgConn().CopyFrom(ctx, rows, "COPY "+table+" ("+strings.Join(columns, ", ")+") FROM STDIN BINARY")
	return err
}
