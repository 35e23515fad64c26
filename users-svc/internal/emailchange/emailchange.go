// Package emailchange provides the change of an account's e-mail address by its user: a link to the
// new address, and a notice to the old one that can undo the change. It serves POST
// /users/me/email. Start reading at Service.request.
package emailchange

import (
	"context"
	"time"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/ratelimit"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/mail"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// Service changes e-mail addresses.
type Service struct {
	*core.Core
	accounts *account.Service
	outbox   *mail.Outbox
	limiter  *ratelimit.Limiter
}

// New returns the domain and registers its mails with the outbox.
func New(accounts *account.Service, outbox *mail.Outbox, limiter *ratelimit.Limiter) *Service {
	s := &Service{Core: accounts.Core, accounts: accounts, outbox: outbox, limiter: limiter}
	outbox.Handle(mail.KindEmailChange, s.composeLink)
	outbox.Handle(mail.KindEmailNotice, s.composeNotice)
	return s
}

// mailRate bounds the changes that a user may request, because each sends a mail to an address that
// may be a stranger's.
var mailRate = ratelimit.Rate{Count: 20, Period: time.Hour}

// request changes the address of the user, who gave the password: at once without a mail server,
// where 409 EMAIL_TAKEN tells that another account has it. With one, it stores the request and the
// mails about it. Whether the address is taken is found out when the mail is written, so that
// neither the answer nor its time tells.
func (s *Service) request(ctx context.Context, userID, email, password string, device request.Device) error {
	checkedHash, err := s.accounts.VerifyPassword(ctx, userID, password, device)
	if err != nil {
		return err
	}
	if !s.outbox.On() {
		_, err := s.accounts.Update(ctx, userID, account.EmailPatch(email), checkedHash, "", device.SessionID, device)
		return err
	}
	if r := s.limiter.Allow(ctx, "email-change:"+userID, mailRate, 1); !r.Allowed {
		return apperr.RateLimitExceeded(r.RetryAfter).WithLimit(mailRate.Count)
	}
	if err := s.storeRequest(ctx, userID, email, checkedHash); err != nil {
		return err
	}
	s.outbox.Wake()
	return nil
}

// composeLink writes the mail to the new address: a link, or for the owner of a taken address a
// notice without one.
func (s *Service) composeLink(ctx context.Context, job mail.Job) (mail.Message, bool, error) {
	user, email, ok, err := s.pending(ctx, job.UserID)
	if err != nil || !ok {
		return mail.Message{}, false, err
	}
	key, err := account.StoredKey(ctx, s.Pool, email)
	if err != nil {
		return mail.Message{}, false, err
	}
	holder, taken, err := account.ByKey(ctx, s.Pool, key)
	switch {
	case err != nil:
		return mail.Message{}, false, err
	case taken && holder.ID != user.ID && !holder.EmailVerified:
		return mail.Message{}, false, nil
	case taken && holder.ID != user.ID:
		return s.outbox.Compose(ctx, mail.TokenRequest{UserID: holder.ID, Purpose: mail.PurposeNotice,
			CurrentHash: holder.PasswordHash}, holder.Message("email_taken"))
	}
	return s.outbox.Compose(ctx, mail.TokenRequest{UserID: user.ID, Purpose: mail.PurposeEmail, Email: &email},
		user.MessageTo("email_change", email))
}

// composeNotice writes the mail to the old address, with a link that puts it back.
func (s *Service) composeNotice(ctx context.Context, job mail.Job) (mail.Message, bool, error) {
	user, err := account.ByID(ctx, s.Pool, job.UserID)
	if apperr.Is(err, "USER_NOT_FOUND") {
		return mail.Message{}, false, nil
	}
	if err != nil {
		return mail.Message{}, false, err
	}
	return s.outbox.Compose(ctx, mail.TokenRequest{UserID: user.ID, Purpose: mail.PurposeEmailUndo, Email: &job.Email},
		user.MessageTo("email_notice", job.Email))
}
