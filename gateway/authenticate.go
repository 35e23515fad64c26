package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/netip"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/realmgate/realmgate/gateway/internal/upstream"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/internalapi"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

// authenticator finds out who sends a request.
type authenticator struct {
	keys             *keySet
	states           *states
	issuer, audience string
	now              func() time.Time
	guesses          *guesses
	// verified remembers the claims of JWTs whose signature was checked, by the SHA-256 of the JWT,
	// until they expire.
	verified *otter.Cache[[sha256.Size]byte, verifiedToken]
}

// verifiedToken is what a JWT says, the name of its session's state, and since when the keys that
// it was verified with have been in use.
type verifiedToken struct {
	auth.Claims
	stateKey   string
	generation int64
}

const maxVerified = 100_000

func newAuthenticator(cfg Config, keys *keySet, st *states, guesses *guesses, now func() time.Time) *authenticator {
	a := &authenticator{keys: keys, states: st, issuer: cfg.Issuer, audience: cfg.Audience, now: now, guesses: guesses}
	a.verified = otter.Must(&otter.Options[[sha256.Size]byte, verifiedToken]{
		MaximumSize: maxVerified,
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[[sha256.Size]byte, verifiedToken]) time.Duration {
			return max(e.Value.ExpiresAt.Sub(now()), 0)
		}),
	})
	return a
}

// authenticate returns whose credential, sent from addr, it is. Errors: 401 MISSING_TOKEN,
// INVALID_TOKEN or TOKEN_EXPIRED, 429 RATE_LIMITED when the address has guessed too often, or 503
// when it cannot be known.
func (a *authenticator) authenticate(ctx context.Context, cred credential, addr netip.Addr) (*principal, error) {
	switch cred.kind {
	case jwtCredential:
		return a.bySession(ctx, cred.text, addr)
	case tokenCredential:
		return a.byToken(ctx, cred.text, addr)
	case noCredential:
		return nil, apperr.MissingToken()
	default:
		return nil, apperr.InvalidToken()
	}
}

func (a *authenticator) bySession(ctx context.Context, token []byte, addr netip.Addr) (*principal, error) {
	key := sha256.Sum256(token)
	claims, ok := a.verified.GetIfPresent(key)
	switch {
	case !ok || claims.generation != a.keys.current.Load().generation:
		if err := a.guesses.refusal(ctx, addr); err != nil {
			return nil, err
		}
		a.states.metrics.checked.Inc()
		parsed, generation, err := a.keys.parse(ctx, string(token), a.issuer, a.audience, a.now)
		if err != nil {
			if !errors.Is(err, errNoKeys) {
				a.guesses.wrong(ctx, addr)
			}
			return nil, refused(err)
		}
		if !id.Valid(parsed.SessionID) {
			return nil, apperr.InvalidToken()
		}
		claims = verifiedToken{parsed, sessionstate.SessionKey(parsed.SessionID), generation}
		a.verified.Set(key, claims)
	case !a.now().Before(claims.ExpiresAt):
		return nil, apperr.TokenExpired()
	default:
		a.states.metrics.remembered.Inc()
	}
	p, err := a.states.get(ctx, claims.stateKey, false, claims.SessionID)
	if err != nil {
		return nil, apperr.ServiceUnavailable(err)
	}
	if !p.state.Alive || p.state.UserID != claims.UserID || p.state.Token != nil {
		return nil, apperr.InvalidToken()
	}
	return p, nil
}

func refused(err error) error {
	switch {
	case errors.Is(err, errNoKeys):
		return apperr.ServiceUnavailable(err)
	case errors.Is(err, auth.ErrExpired):
		return apperr.TokenExpired()
	}
	return apperr.InvalidToken()
}

func (a *authenticator) byToken(ctx context.Context, token []byte, addr netip.Addr) (*principal, error) {
	hash := tokenHash(token)
	key := sessionstate.TokenKey(hash)
	p := a.states.remembered(key)
	if p == nil {
		if err := a.guesses.refusal(ctx, addr); err != nil {
			return nil, err
		}
		var err error
		if p, err = a.states.learn(ctx, key, true, hash); err != nil {
			return nil, apperr.ServiceUnavailable(err)
		}
		if !p.state.Alive {
			a.guesses.wrong(ctx, addr)
		}
	}
	s := &p.state
	if !s.ExpiresAt.IsZero() && !a.now().Before(s.ExpiresAt) {
		return nil, apperr.TokenExpired()
	}
	if !s.Alive || s.Token == nil || s.UserID == "" {
		return nil, apperr.InvalidToken()
	}
	return p, nil
}

// askState reads a state from users-svc.
func (g *gateway) askState(ctx context.Context, token bool, id string) (sessionstate.State, error) {
	path := internalapi.SessionsPath + id
	if token {
		path = internalapi.TokensPath + id
	}
	var s sessionstate.State
	err := g.upstreams[toUsers].Ask(ctx, "GET", path, nil, &s)
	if errors.Is(err, upstream.ErrNotFound) {
		return sessionstate.State{}, nil // nobody's
	}
	return s, err
}
