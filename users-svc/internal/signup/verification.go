package signup

import (
	"context"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/mail"
)

// composeSignup writes the mail for a sign-up: a link to verify the address, or for a verified
// address the notice that it has an account. It returns false when there is nothing to send.
func (s *Service) composeSignup(ctx context.Context, job mail.Job) (mail.Message, bool, error) {
	user, ok, err := account.ByKey(ctx, s.Pool, job.EmailKey)
	switch {
	case err != nil || !ok:
		return mail.Message{}, false, err
	case !user.EmailVerified:
		return s.verificationMail(ctx, user, job)
	}
	// The password of the sign-up is ignored: the account has a verified owner.
	return s.outbox.Compose(ctx, mail.TokenRequest{UserID: user.ID, Purpose: mail.PurposeNotice,
		CurrentHash: user.PasswordHash}, user.Message("known"))
}

// composeVerification writes another verification mail. It returns false when the address has no
// account or is verified.
func (s *Service) composeVerification(ctx context.Context, job mail.Job) (mail.Message, bool, error) {
	user, ok, err := account.ByKey(ctx, s.Pool, job.EmailKey)
	if err != nil || !ok || user.EmailVerified {
		return mail.Message{}, false, err
	}
	return s.verificationMail(ctx, user, job)
}

func (s *Service) verificationMail(ctx context.Context, user account.Account,
	job mail.Job) (mail.Message, bool, error) {
	return s.outbox.Compose(ctx, mail.TokenRequest{UserID: user.ID, Purpose: mail.PurposeVerify,
		CurrentHash: user.PasswordHash, SignupHash: job.PasswordHash}, user.Message("verify"))
}

func errVerificationToken() *apperr.Error {
	return apperr.New(apperr.Invalid, "INVALID_VERIFICATION_TOKEN", "Invalid or expired verification token")
}
