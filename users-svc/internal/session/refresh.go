package session

import (
	"context"
	"errors"
	"time"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// refresh exchanges a refresh token for a new pair of tokens (refresh token rotation, RFC 9700
// section 4.14.2).
//
// A token that was replaced within REFRESH_GRACE returns the newest token of its chain. So two
// clients that share a token end up with the same valid pair. A token that was replaced earlier
// returns its successor as long as that was never used, because the answer with it may be lost.
// Once the successor was used, the token counts as stolen and ends the session.
//
// A token from a cookie follows a stricter rule, because tabs share it: one that was replaced within
// REFRESH_GRACE returns an access token only, so that a late answer cannot overwrite a newer cookie,
// and one that was replaced earlier ends the session.
//
// The token is read first, because the rate limit is per session and the next token is derived from
// the stored salt. A stolen token is recognized before the limit is asked, because a thief could
// keep the limit used up. It ends the session only once, so replaying it often gains nothing.
func (s *Service) refresh(ctx context.Context, token string, cookie bool, device request.Device) (TokenPair, error) {
	now := s.Now()
	stored, err := s.findToken(ctx, token, cookie, now)
	if err != nil {
		return TokenPair{}, err
	}
	reuse := history.Event{UserID: stored.userID, Kind: history.RefreshReuse, Failed: true, Device: device}
	if stored.replayed {
		return TokenPair{}, s.endOnReplay(ctx, stored.sessionID, reuse)
	}
	rate := s.cfg.refreshRate()
	if r := s.limiter.Allow(ctx, "refresh:"+stored.sessionID, rate, 1); !r.Allowed {
		return TokenPair{}, apperr.RateLimitExceeded(r.RetryAfter).WithLimit(rate.Count)
	}
	active := Active{
		ID: stored.sessionID, UserID: stored.userID, RefreshToken: stored.successor,
		ExpiresAt: earlier(now.Add(s.cfg.RefreshTTL), stored.maxEnd),
	}
	active, replaced, err := s.rotate(ctx, token, cookie, stored, active, now)
	if errors.Is(err, errReplay) { // a replica with a slow clock replaced it meanwhile
		return TokenPair{}, s.endOnReplay(ctx, stored.sessionID, reuse)
	}
	if err == nil && replaced && cookie {
		active.RefreshToken = ""
	} else if err == nil && replaced {
		active.RefreshToken, err = s.followChain(ctx, active.RefreshToken)
	}
	if err != nil {
		return TokenPair{}, err
	}
	return s.Tokens(ctx, active)
}

// check decides about a rotation at the time now. A token that was replaced less than grace ago, or
// whose successor is unused (not from a cookie), stays valid and is not replaced again: replaced is
// true then. The errors are 401 INVALID_TOKEN and TOKEN_EXPIRED, 403 ACCOUNT_BANNED, and errReplay.
func (t tokenState) check(cookie bool, now time.Time, grace time.Duration) (replaced bool, err error) {
	late := t.replacedAt != nil && t.replacedAt.Before(now.Add(-grace))
	switch {
	case !t.known || t.endedAt != nil:
		return false, apperr.InvalidToken()
	case !t.expiresAt.After(now):
		return false, apperr.TokenExpired()
	case late && (cookie || t.successorUsed):
		return false, errReplay
	case t.banned:
		return false, apperr.AccountBanned()
	}
	return t.replacedAt != nil, nil
}

// errReplay reports a token that was used after its grace period and after its successor.
var errReplay = errors.New("a refresh token was used after it was replaced")

// endOnReplay ends a session whose replaced token was used again, and returns 401 INVALID_TOKEN. It
// runs in a transaction of its own that locks the user's row for a change from the start. A refresh
// only shares that lock, and two transactions that both upgrade a shared lock deadlock. Nothing is
// lost in between, because a replaced token stays replaced.
func (s *Service) endOnReplay(ctx context.Context, sessionID string, event history.Event) error {
	if err := s.end(ctx, sessionID, event); err != nil && !apperr.Is(err, "SESSION_NOT_FOUND") {
		return err
	}
	return apperr.InvalidToken()
}

// logoutByToken ends every session of the user whose session the refresh token belongs to. It
// returns 401 INVALID_TOKEN for an unknown token and for one of a session that has ended. A token
// that refresh takes for stolen ends its session only.
func (s *Service) logoutByToken(ctx context.Context, token string, device request.Device) error {
	stored, err := s.findToken(ctx, token, false, s.Now())
	switch {
	case err != nil:
		return err
	case stored.replayed:
		return s.endOnReplay(ctx, stored.sessionID,
			history.Event{UserID: stored.userID, Kind: history.RefreshReuse, Failed: true, Device: device})
	case !stored.live:
		return apperr.InvalidToken()
	}
	_, err = s.EndAll(ctx, stored.userID, "", history.Logout, device, nil)
	if apperr.Is(err, "USER_NOT_FOUND") { // deleted meanwhile
		return apperr.InvalidToken()
	}
	return err
}

// endByToken ends the session that the refresh token belongs to. It does nothing for an unknown
// token and for one of a session that has ended.
func (s *Service) endByToken(ctx context.Context, token string, device request.Device) error {
	stored, err := s.findToken(ctx, token, true, s.Now())
	if err == nil && stored.live {
		err = s.end(ctx, stored.sessionID, history.Event{UserID: stored.userID, Kind: history.Logout, Device: device})
	}
	if apperr.Is(err, "INVALID_TOKEN") || apperr.Is(err, "SESSION_NOT_FOUND") {
		return nil
	}
	return err
}
