package core

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

func UserNotFound() *apperr.Error {
	return apperr.New(apperr.NotFound, "USER_NOT_FOUND", "User not found")
}

// RequireUser returns USER_NOT_FOUND unless there is such a user.
func RequireUser(ctx context.Context, q DBTX, userID string) error {
	var foundID string
	err := q.QueryRow(ctx, `SELECT id FROM users WHERE id = $1`, userID).Scan(&foundID)
	if db.NoRows(err) {
		return UserNotFound()
	}
	return err
}

// BumpVersion makes every state of the user that was read before this transaction's commit stale.
// It locks the user's row. Tell notifier the result after the commit.
func BumpVersion(ctx context.Context, tx pgx.Tx, userID string) (sessionstate.Change, error) {
	change := sessionstate.Change{UserID: userID}
	err := tx.QueryRow(ctx, `UPDATE users SET state_version = state_version + 1 WHERE id = $1 RETURNING state_version`,
		userID).Scan(&change.Version)
	return change, err
}
