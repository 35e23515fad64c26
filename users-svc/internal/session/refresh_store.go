package session

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/users-svc/internal/secrets"
)

// storedToken is a refresh token that somebody came with, and what never changes about it, but for
// the end of its session.
type storedToken struct {
	sessionID, userID string
	maxEnd            time.Time // the session lives no longer
	salt              []byte
	replayed          bool // it was replaced longer ago than the grace, and its session lives
}

// findToken looks a refresh token up, also one of a session that has ended; 401 INVALID_TOKEN when
// there is none.
func (s *Service) findToken(ctx context.Context, token string, now time.Time) (storedToken, error) {
	var stored storedToken
	err := s.Pool.QueryRow(ctx, `SELECT s.id, s.user_id, s.max_at, t.salt, coalesce(t.replaced_at < $2, false) AND s.ended_at IS NULL AND s.expires_at > $3
		FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id WHERE t.hash = $1`, secrets.HashToken(token), now.Add(-s.cfg.Grace), now).
		Scan(&stored.sessionID, &stored.userID, &stored.maxEnd, &stored.salt, &stored.replayed)
	if db.NoRows(err) {
		return stored, apperr.InvalidToken()
	}
	return stored, err
}

// tokenState is what decides about a rotation, read under the locks of the user and the session.
type tokenState struct {
	known      bool // there is such a token
	replacedAt *time.Time
	banned     bool       // the user
	endedAt    *time.Time // the session
	expiresAt  time.Time  // the session
}

// lockTokenState locks the user's row against changes and the session's row until the end of tx, and
// returns the state of the token. Each statement has a snapshot of its own (READ COMMITTED), so a ban or
// another refresh of the session is either committed and seen, or waits.
func lockTokenState(ctx context.Context, tx pgx.Tx, token string, stored storedToken) (tokenState, error) {
	var state tokenState
	optional := func(targets ...any) func(pgx.Row) error {
		return func(row pgx.Row) error {
			if err := row.Scan(targets...); !db.NoRows(err) {
				return err
			}
			return nil
		}
	}
	var batch pgx.Batch
	batch.Queue(`SELECT is_banned FROM users WHERE id = $1 FOR SHARE`, stored.userID).QueryRow(optional(&state.banned))
	batch.Queue(`SELECT ended_at, expires_at FROM sessions WHERE id = $1 FOR UPDATE`, stored.sessionID).
		QueryRow(optional(&state.endedAt, &state.expiresAt))
	batch.Queue(`SELECT true, replaced_at FROM refresh_tokens WHERE hash = $1`, secrets.HashToken(token)).
		QueryRow(optional(&state.known, &state.replacedAt))
	return state, tx.SendBatch(ctx, &batch).Close()
}

// rotate replaces the token by that of next, if the rules allow it, and returns the session as it is
// then. replaced says that another request replaced the token within the grace period, so that next is
// the following token of the chain but perhaps not the current one.
func (s *Service) rotate(ctx context.Context, token string, stored storedToken, next Active,
	now time.Time) (current Active,
	replaced bool, err error) {
	err = db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		current = next
		state, err := lockTokenState(ctx, tx, token, stored)
		if err != nil {
			return err
		}
		if replaced, err = state.check(now, s.cfg.Grace); err != nil {
			return err
		}
		if replaced {
			current.ExpiresAt = state.expiresAt
			return nil
		}
		var batch pgx.Batch
		batch.Queue(`UPDATE refresh_tokens SET replaced_at = $2 WHERE hash = $1`, secrets.HashToken(token), now)
		batch.Queue(`INSERT INTO refresh_tokens (hash, session_id, salt, created_at) VALUES ($1, $2, $3, $4)`,
			secrets.HashToken(next.RefreshToken), next.ID, newSalt(), now)
		batch.Queue(`UPDATE sessions SET expires_at = $2, last_seen_at = $3 WHERE id = $1`, next.ID, next.ExpiresAt, now)
		return tx.SendBatch(ctx, &batch).Close()
	})
	return current, replaced, err
}

// maxRotations bounds the steps from a token replaced within the grace period to the current one.
const maxRotations = 1000

// followChain returns the current token of the chain that token is part of.
func (s *Service) followChain(ctx context.Context, token string) (string, error) {
	for range maxRotations {
		var salt []byte
		var replaced bool
		err := s.Pool.QueryRow(ctx, `SELECT salt, replaced_at IS NOT NULL FROM refresh_tokens WHERE hash = $1`,
			secrets.HashToken(token)).Scan(&salt, &replaced)
		switch {
		case db.NoRows(err):
			return "", apperr.InvalidToken() // deleted meanwhile
		case err != nil || !replaced:
			return token, err
		}
		token = nextToken(token, salt)
	}
	return "", errors.New("the chain of refresh tokens has no end")
}
