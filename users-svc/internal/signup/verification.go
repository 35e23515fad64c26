package signup

import (
	"context"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/mail"
	"github.com/realmgate/realmgate/users-svc/internal/mailaddr"
)

func errVerificationToken() *apperr.Error {
	return apperr.New(apperr.Invalid, "INVALID_VERIFICATION_TOKEN", "Invalid or expired verification token")
}

// composeSignup answers a sign-up: it asks to verify the address, or says that it has an account.
func (s *Service) composeSignup(ctx context.Context, job mail.Job) (mail.Message, bool, error) {
	user, ok, err := account.ByKey(ctx, s.Pool, job.EmailKey)
	switch {
	case err != nil || !ok:
		return mail.Message{}, false, err
	case !user.EmailVerified:
		return s.verificationMail(ctx, user, job)
	}
	// The password of the sign-up does not count: the account has its owner.
	return s.outbox.Compose(ctx, mail.TokenRequest{UserID: user.ID, Purpose: mail.PurposeNotice,
		CurrentHash: user.PasswordHash}, s.messageTo(user, "known"))
}

// composeVerification answers a request for another verification mail.
func (s *Service) composeVerification(ctx context.Context, job mail.Job) (mail.Message, bool, error) {
	user, ok, err := account.ByKey(ctx, s.Pool, job.EmailKey)
	if err != nil || !ok || user.EmailVerified {
		return mail.Message{}, false, err
	}
	return s.verificationMail(ctx, user, job)
}

func (s *Service) verificationMail(ctx context.Context, user account.Account, job mail.Job) (mail.Message, bool,
	error) {
	return s.outbox.Compose(ctx, mail.TokenRequest{UserID: user.ID, Purpose: mail.PurposeVerify,
		CurrentHash: user.PasswordHash, SignupHash: job.PasswordHash}, s.messageTo(user, "verify"))
}

func (s *Service) messageTo(user account.Account, template string) mail.Message {
	return mail.Message{Template: template, UserID: user.ID, To: mailaddr.DeliverTo(user.Email), Name: user.Alias}
}
