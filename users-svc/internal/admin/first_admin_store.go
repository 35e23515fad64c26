package admin

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/sessionstate"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/history"
)

func anyAdmin(ctx context.Context, q core.DBTX) (bool, error) {
	var exists bool
	err := q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM users WHERE is_admin)`).Scan(&exists)
	return exists, err
}

// insertFirstAdmin returns the id of the admin that it made, "" when there was one meanwhile, and
// what was revoked of the account that had the address before, nil when there was none.
func (s *Service) insertFirstAdmin(ctx context.Context, draft account.Draft) (userID string, revoked *account.Revoked,
	err error) {
	var change *sessionstate.Change
	err = db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		userID, revoked, change = "", nil, nil
		// One replica at a time. Nobody waits: there is no admin yet, so nearly nobody writes.
		if _, err := tx.Exec(ctx, `LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return err
		}
		if exists, err := anyAdmin(ctx, tx); err != nil || exists {
			return err
		}
		createdID, created, err := account.Insert(ctx, tx, draft)
		if err != nil || created {
			userID = createdID
			return err
		}
		userID, revoked, change, err = takeOver(ctx, tx, draft)
		return err
	})
	if err == nil && change != nil {
		s.Changes.Notify(ctx, *change)
	}
	return userID, revoked, err
}

func takeOver(ctx context.Context, tx pgx.Tx, draft account.Draft) (string, *account.Revoked, *sessionstate.Change,
	error) {
	key, err := account.StoredKey(ctx, tx, draft.Email)
	if err != nil {
		return "", nil, nil, err
	}
	var userID string
	err = tx.QueryRow(ctx, `UPDATE users SET password_hash = $2, is_admin = true, is_banned = false, ban_reason = NULL, email_verified = true,
		updated_at = $3 WHERE email_key = $1 RETURNING id`, key, draft.PasswordHash, draft.CreatedAt).Scan(&userID)
	if err != nil {
		return "", nil, nil, err
	}
	revoked, change, err := account.RevokeAccess(ctx, tx, userID, history.PasswordChanged, draft.CreatedAt)
	return userID, &revoked, &change, err
}
