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

// storedToken is a presented refresh token as the database knows it. All fields except replayed
// stay the same for the life of the token.
type storedToken struct {
	sessionID, userID string
	maxEnd            time.Time // the session ends then at the latest
	successor         string    // the token that replaces it, or has replaced it
	live              bool      // the session has not ended
	// replayed tells that it was replaced before the grace period and, unless it comes from a cookie,
	// that its successor was used; live is true then.
	replayed bool
}

// findToken looks up a refresh token, also of a session that has ended. It returns 401
// INVALID_TOKEN for an unknown token.
func (s *Service) findToken(ctx context.Context, token string, cookie bool, now time.Time) (storedToken, error) {
	var stored storedToken
	var salt []byte
	var late bool // replaced before the grace period
	err := s.Pool.QueryRow(ctx, `
		SELECT s.id, s.user_id, s.max_at, t.salt, coalesce(t.replaced_at < $2, false),
			s.ended_at IS NULL AND s.expires_at > $3
		FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id WHERE t.hash = $1`,
		secrets.HashToken(token), now.Add(-s.cfg.Grace), now).
		Scan(&stored.sessionID, &stored.userID, &stored.maxEnd, &salt, &late, &stored.live)
	if db.IsNoRows(err) {
		return stored, apperr.InvalidToken()
	}
	stored.successor = nextToken(token, salt)
	if stored.replayed = late && stored.live && cookie; err != nil || !late || !stored.live || cookie {
		return stored, err
	}
	err = s.Pool.QueryRow(ctx, selectUsed, secrets.HashToken(stored.successor)).Scan(&stored.replayed)
	return stored, err
}

// selectUsed tells whether a refresh token was used. A token that does not exist any more was.
const selectUsed = `SELECT coalesce(
	(SELECT replaced_at IS NOT NULL FROM refresh_tokens WHERE hash = $1), true)`

// tokenState is the data that decides about a rotation, read under the locks of the user and the
// session.
type tokenState struct {
	known      bool // the token exists
	replacedAt *time.Time
	// successorUsed tells whether the token that replaced it was replaced as well.
	successorUsed bool
	banned        bool       // of the user
	endedAt       *time.Time // of the session
	expiresAt     time.Time  // of the session
}

// lockTokenState locks the user's row against changes and the session's row until the end of tx,
// and returns the state of the token. Each statement has its own snapshot (READ COMMITTED): a
// concurrent ban or refresh of the session has either committed and is seen, or waits.
func lockTokenState(ctx context.Context, tx pgx.Tx, token string, stored storedToken) (tokenState, error) {
	var state tokenState
	optional := func(targets ...any) func(pgx.Row) error {
		return func(row pgx.Row) error {
			if err := row.Scan(targets...); !db.IsNoRows(err) {
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
	batch.Queue(selectUsed, secrets.HashToken(stored.successor)).QueryRow(optional(&state.successorUsed))
	err := tx.SendBatch(ctx, &batch).Close()
	state.successorUsed = state.successorUsed && state.replacedAt != nil
	return state, err
}

// rotate replaces token by the refresh token of next, if tokenState.check allows it, and returns
// the session afterwards. When replaced is true, another request replaced the token within the
// grace period: next is the following token of the chain, but maybe not the current one.
func (s *Service) rotate(ctx context.Context, token string, cookie bool, stored storedToken, next Active,
	now time.Time) (current Active, replaced bool, err error) {
	err = db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		current = next
		state, err := lockTokenState(ctx, tx, token, stored)
		if err != nil {
			return err
		}
		if replaced, err = state.check(cookie, now, s.cfg.Grace); err != nil {
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
		batch.Queue(`UPDATE sessions SET expires_at = $2, last_seen_at = $3 WHERE id = $1`,
			next.ID, next.ExpiresAt, now)
		return tx.SendBatch(ctx, &batch).Close()
	})
	return current, replaced, err
}

// maxRotations bounds the steps from a token replaced within the grace period to the current one.
const maxRotations = 1000

// followChain returns the current token of the chain that token belongs to. It returns 401
// INVALID_TOKEN when the chain was deleted meanwhile.
func (s *Service) followChain(ctx context.Context, token string) (string, error) {
	for range maxRotations {
		var salt []byte
		var replaced bool
		err := s.Pool.QueryRow(ctx, `SELECT salt, replaced_at IS NOT NULL FROM refresh_tokens WHERE hash = $1`,
			secrets.HashToken(token)).Scan(&salt, &replaced)
		switch {
		case db.IsNoRows(err):
			return "", apperr.InvalidToken() // the cleanup deleted it
		case err != nil || !replaced:
			return token, err
		}
		token = nextToken(token, salt)
	}
	return "", errors.New("the chain of refresh tokens has no end")
}
