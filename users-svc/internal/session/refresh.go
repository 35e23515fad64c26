package session

import (
	"context"
	"errors"
	"time"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/request"
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
func (s *Service) refresh(ctx context.Context, token string, device request.Device) (TokenPair, error) {
	now := s.Now()
	stored, err := s.findToken(ctx, token, now)
	if err != nil {
		return TokenPair{}, err
	}
	reuse := history.Event{UserID: stored.userID, Kind: history.RefreshReuse, Failed: true, Device: device}
	if stored.replayed {
		return TokenPair{}, s.endOnReplay(ctx, stored.sessionID, reuse)
	}
	if r := s.limiter.Allow(ctx, "refresh:"+stored.sessionID, s.cfg.RefreshRate, 1); !r.Allowed {
		return TokenPair{}, apperr.RateLimitExceeded(r.RetryAfter).WithLimit(s.cfg.RefreshRate.Count)
	}
	active := Active{
		ID: stored.sessionID, UserID: stored.userID, RefreshToken: nextToken(token, stored.salt),
		ExpiresAt: earlier(now.Add(s.cfg.RefreshTTL), stored.maxEnd),
	}
	active, replaced, err := s.rotate(ctx, token, stored, active, now)
	if errors.Is(err, errReplay) { // replaced since, by a replica whose clock is far behind
		return TokenPair{}, s.endOnReplay(ctx, stored.sessionID, reuse)
	}
	if err == nil && replaced {
		active.RefreshToken, err = s.followChain(ctx, active.RefreshToken)
	}
	if err != nil {
		return TokenPair{}, err
	}
	return s.Tokens(ctx, active)
}

// errReplay says that a token was used after its grace period.
var errReplay = errors.New("a refresh token was used after it was replaced")

// check decides about a rotation at the time now. A token that was replaced less than grace ago is still
// valid, but not replaced again.
func (t tokenState) check(now time.Time, grace time.Duration) (replaced bool, err error) {
	switch {
	case !t.known || t.endedAt != nil:
		return false, apperr.InvalidToken()
	case !t.expiresAt.After(now):
		return false, apperr.TokenExpired()
	case t.replacedAt != nil && t.replacedAt.Before(now.Add(-grace)):
		return false, errReplay
	case t.banned:
		return false, apperr.AccountBanned()
	}
	return t.replacedAt != nil, nil
}

// endOnReplay ends a session of which an old token was used, and returns 401 INVALID_TOKEN. It is a
// transaction of its own, which locks the user's row for a change from the start: a refresh only
// shares that lock, and two that both wait to change what they share would end each other. Nothing
// is lost in between, as a token that was replaced stays so.
func (s *Service) endOnReplay(ctx context.Context, sessionID string, event history.Event) error {
	if err := s.end(ctx, sessionID, event); err != nil && !apperr.Is(err, "SESSION_NOT_FOUND") {
		return err
	}
	return apperr.InvalidToken()
}
