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
	var there bool
	err := q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM users WHERE is_admin)`).Scan(&there)
	return there, err
}

// insertFirstAdmin returns the id of the admin that it made, "" when there was one meanwhile, and
// what was revoked of the account that had the address before, nil when there was none.
func (a *Service) insertFirstAdmin(ctx context.Context, n account.Draft) (userID string, before *account.Revoked,
	err error) {
	var ch *sessionstate.Change
	err = db.InTx(ctx, a.Pool, func(tx pgx.Tx) error {
		userID, before, ch = "", nil, nil
		// One replica at a time. Nobody waits: there is no admin yet, so nearly nobody writes.
		if _, err := tx.Exec(ctx, `LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return err
		}
		if there, err := anyAdmin(ctx, tx); err != nil || there {
			return err
		}
		made, created, err := account.Insert(ctx, tx, n)
		if err != nil || created {
			userID = made
			return err
		}
		userID, before, ch, err = promote(ctx, tx, n)
		return err
	})
	if err == nil && ch != nil {
		a.Changes.Notify(ctx, *ch)
	}
	return userID, before, err
}

func promote(ctx context.Context, tx pgx.Tx, n account.Draft) (string, *account.Revoked, *sessionstate.Change, error) {
	key, err := account.StoredKey(ctx, tx, n.Email)
	if err != nil {
		return "", nil, nil, err
	}
	var userID string
	err = tx.QueryRow(ctx, `UPDATE users SET password_hash = $2, is_admin = true, is_banned = false, ban_reason = NULL, email_verified = true,
		updated_at = $3 WHERE email_key = $1 RETURNING id`, key, n.PasswordHash, n.At).Scan(&userID)
	if err != nil {
		return "", nil, nil, err
	}
	before, ch, err := account.RevokeAccess(ctx, tx, userID, history.PasswordChanged, n.At)
	return userID, &before, &ch, err
}
