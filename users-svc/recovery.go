package users

import (
	"context"

	"github.com/realmgate/realmgate/pkg/apperr"
)

func errResetToken() *apperr.Error {
	return apperr.New(apperr.Invalid, "INVALID_RESET_TOKEN", "Invalid or expired reset token")
}

// composeReset answers a request for a reset link.
func (s *signIns) composeReset(ctx context.Context, job Job) (Message, bool, error) {
	found, ok, err := accountByKey(ctx, s.pool, job.EmailKey)
	if err != nil || !ok || found.IsBanned {
		return Message{}, false, err
	}
	return s.outbox.Compose(ctx, TokenRequest{UserID: found.ID, Purpose: PurposeReset, CurrentHash: found.PasswordHash},
		Message{Template: "reset", UserID: found.ID, To: deliverTo(found.Email), Name: found.Alias})
}

// reset sets a new password with a mailed token.
func (s *signIns) reset(ctx context.Context, token, newPassword string, d device) error {
	userID, err := s.outbox.TokenUser(ctx, PurposeReset, token) // before the work of a hash
	switch {
	case err != nil:
		return err
	case userID == "":
		return errResetToken()
	}
	found, err := accountByID(ctx, s.pool, userID)
	if err != nil {
		return err
	}
	if err := s.rule.check(newPassword, found.Email, found.Username, found.Alias); err != nil {
		return err
	}
	hash, err := s.hasher.hash(ctx, d.Address, newPassword)
	if err != nil {
		return err
	}
	return s.redeemReset(ctx, token, hash, d)
}
