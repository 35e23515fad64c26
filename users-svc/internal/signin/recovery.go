package signin

import (
	"context"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/mail"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// composeReset writes the mail with a reset link. It returns false when the address has no account,
// or a banned one.
func (s *Service) composeReset(ctx context.Context, job mail.Job) (mail.Message, bool, error) {
	user, ok, err := account.ByKey(ctx, s.Pool, job.EmailKey)
	if err != nil || !ok || user.IsBanned {
		return mail.Message{}, false, err
	}
	return s.outbox.Compose(ctx, mail.TokenRequest{UserID: user.ID, Purpose: mail.PurposeReset,
		CurrentHash: user.PasswordHash}, user.Message("reset"))
}

// reset sets a new password with a mailed token. An invalid token is 400 INVALID_RESET_TOKEN. The
// token is looked up before the password is hashed, which is expensive.
func (s *Service) reset(ctx context.Context, token, newPassword string, device request.Device) error {
	userID, err := s.outbox.TokenUser(ctx, mail.PurposeReset, token)
	switch {
	case err != nil:
		return err
	case userID == "":
		return errResetToken()
	}
	user, err := account.ByID(ctx, s.Pool, userID)
	if err != nil {
		return err
	}
	if err := s.policy.Check(newPassword, user.Email, user.Username, user.Alias); err != nil {
		return err
	}
	hash, err := s.hasher.Hash(ctx, device.Address, newPassword)
	if err != nil {
		return err
	}
	return s.redeemReset(ctx, token, hash, device)
}

func errResetToken() *apperr.Error {
	return apperr.New(apperr.Invalid, "INVALID_RESET_TOKEN", "Invalid or expired reset token")
}
