package signin

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/netaddr"
	"github.com/realmgate/realmgate/pkg/sessionstate"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/apitoken"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/mail"
	"github.com/realmgate/realmgate/users-svc/internal/request"
	"github.com/realmgate/realmgate/users-svc/internal/session"
	"github.com/realmgate/realmgate/users-svc/internal/throttle"
)

// redeemReset redeems a token, sets the password, and ends every session and auth token, because an
// intruder may be using the account. The token proves that the reader has the address, so the
// address becomes verified. If it was not verified before, a stranger may have signed up with it,
// so the second factor is deleted too. The second factor of a verified account belongs to its owner
// and stays.
func (s *Service) redeemReset(ctx context.Context, token, hash string, device request.Device) error {
	var change sessionstate.Change
	err := db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		now := s.Now()
		userID, _, err := s.outbox.Redeem(ctx, tx, mail.PurposeReset, token, now)
		if err != nil {
			return err
		}
		if userID == "" {
			return errResetToken()
		}
		user, err := account.ByID(ctx, tx, userID)
		if err != nil {
			return err
		}
		if _, err := apitoken.RevokeAll(ctx, tx, userID, device, now); err != nil {
			return err
		}
		if user.EmailVerified {
			if change, err = core.BumpVersion(ctx, tx, userID); err == nil {
				_, err = session.EndAllTx(ctx, tx, userID, "", history.PasswordReset, now)
			}
		} else {
			_, change, err = account.RevokeAccess(ctx, tx, userID, history.PasswordReset, now)
		}
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `
			UPDATE users SET password_hash = $2, email_verified = true, updated_at = $3 WHERE id = $1`,
			userID, hash, now); err != nil {
			return err
		}
		knownKey := throttle.KnownKey(userID, netaddr.NetworkOf(device.Address))
		if err := s.throttle.Reset(ctx, tx, throttle.AccountKey(userID), knownKey); err != nil {
			return err
		}
		return history.Record(ctx, tx, now, history.Event{UserID: userID, Kind: history.PasswordReset, Device: device})
	})
	if err == nil {
		s.Changes.Notify(ctx, change)
	}
	return err
}
