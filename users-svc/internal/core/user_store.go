package core

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

// UserNotFound returns 404 USER_NOT_FOUND.
func UserNotFound() *apperr.Error {
	return apperr.New(apperr.NotFound, "USER_NOT_FOUND", "User not found")
}

// RequireUser returns 404 USER_NOT_FOUND if no user has the id.
func RequireUser(ctx context.Context, q DBTX, userID string) error {
	var foundID string
	err := q.QueryRow(ctx, `SELECT id FROM users WHERE id = $1`, userID).Scan(&foundID)
	if db.IsNoRows(err) {
		return UserNotFound()
	}
	return err
}

// BumpVersion raises the version of the user's session states, so that every state that was read
// before the commit of tx is stale. It locks the user's row. Pass the result to Notifier.Notify
// after the commit. The error satisfies db.IsNoRows when there is no such user.
func BumpVersion(ctx context.Context, tx pgx.Tx, userID string) (sessionstate.Change, error) {
	change := sessionstate.Change{UserID: userID}
	err := tx.QueryRow(ctx, `UPDATE users SET state_version = state_version + 1 WHERE id = $1 RETURNING state_version`,
		userID).Scan(&change.Version)
	return change, err
}
