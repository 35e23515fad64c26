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

// insertFirstAdmin creates the first admin and returns its id, or "" when an admin exists by now.
// When it took over an existing account, it also returns the access that the account lost.
func (s *Service) insertFirstAdmin(ctx context.Context,
	draft account.Draft) (userID string, revoked *account.Revoked, err error) {
	var change *sessionstate.Change
	err = db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		userID, revoked, change = "", nil, nil
		// One replica at a time. The lock delays hardly any writer, because there is no admin yet.
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

// takeOver makes the account with the draft's address an admin with the draft's password, and
// revokes all other access.
func takeOver(ctx context.Context, tx pgx.Tx,
	draft account.Draft) (string, *account.Revoked, *sessionstate.Change, error) {
	key, err := account.StoredKey(ctx, tx, draft.Email)
	if err != nil {
		return "", nil, nil, err
	}
	var userID string
	err = tx.QueryRow(ctx, `
		UPDATE users SET password_hash = $2, is_admin = true, is_banned = false, ban_reason = NULL,
			email_verified = true, updated_at = $3 WHERE email_key = $1 RETURNING id`,
		key, draft.PasswordHash, draft.CreatedAt).Scan(&userID)
	if err != nil {
		return "", nil, nil, err
	}
	revoked, change, err := account.RevokeAccess(ctx, tx, userID, history.PasswordChanged, draft.CreatedAt)
	return userID, &revoked, &change, err
}

func anyAdmin(ctx context.Context, q core.DBTX) (bool, error) {
	var exists bool
	err := q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM users WHERE is_admin)`).Scan(&exists)
	return exists, err
}
