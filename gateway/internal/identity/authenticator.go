package identity

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/netip"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

// verifiedToken is the content of a verified JWT, the key of its session's state, and the
// generation of the keys that verified it.
type verifiedToken struct {
	auth.Claims
	stateKey   string
	generation int64
}

const maxVerified = 100_000

func newVerifiedTokens(now func() time.Time) *otter.Cache[[sha256.Size]byte, verifiedToken] {
	return otter.Must(&otter.Options[[sha256.Size]byte, verifiedToken]{
		MaximumSize: maxVerified,
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[[sha256.Size]byte, verifiedToken]) time.Duration {
			return max(e.Value.ExpiresAt.Sub(now()), 0)
		}),
	})
}

// Authenticate returns the principal of a credential that was sent from addr. Errors: 401
// MISSING_TOKEN, INVALID_TOKEN or TOKEN_EXPIRED, 429 RATE_LIMITED when the address has sent too
// many unknown credentials, or 503 when it cannot be decided.
func (s *Service) Authenticate(ctx context.Context, credential Credential, addr netip.Addr) (*Principal, error) {
	switch credential.kind {
	case jwtCredential:
		return s.bySession(ctx, credential.text, addr)
	case tokenCredential:
		return s.byToken(ctx, credential.text, addr)
	case noCredential:
		return nil, apperr.MissingToken()
	default:
		return nil, apperr.InvalidToken()
	}
}

func (s *Service) bySession(ctx context.Context, token []byte, addr netip.Addr) (*Principal, error) {
	key := sha256.Sum256(token)
	claims, ok := s.verifiedTokens.GetIfPresent(key)
	switch {
	case !ok || claims.generation != s.jwks.current.Load().generation:
		var err error
		if claims, err = s.verify(ctx, token, addr); err != nil {
			return nil, err
		}
		s.verifiedTokens.Set(key, claims)
	case !s.now().Before(claims.ExpiresAt):
		return nil, apperr.TokenExpired()
	default:
		s.metrics.remembered.Inc()
	}
	p, err := s.states.lookup(ctx, claims.stateKey, false, claims.SessionID)
	if err != nil {
		return nil, apperr.ServiceUnavailable(err)
	}
	if !p.state.Alive || p.state.UserID != claims.UserID || p.state.Token != nil {
		return nil, apperr.InvalidToken()
	}
	return p, nil
}

// verify checks the signature and the claims of a JWT.
func (s *Service) verify(ctx context.Context, token []byte, addr netip.Addr) (verifiedToken, error) {
	if err := s.limiter.allow(ctx, addr); err != nil {
		return verifiedToken{}, err
	}
	s.metrics.checked.Inc()
	claims, generation, err := s.jwks.parse(ctx, string(token), s.cfg.Issuer, s.cfg.Audience, s.now)
	if err != nil {
		if !errors.Is(err, errNoKeys) {
			s.limiter.recordFailure(ctx, addr)
		}
		return verifiedToken{}, mapTokenError(err)
	}
	if !id.Valid(claims.SessionID) {
		return verifiedToken{}, apperr.InvalidToken()
	}
	return verifiedToken{claims, sessionstate.SessionKey(claims.SessionID), generation}, nil
}

func mapTokenError(err error) error {
	switch {
	case errors.Is(err, errNoKeys):
		return apperr.ServiceUnavailable(err)
	case errors.Is(err, auth.ErrExpired):
		return apperr.TokenExpired()
	}
	return apperr.InvalidToken()
}

func (s *Service) byToken(ctx context.Context, token []byte, addr netip.Addr) (*Principal, error) {
	hash := tokenHash(token)
	key := sessionstate.TokenKey(hash)
	p := s.states.cached(key)
	if p == nil {
		if err := s.limiter.allow(ctx, addr); err != nil {
			return nil, err
		}
		var err error
		if p, err = s.states.load(ctx, key, true, hash); err != nil {
			return nil, apperr.ServiceUnavailable(err)
		}
		if !p.state.Alive {
			s.limiter.recordFailure(ctx, addr)
		}
	}
	state := &p.state
	if !state.ExpiresAt.IsZero() && !s.now().Before(state.ExpiresAt) {
		return nil, apperr.TokenExpired()
	}
	if !state.Alive || state.Token == nil || state.UserID == "" {
		return nil, apperr.InvalidToken()
	}
	return p, nil
}
