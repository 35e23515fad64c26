package oidc

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// findLink returns what a link token stands for, or 400 INVALID_LINK_TOKEN.
func (s *Service) findLink(ctx context.Context, hash []byte) (link, error) {
	var l link
	err := s.Pool.QueryRow(ctx, `SELECT user_id, provider, issuer, subject, email, email_verified, client FROM oidc_links
		WHERE hash = $1 AND expires_at > $2`, hash, s.Now()).
		Scan(&l.UserID, &l.Provider, &l.Issuer, &l.Subject, &l.Email, &l.EmailVerified, &l.Client)
	if db.IsNoRows(err) {
		err = errInvalidLinkToken()
	}
	return l, err
}

// storeLink uses a link token up and links its user at the provider to the account with the
// verified password. It returns whether the account's address is verified afterwards. It changes
// nothing for a banned account, and when the password was changed meanwhile.
func (s *Service) storeLink(ctx context.Context, hash []byte, l link, checked account.Account,
	device request.Device) (emailVerified bool, err error) {
	err = db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		user, err := account.LockByID(ctx, tx, l.UserID)
		if err != nil {
			return err
		}
		emailVerified = user.EmailVerified
		if user.IsBanned || user.PasswordHash != checked.PasswordHash {
			return nil // FinishLogin refuses it
		}
		tag, err := tx.Exec(ctx, `DELETE FROM oidc_links WHERE hash = $1`, hash)
		if err == nil && tag.RowsAffected() == 0 {
			err = errInvalidLinkToken()
		}
		if err != nil {
			return err
		}
		now := s.Now()
		if !user.EmailVerified && l.verifies(user) {
			emailVerified = true
			if _, err := tx.Exec(ctx, `UPDATE users SET email_verified = true, updated_at = $2 WHERE id = $1`,
				user.ID, now); err != nil {
				return err
			}
			verified := history.Event{UserID: user.ID, Kind: history.EmailVerified, Device: device}
			if err := history.Record(ctx, tx, now, verified); err != nil {
				return err
			}
		}
		_, err = insertIdentity(ctx, tx, l.UserID, l.Provider, l.claims, device, now)
		if errors.Is(err, errRace) {
			return apperr.New(apperr.Conflict, "IDENTITY_TAKEN", "This sign-in is already linked to an account")
		}
		return err
	})
	return emailVerified, err
}
