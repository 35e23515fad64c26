package emailchange

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/sessionstate"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/mail"
	"github.com/realmgate/realmgate/users-svc/internal/request"
	"github.com/realmgate/realmgate/users-svc/internal/session"
)

// storeRequest stores a pending change and its mails, and makes the link of an earlier request
// void. checkedHash is the hash that the password matched: when it is not the account's any more,
// the answer is 400 CURRENT_PASSWORD_INCORRECT.
func (s *Service) storeRequest(ctx context.Context, userID, email, checkedHash string) error {
	return db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		user, err := account.LockByID(ctx, tx, userID)
		switch {
		case err != nil:
			return err
		case user.PasswordHash != checkedHash:
			return account.ErrWrongPassword()
		}
		if err := mail.DropTokens(ctx, tx, userID, mail.PurposeEmail); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE users SET pending_email = $2 WHERE id = $1`, userID, email); err != nil {
			return err
		}
		return s.outbox.EnqueueChange(ctx, tx, userID, user.Email)
	})
}

// pending returns the user and the address to which it asked to change; false when no change is
// pending or the user does not exist any more.
func (s *Service) pending(ctx context.Context, userID string) (account.Account, string, bool, error) {
	user, err := account.ByID(ctx, s.Pool, userID)
	if err != nil {
		if apperr.Is(err, "USER_NOT_FOUND") {
			err = nil
		}
		return user, "", false, err
	}
	email, err := pendingEmail(ctx, s.Pool, userID)
	return user, email, err == nil && email != "", err
}

func pendingEmail(ctx context.Context, q core.DBTX, userID string) (string, error) {
	var email string
	err := q.QueryRow(ctx, `SELECT coalesce(pending_email, '') FROM users WHERE id = $1`, userID).Scan(&email)
	if db.IsNoRows(err) {
		err = nil
	}
	return email, err
}

// Redeem redeems a token that was mailed about a change of the address, and returns the address of
// the account afterwards. It returns false when the token is none of these or is void, and 409
// EMAIL_TAKEN when another account has the address.
//
// A token of the notice puts the old address back and ends all sessions, also after further
// changes: whoever has the older address has the older right to the account.
func (s *Service) Redeem(ctx context.Context, token string, device request.Device) (email string, valid bool,
	err error) {
	var change *sessionstate.Change
	err = db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		change, valid = nil, false
		now := s.Now()
		redeemed, found, err := s.outbox.RedeemChange(ctx, tx, token, now)
		if err != nil || !found {
			return err
		}
		userID := redeemed.UserID
		if !redeemed.Undo {
			wanted, err := pendingEmail(ctx, tx, userID)
			if err != nil || wanted != redeemed.Email { // a newer request replaced it
				return err
			}
		} else if err := dropUnverified(ctx, tx, userID, redeemed.Email); err != nil {
			return err
		}
		if err := account.WriteEmail(ctx, tx, userID, redeemed.Email); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE users SET email_verified = true, updated_at = $2 WHERE id = $1`, userID,
			now); err != nil {
			return err
		}
		if redeemed.Undo {
			if _, err := session.EndAllTx(ctx, tx, userID, "", history.EmailChangeUndone, now); err != nil {
				return err
			}
		}
		kind := history.EmailChanged
		if redeemed.Undo {
			kind = history.EmailChangeUndone
		}
		if err := history.Record(ctx, tx, now, history.Event{UserID: userID, Kind: kind, Device: device}); err != nil {
			return err
		}
		changed, err := core.BumpVersion(ctx, tx, userID)
		change, email, valid = &changed, redeemed.Email, true
		return err
	})
	if err == nil && change != nil {
		s.Changes.Notify(ctx, *change)
	}
	return email, valid, err
}

// dropUnverified deletes an account that someone made with the address, never verified it and never
// signed in: else a thief could keep the owner from putting the address back.
func dropUnverified(ctx context.Context, tx pgx.Tx, userID, email string) error {
	key, err := account.StoredKey(ctx, tx, email)
	if err == nil {
		_, err = tx.Exec(ctx, `DELETE FROM users WHERE email_key = $1 AND id <> $2 AND NOT email_verified AND NOT welcomed
			AND NOT is_admin`, key, userID)
	}
	return err
}
