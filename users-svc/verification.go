package users

import (
	"context"

	"github.com/realmgate/realmgate/pkg/apperr"
)

func errVerificationToken() *apperr.Error {
	return apperr.New(apperr.Invalid, "INVALID_VERIFICATION_TOKEN", "Invalid or expired verification token")
}

// composeSignup answers a sign-up: it asks to verify the address, or says that it has an account.
func (s *signUps) composeSignup(ctx context.Context, job Job) (Message, bool, error) {
	found, ok, err := accountByKey(ctx, s.pool, job.EmailKey)
	switch {
	case err != nil || !ok:
		return Message{}, false, err
	case !found.EmailVerified:
		return s.verificationMail(ctx, found, job)
	}
	// The password of the sign-up does not count: the account has its owner.
	return s.outbox.Compose(ctx, TokenRequest{UserID: found.ID, Purpose: PurposeNotice,
		CurrentHash: found.PasswordHash}, s.messageTo(found, "known"))
}

// composeVerification answers a request for another verification mail.
func (s *signUps) composeVerification(ctx context.Context, job Job) (Message, bool, error) {
	found, ok, err := accountByKey(ctx, s.pool, job.EmailKey)
	if err != nil || !ok || found.EmailVerified {
		return Message{}, false, err
	}
	return s.verificationMail(ctx, found, job)
}

func (s *signUps) verificationMail(ctx context.Context, found account, job Job) (Message, bool, error) {
	return s.outbox.Compose(ctx, TokenRequest{UserID: found.ID, Purpose: PurposeVerify,
		CurrentHash: found.PasswordHash, SignupHash: job.PasswordHash}, s.messageTo(found, "verify"))
}

func (s *signUps) messageTo(found account, template string) Message {
	return Message{Template: template, UserID: found.ID, To: deliverTo(found.Email), Name: found.Alias}
}
