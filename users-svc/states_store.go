package users

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/realmgate/realmgate/pkg/session"
)

// dbtx is the pool or a transaction.
type dbtx interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// raiseVersion makes every state of the user that was read before this transaction's commit stale. It locks the user's row. Tell notifier
// the result after the commit.
func raiseVersion(ctx context.Context, tx pgx.Tx, userID string) (session.Change, error) {
	ch := session.Change{UserID: userID}
	err := tx.QueryRow(ctx, `UPDATE users SET state_version = state_version + 1 WHERE id = $1 RETURNING state_version`, userID).Scan(&ch.Version)
	return ch, err
}
