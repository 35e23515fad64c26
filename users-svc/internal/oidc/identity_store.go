package oidc

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// identity is the user of an account at a provider.
type identity struct {
	ID         string   `json:"id"`
	UserID     string   `json:"-"`
	Provider   string   `json:"provider"`
	Email      *string  `json:"email"` // as the provider said at the last sign-in; null for none
	CreatedAt  api.Time `json:"created_at"`
	LastUsedAt api.Time `json:"last_used_at"`
}

// identities lists the identities of an account, the oldest first.
func (s *Service) identities(ctx context.Context, userID string) ([]identity, error) {
	rows, err := s.Pool.Query(ctx, `SELECT id, provider, nullif(email, ''), created_at, last_used_at FROM identities
		WHERE user_id = $1 ORDER BY id`, userID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (identity, error) {
		var i identity
		err := row.Scan(&i.ID, &i.Provider, &i.Email, (*time.Time)(&i.CreatedAt), (*time.Time)(&i.LastUsedAt))
		return i, err
	})
}

// unlink removes one identity of an account, or all with an empty id, and returns how many. It
// returns 409 LAST_SIGN_IN_METHOD when nobody could sign in to the account any more, and 404
// IDENTITY_NOT_FOUND when the account has no identity with the id.
func (s *Service) unlink(ctx context.Context, userID, identityID string, device request.Device) (int64, error) {
	var unlinked int64
	err := db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		if _, err := account.LockByID(ctx, tx, userID); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `DELETE FROM identities WHERE user_id = $1 AND ($2 = '' OR id = $2)`, userID, identityID)
		unlinked = tag.RowsAffected()
		switch {
		case err != nil:
			return err
		case unlinked == 0 && identityID == "":
			return nil
		case unlinked == 0:
			return errIdentityNotFound()
		}
		if err := account.RequireSignInMethod(ctx, tx, userID); err != nil {
			return err
		}
		event := history.Event{UserID: userID, Kind: history.IdentityUnlinked, Device: device}
		return history.Record(ctx, tx, s.Now(), event)
	})
	return unlinked, err
}
