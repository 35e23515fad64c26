package users

import (
	"context"

	"github.com/realmgate/realmgate/pkg/apperr"
)

// refreshOutcome is what the store found out about a refresh token.
type refreshOutcome struct {
	live   liveSession
	reused bool // an old token was used again: the session is to be ended
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
	out, err := s.rotate(ctx, sessionID, token)
	if err != nil {
		return TokenPair{}, err
	}
	if out.reused {
		return TokenPair{}, s.endReused(ctx, sessionID, happening{UserID: out.live.UserID, Event: eventRefreshReuse, Failed: true, Device: d})
	}
	return s.pair(out.live)
}

// endReused ends a session of which an old token was used, and returns 401 INVALID_TOKEN. It is a transaction of its own, which locks the user's row
// for a change from the start: a refresh only shares that lock, and two that both wait to change what they share would end each other. Nothing is
// lost in between, as a token that was replaced stays so.
func (s *sessions) endReused(ctx context.Context, sessionID string, h happening) error {
	if err := s.endOne(ctx, sessionID, h); err != nil && !apperr.Is(err, "SESSION_NOT_FOUND") {
		return err
	}
	return apperr.InvalidToken()
}
