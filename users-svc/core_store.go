package users

import (
	"context"

	"github.com/realmgate/realmgate/pkg/db"
)

// requireUser returns USER_NOT_FOUND unless there is such a user.
func requireUser(ctx context.Context, q dbtx, userID string) error {
	var found string
	err := q.QueryRow(ctx, `SELECT id FROM users WHERE id = $1`, userID).Scan(&found)
	if db.NoRows(err) {
		return errUserNotFound()
	}
	return err
}
