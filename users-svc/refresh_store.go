package users

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/db"
)

// sessionOf returns the session that a refresh token belongs to, also one that has ended; 401 INVALID_TOKEN when there is none.
func (s *sessions) sessionOf(ctx context.Context, token string) (string, error) {
	var sessionID string
	err := s.pool.QueryRow(ctx, `SELECT session_id FROM refresh_tokens WHERE hash = $1`, tokenHash(token)).Scan(&sessionID)
	if db.NoRows(err) {
		return "", apperr.InvalidToken()
	}
	return sessionID, err
}

// refreshable is a session and the token that was presented for it, under a lock.
type refreshable struct {
	userID           string
	banned, ended    bool
	expiresAt, maxAt time.Time
	salt             []byte
	replacedAt       *time.Time
}

// rotate replaces the token, or follows the chain from one that was replaced just now. Refreshes of one session queue up at its row.
func (s *sessions) rotate(ctx context.Context, sessionID, token string) (refreshOutcome, error) {
	var out refreshOutcome
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		out = refreshOutcome{}
		r, err := lockRefreshable(ctx, tx, sessionID, token)
		if err != nil {
			return err
		}
		now := s.now()
		switch {
		case r.ended:
			return apperr.InvalidToken()
		case !now.Before(r.expiresAt):
			return apperr.TokenExpired()
		case r.replacedAt != nil && now.Sub(*r.replacedAt) > s.cfg.Tokens.Grace:
			out.reused, out.live.UserID = true, r.userID
			return nil
		case r.banned:
			return apperr.AccountBanned()
		case r.replacedAt != nil:
			out.live = liveSession{ID: sessionID, UserID: r.userID, ExpiresAt: r.expiresAt}
			out.live.Refresh, err = followChain(ctx, tx, token, r.salt)
			return err
		}
		out.live = liveSession{
			ID: sessionID, UserID: r.userID, Refresh: successor(token, r.salt),
			ExpiresAt: earlier(now.Add(s.cfg.Tokens.RefreshTTL), r.maxAt),
		}
		return replaceToken(ctx, tx, out.live, token, now)
	})
	return out, err
}

func lockRefreshable(ctx context.Context, tx pgx.Tx, sessionID, token string) (refreshable, error) {
	var r refreshable
	// The user's row is locked first and against changes only, as a ban must not slip in between.
	err := tx.QueryRow(ctx, `SELECT u.id, u.is_banned FROM users u WHERE u.id = (SELECT user_id FROM sessions WHERE id = $1) FOR SHARE`,
		sessionID).Scan(&r.userID, &r.banned)
	if err == nil {
		err = tx.QueryRow(ctx, `SELECT ended_at IS NOT NULL, expires_at, max_at FROM sessions WHERE id = $1 FOR UPDATE`,
			sessionID).Scan(&r.ended, &r.expiresAt, &r.maxAt)
	}
	if err == nil { // read under the lock: another refresh may have replaced it while this one waited
		err = tx.QueryRow(ctx, `SELECT salt, replaced_at FROM refresh_tokens WHERE hash = $1`, tokenHash(token)).Scan(&r.salt, &r.replacedAt)
	}
	if db.NoRows(err) {
		return r, apperr.InvalidToken() // deleted meanwhile
	}
	return r, err
}

func replaceToken(ctx context.Context, tx pgx.Tx, live liveSession, old string, now time.Time) error {
	if _, err := tx.Exec(ctx, `UPDATE refresh_tokens SET replaced_at = $2 WHERE hash = $1`, tokenHash(old), now); err != nil {
		return err
	}
	if err := insertRefresh(ctx, tx, live.ID, live.Refresh, now); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `UPDATE sessions SET expires_at = $2, last_seen_at = $3 WHERE id = $1`, live.ID, live.ExpiresAt, now)
	return err
}

func insertRefresh(ctx context.Context, tx pgx.Tx, sessionID, token string, now time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO refresh_tokens (hash, session_id, salt, created_at) VALUES ($1, $2, $3, $4)`,
		tokenHash(token), sessionID, newSalt(), now)
	return err
}

// maxChain bounds the steps from a token replaced within the grace period to the current one.
const maxChain = 1000

// followChain returns the current token of the chain that token with its salt began.
func followChain(ctx context.Context, tx pgx.Tx, token string, salt []byte) (string, error) {
	for range maxChain {
		token = successor(token, salt)
		var replaced bool
		err := tx.QueryRow(ctx, `SELECT salt, replaced_at IS NOT NULL FROM refresh_tokens WHERE hash = $1`, tokenHash(token)).Scan(&salt, &replaced)
		if err != nil || !replaced {
			return token, err
		}
	}
	return "", errors.New("the chain of refresh tokens has no end")
}
