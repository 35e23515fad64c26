// Package signup provides signing up and verifying the address. It serves /auth/signup, /auth/config,
// /auth/verify-email and /auth/resend-verification. Start reading at register.
package signup

import (
	"context"
	"crypto/subtle"
	"strings"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/input"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/field"
	"github.com/realmgate/realmgate/users-svc/internal/mail"
	"github.com/realmgate/realmgate/users-svc/internal/mailaddr"
	"github.com/realmgate/realmgate/users-svc/internal/passwords"
)

const maxInviteCode = 255

// signupRequest is what a stranger asks for.
type signupRequest struct {
	Email, Password            string
	Region, InviteCode, Client *string
}

func readRequest(o *input.Object) (signupRequest, error) {
	o.DropNull("region", "invite_code", "client")
	in := signupRequest{Email: mailaddr.Field(o, "email"), Client: field.Client(o),
		InviteCode: field.Optional(o.String("invite_code", 0, maxInviteCode))}
	in.Region = field.Optional(field.Region(o))
	if !o.Has("password") {
		o.Fail("password", "is required")
	}
	in.Password, _ = o.Text("password")
	if err := o.Err(); err != nil {
		return in, err
	}
	return in, passwords.CheckStrength(in.Password)
}

// Service is the domain of signing up and of verifying the address.
type Service struct {
	*core.Core
	cfg     Config
	appName string
	hasher  *passwords.Hasher
	rule    passwords.Policy
	outbox  *mail.Outbox
}

// New registers the mails of the domain with the outbox.
func New(c *core.Core, h *passwords.Hasher, rule passwords.Policy, outbox *mail.Outbox, cfg Config,
	appName string) *Service {
	s := &Service{Core: c, cfg: cfg, appName: appName, hasher: h, rule: rule, outbox: outbox}
	outbox.Handle(mail.KindSignup, s.composeSignup)
	outbox.Handle(mail.KindVerify, s.composeVerification)
	return s
}

// register creates an account. The caller learns nothing about addresses that have one: the work
// and the answer are the same. Anybody may have signed up before with an address that is not
// verified yet: the mail carries this password, and the password of the reader who follows the link
// counts.
func (s *Service) register(ctx context.Context, in signupRequest, address string) error {
	if err := s.rule.Check(in.Password, in.Email); err != nil {
		return err
	}
	n := account.Draft{
		Email: in.Email, Alias: account.DefaultAlias(in.Email), Method: account.MethodEmail, Region: in.Region,
		Client:   in.Client,
		Verified: !s.outbox.On(), At: s.Now(),
	}
	if in.InviteCode != nil && *in.InviteCode != "" {
		n.Invited = matchesInvite(s.cfg.InviteCodes, *in.InviteCode)
		n.CodeFailed = !n.Invited
	}
	first, err := account.UnverifiedHash(ctx, s.Pool, in.Email)
	if err != nil {
		return err
	}
	if n.PasswordHash, err = s.hasher.HashWithSaltOf(ctx, address, in.Password, first); err != nil {
		return err
	}
	if _, _, err = account.Insert(ctx, s.Pool, n); err != nil {
		return err
	}
	key, err := account.StoredKey(ctx, s.Pool, in.Email)
	if err != nil {
		return err
	}
	return s.outbox.Enqueue(ctx, mail.KindSignup, key, n.PasswordHash)
}

// matchesInvite compares code with each of the comma-separated ones in constant time.
func matchesInvite(codes config.Secret, code string) bool {
	found := 0
	for c := range strings.SplitSeq(codes.Reveal(), ",") {
		if c = strings.TrimSpace(c); c != "" {
			found |= subtle.ConstantTimeCompare([]byte(c), []byte(code))
		}
	}
	return found == 1
}
