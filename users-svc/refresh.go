package users

import (
	"context"

	"github.com/realmgate/realmgate/pkg/apperr"
)

// refreshOutcome is what the store found out about a refresh token.
type refreshOutcome struct {
	live   liveSession
	reused bool // an old token was used again: the session has been ended
}

// refresh trades a refresh token for a fresh pair. The token rotates. One that was replaced less than REFRESH_GRACE ago gets the token that
// the chain has come to since, so that a client that lost the answer, or two that share a token, end up with the same good pair; one that was
// replaced longer ago is stolen or leaked, and ends the session.
func (s *sessions) refresh(ctx context.Context, token string, d device) (TokenPair, error) {
	sessionID, err := s.sessionOf(ctx, token)
	if err != nil {
		return TokenPair{}, err
	}
	if r := s.limiter.Allow(ctx, "refresh:"+sessionID, s.cfg.Throttle.Refresh, 1); !r.Allowed {
		return TokenPair{}, apperr.RateLimitExceeded(r.RetryAfter).WithLimit(s.cfg.Throttle.Refresh.Count)
	}
	out, err := s.rotate(ctx, sessionID, token, d)
	if err != nil {
		return TokenPair{}, err
	}
	if out.reused {
		return TokenPair{}, apperr.InvalidToken()
	}
	return s.pair(out.live)
}
