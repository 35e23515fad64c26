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
	"context"

	"golang.org/x/time/rate"

	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/service"
)

// mountDomains makes every domain, mounts its routes and declares its background jobs.
func (c *core) mountDomains(ctx context.Context, svc *service.Service, server *httpx.Server, rt service.Runtime) error {
	places, err := newProvisioning(ctx, c)
	if err != nil {
		return err
	}
	hashes := newHasher(c.cfg.Passwords)
	hashes.metrics.register(rt.Metrics)
	keys := &keyring{core: c, told: rate.Sometimes{Interval: keyTellEvery}}
	if err := keys.upkeep(ctx); err != nil {
		return err
	}
	rule := newPasswordRule(c.cfg.Passwords.DenyCommon, c.cfg.AppName)
	letters, err := newMails(c, hashes, rule, rt.Metrics)
	if err != nil {
		return err
	}
	guesses := newThrottle(c, hashes)
	people := &accounts{core: c, hasher: hashes, throttle: guesses, mails: letters, rule: rule}
	if err := people.makeFirstAdmin(ctx); err != nil {
		return err
	}
	signIns := &sessions{
		core: c, keys: keys, hasher: hashes, kinds: &hashKinds{core: c, own: hashes.dummy}, throttle: guesses,
		placement: places, seen: newLastSeen(c),
	}
	second := &twoFactor{core: c, accounts: people, sessions: signIns}
	past := &history{c}
	for _, d := range []domain{keys, signIns, past, letters,
		&administration{accounts: people, sessions: signIns, history: past}, people, places,
		&authTokens{core: c, gate: second}, second} {
		d.mount(server)
	}
	svc.Every("upkeep of signing keys", keyUpkeep, keys.upkeep)
	svc.Every("note of when sessions were last seen", seenEvery, signIns.seen.write)
	svc.Go("mails", letters.run)
	svc.Every("cleanup", c.cfg.CleanupEvery, (&cleanup{c}).sweep)
	return nil
}

// domain is a part of the service that has routes.
type domain interface{ mount(*httpx.Server) }

// placement tells what an account was given; the provisioning domain is one.
type placement interface {
	// atSignup gives a new account what there is for it, best effort; region is "" for any.
	atSignup(ctx context.Context, userID, region string)
	// of returns what a login answers with.
	of(ctx context.Context, userID string) (Provisioned, error)
}

// device is where a request comes from, which a session is known by to its user.
type device struct {
	Address   string  // of the client, without a port
	UserAgent string  // at most maxUserAgent characters
	Client    *string // as the client named itself
	// of the session that sent it, "" for none: a password or a code that it proves confirms that session
	SessionID string
}
