// Package users owns who people are: accounts, sign-in, sessions and their tokens, auth tokens,
// two-factor, and the servers, projects and containers that an account is given. It is the only
// service that can mint a token.
//
// Start reading at New in service.go, then at mountDomains below: each domain is one struct with
// its rules in <noun>.go, its routes in <noun>_http.go and its SQL in <noun>_store.go. The domains
// share a core and nothing else; where one needs another it says so with a small interface or a
// pointer in its struct.
package users

import (
	"cmp"
	"context"

	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/service"
)

// mountDomains makes every domain, mounts its routes and declares its background jobs.
func mountDomains(ctx context.Context, svc *service.Service, server *httpx.Server, cfg Config, rt service.Runtime,
	r *resources) error {
	c := r.core
	freeTier, err := newProvisioning(ctx, c, cfg.FreeTierServers, cfg.Signup.InviteRequired)
	if err != nil {
		return err
	}
	hasher := newHasher(cfg.Passwords)
	hasher.register(rt.Metrics)
	keys := newKeyring(c, cfg.Signing, cfg.Sessions.AccessTTL, r.sealer, r.clock)
	if err := keys.upkeep(ctx); err != nil {
		return err
	}
	rule := newPasswordRule(cfg.Passwords.DenyCommon, cfg.AppName)
	outbox, err := NewOutbox(c, cfg.Mail, cfg.AppName, hasher.unknown, rt.Metrics)
	if err != nil {
		return err
	}
	throttle := newThrottle(c, hasher, cfg.Passwords.AccountRate)
	accounts := newAccounts(throttle, rule)
	sessions := newSessions(c, cfg.Sessions, keys, r.states, r.limiter)
	past := newHistory(c)
	admins := newAdministration(accounts, sessions, past, rule, cfg.Mail.On())
	if err := admins.makeFirstAdmin(ctx, cfg.FirstAdmin); err != nil {
		return err
	}
	signUps := newSignUps(c, hasher, rule, outbox, cfg.Signup, cfg.AppName)
	signIns := newSignIns(sessions, throttle, rule, freeTier, outbox, r.limiter, cfg.SignIn)
	factors := newTwoFactor(accounts, signIns, r.sealer, cmp.Or(cfg.AppName, Name))
	tokens := newAuthTokens(c, r.states, factors, cfg.AuthTokenLimit)
	for _, d := range []domain{keys, sessions, signIns, past, outbox, signUps, admins, accounts, freeTier, tokens,
		factors} {
		d.mount(server)
	}
	svc.Every("upkeep of signing keys", keyUpkeep, keys.upkeep)
	svc.Every("note of when sessions were last seen", seenEvery, sessions.FlushLastSeen)
	svc.Go("mails", outbox.Run)
	svc.Every("cleanup", cfg.CleanupEvery, (&cleanup{c, r.clock, cfg.HistoryRetention}).sweep)
	return nil
}

// domain is a part of the service that has routes.
type domain interface{ mount(*httpx.Server) }

// device is where a request comes from, which a session is known by to its user.
type device struct {
	Address   string  // of the client, without a port
	UserAgent string  // at most maxUserAgent characters
	Client    *string // as the client named itself
	// of the session that sent it, "" for none: a password or a code that it proves confirms that session
	SessionID string
}
