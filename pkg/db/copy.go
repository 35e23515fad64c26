package db

import (
	"context"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/trace"
)

// Copy adds rows to the columns of a table, as pgx's CopyFrom does and with a span like its own.
// They are encoded in COPY's binary format already (PostgreSQL, COPY, File Formats): pgx makes a
// value of every field and looks for its encoding, which counts for many rows.
func Copy(ctx context.Context, tx pgx.Tx, table string, columns []string, rows io.Reader) (err error) {
	conn := tx.Conn()
	if trace.Current(ctx).Kept() { // Config copies all that it has
		if t, ok := conn.Config().Tracer.(*tracer); ok {
			ctx = t.start(ctx, "COPY", "COPY "+table)
			defer func() { end(ctx, err) }()
		}
	}
	_, err = conn.PgConn().CopyFrom(ctx, rows, "COPY "+table+" ("+strings.Join(columns, ", ")+") FROM STDIN BINARY")
	return err
}
