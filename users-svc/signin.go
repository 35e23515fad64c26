package users

import (
	"context"
	"fmt"
	"time"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/ratelimit"
)

// SignedIn is the answer to a sign-in. Server, Project and Container are nil for an account that
// has none.
type SignedIn struct {
	TokenPair
	ClientIP string `json:"client_ip"`
	User     User   `json:"user"`
	Provisioned
}

// TwoFactorChallenge answers a login that still owes a code.
type TwoFactorChallenge struct {
	Requires2FA bool   `json:"requires_2fa"`
	TempToken   string `json:"temp_token"`
	Method      string `json:"method"`
}

// signIns is the domain of signing in: login, opening a session, and password recovery.
type signIns struct {
	*core
	cfg      signInConfig
	sessions *sessions
	hasher   *hasher
	kinds    *hashKinds
	throttle *throttle
	rule     passwordRule
	freeTier *provisioning
	outbox   *Outbox
	limiter  *ratelimit.Limiter
}

// newSignIns registers the mails of the domain with the outbox.
func newSignIns(sessions *sessions, throttle *throttle, rule passwordRule, freeTier *provisioning, outbox *Outbox,
	limiter *ratelimit.Limiter, cfg signInConfig) *signIns {
	s := &signIns{core: sessions.core, cfg: cfg, sessions: sessions, hasher: throttle.hasher,
		kinds: newHashKinds(sessions.core, throttle.hasher), throttle: throttle, rule: rule,
		freeTier: freeTier, outbox: outbox, limiter: limiter}
	outbox.Handle(KindReset, s.composeReset)
	return s
}

// opening is a session that somebody wants to open.
type opening struct {
	live    liveSession
	trusted string // the password hash that was proved: another one by then opens nothing; "" is not compared
	// the temporary token of a sign-in that has not proved the second factor, should there be one; "" when it has
	owed     string
	throttle []byte // names the count of failures that a right password ends; nil for none
	device   device
}

// signIn opens a session for an account that has proved who it is, and answers with everything that
// a login answers with; or with a challenge, when it owes a second factor. A change of the password
// since it was proved is 401 INVALID_CREDENTIALS.
func (s *signIns) signIn(ctx context.Context, found account, o opening) (any, error) {
	now := s.now()
	o.live = s.sessions.fresh(found.ID, now)
	out, err := s.openAlone(ctx, o, now)
	if err != nil {
		return nil, err
	}
	if out.outcome == signInOwesCode {
		return TwoFactorChallenge{Requires2FA: true, TempToken: o.owed, Method: "totp"}, nil
	}
	if err := out.refusal(); err != nil {
		return nil, err
	}
	if !out.updatedAt.Equal(time.Time(found.UpdatedAt)) { // changed while the password was checked
		if found, err = accountByID(ctx, s.pool, found.ID); err != nil {
			return nil, err
		}
	}
	return s.answer(ctx, o.live, found, o.device)
}

// refusal is why no session was opened, nil when one was.
func (o opened) refusal() error {
	switch o.outcome {
	case signInOpened:
		return nil
	case signInUnknown:
		return errUserNotFound()
	case signInBanned:
		return apperr.AccountBanned()
	case signInChanged:
		return errInvalidCredentials()
	}
	return fmt.Errorf("sign_in: outcome %q", o.outcome)
}

// renewAll makes the change that also makes, ends every session of the user for the reason event
// and opens a fresh one, in one transaction.
func (s *signIns) renewAll(ctx context.Context, userID, event string, d device, also func(tx dbtx) error) (SignedIn,
	error) {
	live, found, err := s.replaceAll(ctx, userID, event, d, also)
	if err != nil {
		return SignedIn{}, err
	}
	return s.answer(ctx, live, found, d)
}

func (s *signIns) answer(ctx context.Context, live liveSession, found account, d device) (SignedIn, error) {
	pair, err := s.sessions.pair(ctx, live)
	if err != nil {
		return SignedIn{}, err
	}
	if !found.Welcomed {
		if err := s.welcome(ctx, live.UserID); err != nil {
			return SignedIn{}, err
		}
	}
	had, err := s.freeTier.of(ctx, live.UserID)
	return SignedIn{TokenPair: pair, ClientIP: d.Address, User: found.User, Provisioned: had}, err
}

// welcome offers a free server at the first sign-in. (At sign-up the time that it takes would tell
// a free address from one that is taken.) All that sign in until it is done do the same, and wait
// at the account for the one place; it is marked last, so that who finds the mark finds the place
// too.
func (s *signIns) welcome(ctx context.Context, userID string) error {
	region, err := signupRegion(ctx, s.pool, userID)
	if err != nil {
		return err
	}
	s.freeTier.atSignup(ctx, userID, region)
	return markWelcomed(ctx, s.pool, userID)
}
