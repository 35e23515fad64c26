// Package signin provides login, the opening of sessions, logins that wait for a second factor, and
// password recovery. It serves /users/auth/login, /auth/forgot-password and /auth/reset-password.
// Start reading at login in login.go.
package signin

import (
	"context"
	"time"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/ratelimit"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/freetier"
	"github.com/realmgate/realmgate/users-svc/internal/mail"
	"github.com/realmgate/realmgate/users-svc/internal/passwords"
	"github.com/realmgate/realmgate/users-svc/internal/request"
	"github.com/realmgate/realmgate/users-svc/internal/session"
	"github.com/realmgate/realmgate/users-svc/internal/throttle"
)

// Result is the answer to a sign-in. Server, Project and Container are nil for an account that
// has none.
type Result struct {
	session.TokenPair
	ClientIP string       `json:"client_ip"`
	User     account.User `json:"user"`
	freetier.Provisioned
}

// Challenge answers a login that still owes a code.
type challenge struct {
	Requires2FA bool   `json:"requires_2fa"`
	TempToken   string `json:"temp_token"`
	Method      string `json:"method"`
}

// Service is the domain of signing in: login, opening a session, and password recovery.
type Service struct {
	*core.Core
	cfg      Config
	sessions *session.Service
	hasher   *passwords.Hasher
	kinds    *passwords.Kinds
	throttle *throttle.Throttle
	policy   passwords.Policy
	freeTier *freetier.Service
	outbox   *mail.Outbox
	limiter  *ratelimit.Limiter
}

// New registers the mails of the domain with the outbox.
func New(sessions *session.Service, throttle *throttle.Throttle, policy passwords.Policy, freeTier *freetier.Service,
	outbox *mail.Outbox,
	limiter *ratelimit.Limiter, cfg Config) *Service {
	s := &Service{Core: sessions.Core, cfg: cfg, sessions: sessions, hasher: throttle.Hasher,
		kinds: passwords.NewKinds(sessions.Core, throttle.Hasher), throttle: throttle, policy: policy,
		freeTier: freeTier, outbox: outbox, limiter: limiter}
	outbox.Handle(mail.KindReset, s.composeReset)
	return s
}

// NewSession is a request to open a session.
type NewSession struct {
	// VerifiedHash is the password hash that was verified; "" when none was. Another hash by now opens
	// nothing.
	VerifiedHash string
	// pendingToken is the temporary token of a sign-in that has not proved a second factor; "" when it
	// has.
	pendingToken string
	throttleKey  []byte // key of the failures that a right password ends; nil for none
	Device       request.Device
}

// SignIn opens a session for an account that has proved its identity, and returns a Result; or a
// Challenge when a second factor is pending. 401 INVALID_CREDENTIALS when the password was changed
// since it was verified, 403 ACCOUNT_BANNED when the account was banned.
func (s *Service) SignIn(ctx context.Context, user account.Account, opening NewSession) (any, error) {
	opened, err := s.open(ctx, user.ID, opening)
	switch {
	case err != nil:
		return nil, err
	case opened.pending:
		return challenge{Requires2FA: true, TempToken: opening.pendingToken, Method: "totp"}, nil
	}
	if !opened.updatedAt.Equal(time.Time(user.UpdatedAt)) { // changed while the password was verified
		if user, err = account.ByID(ctx, s.Pool, user.ID); err != nil {
			return nil, err
		}
	}
	return s.result(ctx, opened.Active, user, opening.Device)
}

// check decides whether the session may be opened: not for a banned account, nor by a password that is
// not the account's any more.
func (a accountState) check(opening NewSession) error {
	switch {
	case a.banned:
		return apperr.AccountBanned()
	case opening.VerifiedHash != "" && opening.VerifiedHash != a.passwordHash:
		return errInvalidCredentials()
	}
	return nil
}

// ReplaceAll ends every session of the user for the reason event, after the change that also makes, and
// opens a new one, in one transaction.
func (s *Service) ReplaceAll(ctx context.Context, userID, reason string, device request.Device,
	extra func(tx core.DBTX) error) (Result, error) {
	active, user, err := s.replaceAll(ctx, userID, reason, device, extra)
	if err != nil {
		return Result{}, err
	}
	return s.result(ctx, active, user, device)
}

func (s *Service) result(ctx context.Context, active session.Active, user account.Account,
	device request.Device) (Result,
	error) {
	pair, err := s.sessions.Tokens(ctx, active)
	if err != nil {
		return Result{}, err
	}
	if !user.FreeTierOffered {
		if err := s.provisionOnFirstSignIn(ctx, active.UserID); err != nil {
			return Result{}, err
		}
	}
	provisioned, err := s.freeTier.Of(ctx, active.UserID)
	return Result{TokenPair: pair, ClientIP: device.Address, User: user.User, Provisioned: provisioned}, err
}

// provisionOnFirstSignIn offers a free server at the first sign-in. (At sign-up the time that it
// takes would tell a free address from one that is taken.) All that sign in until it is done do the
// same, and wait at the account for the one place; it is marked last, so that who finds the mark
// finds the place too.
func (s *Service) provisionOnFirstSignIn(ctx context.Context, userID string) error {
	region, err := signupRegion(ctx, s.Pool, userID)
	if err != nil {
		return err
	}
	s.freeTier.ProvisionNew(ctx, userID, region)
	return markWelcomed(ctx, s.Pool, userID)
}
