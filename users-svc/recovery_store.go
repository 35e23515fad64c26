package users

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/netaddr"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

// redeemReset redeems a token, sets the password and ends every session and auth token: an intruder may
// use the account, whom its owner locks out. The reader of the mail has the address, so it is verified
// too. Until then anybody may have signed up with it, so the second factor goes as well; that of a
// verified account is its owner's and stays.
func (s *signIns) redeemReset(ctx context.Context, token, hash string, d device) error {
	var ch sessionstate.Change
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		now := s.now()
		userID, _, err := s.outbox.Redeem(ctx, tx, PurposeReset, token, now)
		if err != nil {
			return err
		}
		if userID == "" {
			return errResetToken()
		}
		found, err := accountByID(ctx, tx, userID)
		if err != nil {
			return err
		}
		if _, err := revokeTokens(ctx, tx, userID, d, now); err != nil {
			return err
		}
		if found.EmailVerified {
			if ch, err = raiseVersion(ctx, tx, userID); err == nil {
				_, err = endSessions(ctx, tx, userID, "", eventPasswordReset, now)
			}
		} else {
			_, ch, err = revokeAccess(ctx, tx, userID, eventPasswordReset, now)
		}
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE users SET password_hash = $2, email_verified = true, updated_at = $3 WHERE id = $1`,
			userID, hash, now); err != nil {
			return err
		}
		counts := [][]byte{accountKey(userID), knownKey(userID, netaddr.NetworkOf(d.Address))}
		if err := s.throttle.forget(ctx, tx, counts...); err != nil {
			return err
		}
		return remember(ctx, tx, now, happening{UserID: userID, Event: eventPasswordReset, Device: d})
	})
	if err == nil {
		s.changes.changed(ctx, ch)
	}
	return err
}
