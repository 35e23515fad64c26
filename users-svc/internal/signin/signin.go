// Package signin provides login, the opening of sessions, logins that wait for a second factor, and
// password recovery. It serves /users/auth/login, /auth/forgot-password and /auth/reset-password.
// Start reading at login in login.go.
package signin

import (
	"context"
	"fmt"
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
type Challenge struct {
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
	rule     passwords.Policy
	freeTier *freetier.Service
	outbox   *mail.Outbox
	limiter  *ratelimit.Limiter
}

// New registers the mails of the domain with the outbox.
func New(sessions *session.Service, throttle *throttle.Throttle, rule passwords.Policy, freeTier *freetier.Service,
	outbox *mail.Outbox,
	limiter *ratelimit.Limiter, cfg Config) *Service {
	s := &Service{Core: sessions.Core, cfg: cfg, sessions: sessions, hasher: throttle.Hasher,
		kinds: passwords.NewKinds(sessions.Core, throttle.Hasher), throttle: throttle, rule: rule,
		freeTier: freeTier, outbox: outbox, limiter: limiter}
	outbox.Handle(mail.KindReset, s.composeReset)
	return s
}

// NewSession is a session that somebody wants to open.
type NewSession struct {
	live         session.Active
	VerifiedHash string // the password hash that was proved: another one by then opens nothing; "" is not compared
	// the temporary token of a sign-in that has not proved the second factor, should there be one;
	// "" when it has
	pendingToken string
	throttle     []byte // names the count of failures that a right password ends; nil for none
	Device       request.Device
}

// SignIn opens a session for an account that has proved who it is, and answers with everything that
// a login answers with; or with a challenge, when it owes a second factor. A change of the password
// since it was proved is 401 INVALID_CREDENTIALS.
func (s *Service) SignIn(ctx context.Context, found account.Account, o NewSession) (any, error) {
	now := s.Now()
	o.live = s.sessions.NewActive(found.ID, now)
	out, err := s.openSession(ctx, o, now)
	if err != nil {
		return nil, err
	}
	if out.outcome == outcomePending {
		return Challenge{Requires2FA: true, TempToken: o.pendingToken, Method: "totp"}, nil
	}
	if err := out.rejection(); err != nil {
		return nil, err
	}
	if !out.updatedAt.Equal(time.Time(found.UpdatedAt)) { // changed while the password was checked
		if found, err = account.ByID(ctx, s.Pool, found.ID); err != nil {
			return nil, err
		}
	}
	return s.result(ctx, o.live, found, o.Device)
}

// rejection is why no session was opened, nil when one was.
func (o sessionResult) rejection() error {
	switch o.outcome {
	case outcomeOpened:
		return nil
	case outcomeUnknown:
		return core.UserNotFound()
	case outcomeBanned:
		return apperr.AccountBanned()
	case outcomeChanged:
		return errInvalidCredentials()
	}
	return fmt.Errorf("sign_in: outcome %q", o.outcome)
}

// ReplaceAll makes the change that also makes, ends every session of the user for the reason event
// and opens a fresh one, in one transaction.
func (s *Service) ReplaceAll(ctx context.Context, userID, event string, d request.Device,
	also func(tx core.DBTX) error) (Result,
	error) {
	live, found, err := s.replaceAllTx(ctx, userID, event, d, also)
	if err != nil {
		return Result{}, err
	}
	return s.result(ctx, live, found, d)
}

func (s *Service) result(ctx context.Context, live session.Active, found account.Account, d request.Device) (Result,
	error) {
	pair, err := s.sessions.Tokens(ctx, live)
	if err != nil {
		return Result{}, err
	}
	if !found.Welcomed {
		if err := s.provisionOnFirstSignIn(ctx, live.UserID); err != nil {
			return Result{}, err
		}
	}
	had, err := s.freeTier.Of(ctx, live.UserID)
	return Result{TokenPair: pair, ClientIP: d.Address, User: found.User, Provisioned: had}, err
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
