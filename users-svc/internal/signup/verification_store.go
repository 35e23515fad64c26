package signup

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/sessionstate"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/mail"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// verifyEmail redeems a mailed token, marks its user's address as verified and returns the address.
// An invalid token is 400 INVALID_VERIFICATION_TOKEN.
//
// The token carries the password hash of the sign-up that the mail answers. If it differs from the
// account's, that sign-up was not the first, and the account becomes that of the reader of the
// mail: all access of before is revoked. If the account was used before, or is an admin from an
// earlier release, it is left without a password: the reader may be its user, and the sign-up a
// stranger's.
func (s *Service) verifyEmail(ctx context.Context, token string, device request.Device) (email string, err error) {
	var change *sessionstate.Change
	err = db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		change = nil
		now := s.Now()
		userID, hash, err := s.outbox.Redeem(ctx, tx, mail.PurposeVerify, token, now)
		if err != nil {
			return err
		}
		if userID == "" {
			return errVerificationToken()
		}
		user, err := account.ByID(ctx, tx, userID)
		if err != nil {
			return err
		}
		email = user.Email
		if !user.EmailVerified && (hash != "" && hash != user.PasswordHash || user.IsAdmin) {
			_, changed, err := account.RevokeAccess(ctx, tx, userID, history.PasswordChanged, now)
			if err != nil {
				return err
			}
			change, user.PasswordHash = &changed, hash
			if user.FreeTierOffered || user.IsAdmin {
				user.PasswordHash = s.hasher.Unusable()
			}
		}
		_, err = tx.Exec(ctx, `
			UPDATE users SET email_verified = true, password_hash = $2, updated_at = $3 WHERE id = $1`,
			userID, user.PasswordHash, now)
		if err != nil {
			return err
		}
		return history.Record(ctx, tx, now, history.Event{UserID: userID, Kind: history.EmailVerified, Device: device})
	})
	if err == nil && change != nil {
		s.Changes.Notify(ctx, *change)
	}
	return email, err
}
