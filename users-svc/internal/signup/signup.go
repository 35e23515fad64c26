// Package signup provides sign-up and the verification of addresses. It serves /auth/signup,
// /auth/config, /auth/verify-email and /auth/resend-verification. Start reading at
// Service.register.
package signup

import (
	"context"
	"crypto/subtle"
	"slices"
	"strings"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/input"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/field"
	"github.com/realmgate/realmgate/users-svc/internal/mail"
	"github.com/realmgate/realmgate/users-svc/internal/mailaddr"
	"github.com/realmgate/realmgate/users-svc/internal/passwords"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// Service signs users up and verifies their addresses.
type Service struct {
	*core.Core
	cfg     Config
	appName string
	// providers are the other services at which people can sign in.
	providers []Provider
	domains   []string // that may sign up; nil for all
	hasher    *passwords.Hasher
	policy    passwords.Policy
	outbox    *mail.Outbox
	changes   emailChanges
}

// Provider is another service at which people can sign in, as /auth/config shows it.
type Provider struct {
	Name  string `json:"name"`
	Label string `json:"label"`
}

// emailChanges redeems the mailed tokens that are about a change of the address. valid is false for
// any other token.
type emailChanges interface {
	Redeem(ctx context.Context, token string, device request.Device) (email string, valid bool, err error)
}

// New returns the domain of sign-up and registers its mails with the outbox. POST
// /auth/verify-email passes the tokens that are about a change of the address to changes.
// /auth/config shows appName and the providers.
func New(c *core.Core, hasher *passwords.Hasher, policy passwords.Policy, outbox *mail.Outbox, changes emailChanges,
	cfg Config, appName string, providers []Provider) *Service {
	s := &Service{Core: c, cfg: cfg, appName: appName, providers: providers, domains: cfg.domains(), hasher: hasher,
		policy: policy, outbox: outbox, changes: changes}
	outbox.Handle(mail.KindSignup, s.composeSignup)
	outbox.Handle(mail.KindVerify, s.composeVerification)
	return s
}

// signupRequest is the body of a sign-up.
type signupRequest struct {
	Email, Password            string
	Region, InviteCode, Client *string
}

// readRequest reads and checks the body of a sign-up.
func readRequest(body *input.Object) (signupRequest, error) {
	body.DropNull("region", "invite_code", "client")
	in := signupRequest{Email: mailaddr.Field(body, "email"), Client: field.Client(body),
		InviteCode: field.Optional(body.String("invite_code", 0, maxInviteCode))}
	in.Region = field.Optional(field.Region(body))
	field.Require(body, "password")
	in.Password, _ = body.Text("password")
	if err := body.Err(); err != nil {
		return in, err
	}
	return in, passwords.CheckStrength(in.Password)
}

// register creates an account for in, or does the same work without effect when the address has an
// account, so that neither the answer nor its time reveals which addresses do. A stranger may have
// signed up before with an address that is not verified. So the mail carries the hash of the
// password in this request, and the password of the reader who follows the link becomes the
// account's.
func (s *Service) register(ctx context.Context, in signupRequest, address string) error {
	if err := s.policy.Check(in.Password, in.Email); err != nil {
		return err
	}
	draft := account.Draft{
		Email: in.Email, Alias: account.DefaultAlias(in.Email), Method: account.MethodEmail, Region: in.Region,
		Client:   in.Client,
		Verified: !s.outbox.On(), CreatedAt: s.Now(),
	}
	if in.InviteCode != nil {
		draft.Invited, draft.CodeFailed = s.CheckInvite(*in.InviteCode)
	}
	unverifiedHash, err := account.UnverifiedHash(ctx, s.Pool, in.Email)
	if err != nil {
		return err
	}
	if draft.PasswordHash, err = s.hasher.HashWithSaltOf(ctx, address, in.Password, unverifiedHash); err != nil {
		return err
	}
	if _, _, err = account.Insert(ctx, s.Pool, draft); err != nil {
		return err
	}
	return account.RequestMail(ctx, s.Pool, s.outbox, mail.KindSignup, in.Email, draft.PasswordHash)
}

// Allowed returns the error for an address that may not sign up, or nil: 403 SIGNUP_DISABLED, or
// 403 SIGNUP_DOMAIN_NOT_ALLOWED. It does not depend on whether there is an account.
func (s *Service) Allowed(email string) error {
	switch {
	case !s.cfg.Enabled:
		return errSignupDisabled()
	case s.domains != nil && !slices.Contains(s.domains, domainOf(email)):
		return apperr.New(apperr.Forbidden, "SIGNUP_DOMAIN_NOT_ALLOWED", "Addresses of this domain cannot sign up")
	}
	return nil
}

// CheckInvite reports whether code is one of INVITE_CODES, and whether one was given that is not.
func (s *Service) CheckInvite(code string) (invited, failed bool) {
	if code == "" {
		return false, false
	}
	invited = matchesInvite(s.cfg.InviteCodes, code)
	return invited, !invited
}

func errSignupDisabled() *apperr.Error {
	return apperr.New(apperr.Forbidden, "SIGNUP_DISABLED", "Signup is disabled")
}

// matchesInvite compares code with each of the comma-separated codes in constant time.
func matchesInvite(codes config.Secret, code string) bool {
	matches := 0
	for candidate := range strings.SplitSeq(codes.Reveal(), ",") {
		if candidate = strings.TrimSpace(candidate); candidate != "" {
			matches |= subtle.ConstantTimeCompare([]byte(candidate), []byte(code))
		}
	}
	return matches == 1
}

// maxInviteCode is the longest invite code that is read, in characters.
const maxInviteCode = 255
