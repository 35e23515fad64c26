// Package signin provides login, the opening of sessions, logins that wait for a second factor, and
// password recovery. It serves /users/auth/login, /auth/forgot-password and /auth/reset-password.
// Start reading at Service.login in login.go.
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
	"github.com/realmgate/realmgate/users-svc/internal/secrets"
	"github.com/realmgate/realmgate/users-svc/internal/session"
	"github.com/realmgate/realmgate/users-svc/internal/throttle"
)

// Service verifies passwords, opens sessions and recovers lost passwords.
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

// New returns the domain of sign-in and registers its mail with the outbox.
func New(sessions *session.Service, throttle *throttle.Throttle, policy passwords.Policy, freeTier *freetier.Service,
	outbox *mail.Outbox, limiter *ratelimit.Limiter, cfg Config) *Service {
	s := &Service{Core: sessions.Core, cfg: cfg, sessions: sessions, hasher: throttle.Hasher,
		kinds: passwords.NewKinds(sessions.Core, throttle.Hasher), throttle: throttle, policy: policy,
		freeTier: freeTier, outbox: outbox, limiter: limiter}
	outbox.Handle(mail.KindReset, s.composeReset)
	return s
}

// SignIn opens a session for a user who proved their identity. It returns a Result, or a challenge
// when opening asks for a second factor and the account has one. It returns 401 INVALID_CREDENTIALS
// when the password changed since it was verified, 403 ACCOUNT_BANNED, or 404 USER_NOT_FOUND.
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

// check decides whether the session may be opened: 403 ACCOUNT_BANNED for a banned account, 401
// INVALID_CREDENTIALS for a password that is not the current one any more.
func (a accountState) check(opening NewSession) error {
	switch {
	case a.banned:
		return apperr.AccountBanned()
	case opening.VerifiedHash != "" && opening.VerifiedHash != a.passwordHash:
		return errInvalidCredentials()
	}
	return nil
}

// ReplaceAll runs extra, ends every session of the user with the history event reason and opens a
// new one, all in one transaction.
func (s *Service) ReplaceAll(ctx context.Context, userID, reason string, device request.Device,
	extra func(tx core.DBTX) error) (Result, error) {
	active, user, err := s.replaceAll(ctx, userID, reason, device, extra)
	if err != nil {
		return Result{}, err
	}
	return s.result(ctx, active, user, device)
}

// result signs the tokens of a session and collects the rest of the answer.
func (s *Service) result(ctx context.Context, active session.Active, user account.Account,
	device request.Device) (Result, error) {
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

// provisionOnFirstSignIn offers a free server at the first sign-in. It does not happen at sign-up,
// where the time it takes would reveal whether an address is free. Concurrent first sign-ins all
// run this: freetier locks the account, so only one of them claims a place. The account is marked
// last, so a sign-in that reads the mark also finds the place.
func (s *Service) provisionOnFirstSignIn(ctx context.Context, userID string) error {
	region, err := signupRegion(ctx, s.Pool, userID)
	if err != nil {
		return err
	}
	s.freeTier.ProvisionNew(ctx, userID, region)
	return markWelcomed(ctx, s.Pool, userID)
}

// Result is the answer to a completed sign-in. Server, Project and Container are nil for an account
// that has none.
type Result struct {
	session.TokenPair
	ClientIP string       `json:"client_ip"`
	User     account.User `json:"user"`
	freetier.Provisioned
}

// challenge answers a login that still needs a one-time code. TempToken identifies the login at
// POST /users/auth/2fa/verify.
type challenge struct {
	Requires2FA bool   `json:"requires_2fa"`
	TempToken   string `json:"temp_token"`
	Method      string `json:"method"`
}

// NewSession is a request to open a session.
type NewSession struct {
	// VerifiedHash is the password hash that was verified, or "". No session is opened when the
	// account has another hash by now.
	VerifiedHash string
	// pendingToken is the temporary token for a login whose second factor is not verified yet; ""
	// opens a session without one.
	pendingToken string
	throttleKey  []byte // failure count that a correct password resets; nil for none
	Device       request.Device
	// Redeem uses up the proof of identity, in the transaction that opens the session (or stores
	// the challenge for a second factor) and after it has locked the account. Its error undoes the
	// opening. nil: nothing has to be used up.
	Redeem func(ctx context.Context, tx core.DBTX) error
	// Unconfirmed opens a session that proved neither a password nor a one-time code.
	Unconfirmed bool
}

// AskingSecondFactor returns the request with the demand that an account with a second factor gets
// a challenge in place of a session.
func (n NewSession) AskingSecondFactor() NewSession {
	n.pendingToken = secrets.NewToken()
	return n
}
