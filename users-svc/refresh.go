package users

import (
	"context"
	"fmt"

	"github.com/realmgate/realmgate/pkg/apperr"
)

// refresh trades a refresh token for a fresh pair. The token rotates. One that was replaced less
// than REFRESH_GRACE ago gets the token that the chain has come to since, so that a client that
// lost the answer, or two that share a token, end up with the same good pair; one that was replaced
// longer ago is stolen or leaked, and ends the session.
//
// It reads once and writes once: the limit is that of the session, and the successor is made with
// the salt, which both have to be read first. A stolen token is told before the limit is asked,
// which the thief could keep used up; it ends a session once, so that nothing is gained by coming
// with it often.
func (s *sessions) refresh(ctx context.Context, token string, d device) (TokenPair, error) {
	now := s.now()
	p, err := s.find(ctx, token, now)
	if err != nil {
		return TokenPair{}, err
	}
	reuse := happening{UserID: p.userID, Event: eventRefreshReuse, Failed: true, Device: d}
	if p.reused {
		return TokenPair{}, s.endReused(ctx, p.sessionID, reuse)
	}
	if r := s.limiter.Allow(ctx, "refresh:"+p.sessionID, s.cfg.RefreshRate, 1); !r.Allowed {
		return TokenPair{}, apperr.RateLimitExceeded(r.RetryAfter).WithLimit(s.cfg.RefreshRate.Count)
	}
	live := liveSession{
		ID: p.sessionID, UserID: p.userID, Refresh: successor(token, p.salt),
		ExpiresAt: earlier(now.Add(s.cfg.RefreshTTL), p.maxAt),
	}
	live, outcome, err := s.rotate(ctx, token, live, now)
	if err == nil && outcome == rotateReplaced {
		live.Refresh, err = s.followChain(ctx, live.Refresh)
	}
	switch {
	case err != nil:
		return TokenPair{}, err
	case outcome == rotateDone, outcome == rotateReplaced:
		return s.pair(ctx, live)
	case outcome == rotateReused: // replaced since, by a replica whose clock is far behind
		return TokenPair{}, s.endReused(ctx, p.sessionID, reuse)
	}
	return TokenPair{}, rotateRefusal(outcome)
}

// rotateRefusal is what an outcome of rotate that changed nothing means.
func rotateRefusal(outcome string) error {
	switch outcome {
	case rotateUnknown, rotateEnded:
		return apperr.InvalidToken()
	case rotateExpired:
		return apperr.TokenExpired()
	case rotateBanned:
		return apperr.AccountBanned()
	}
	return fmt.Errorf("rotate: outcome %q", outcome)
}

// endReused ends a session of which an old token was used, and returns 401 INVALID_TOKEN. It is a
// transaction of its own, which locks the user's row for a change from the start: a refresh only
// shares that lock, and two that both wait to change what they share would end each other. Nothing
// is lost in between, as a token that was replaced stays so.
func (s *sessions) endReused(ctx context.Context, sessionID string, h happening) error {
	if err := s.endOne(ctx, sessionID, h); err != nil && !apperr.Is(err, "SESSION_NOT_FOUND") {
		return err
	}
	return apperr.InvalidToken()
}
