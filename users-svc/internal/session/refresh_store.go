package session

import (
	"context"
	"errors"
	"time"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/users-svc/internal/secrets"
)

// storedToken is a refresh token that somebody came with, and what never changes about it, but for
// the end of its session.
type storedToken struct {
	sessionID, userID string
	maxAt             time.Time // the session lives no longer
	salt              []byte
	replayed          bool // it was replaced longer ago than the grace, and its session lives
}

// findToken looks a refresh token up, also one of a session that has ended; 401 INVALID_TOKEN when
// there is none.
func (s *Service) findToken(ctx context.Context, token string, now time.Time) (storedToken, error) {
	var p storedToken
	err := s.Pool.QueryRow(ctx, `SELECT s.id, s.user_id, s.max_at, t.salt, coalesce(t.replaced_at < $2, false) AND s.ended_at IS NULL AND s.expires_at > $3
		FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id WHERE t.hash = $1`, secrets.HashToken(token), now.Add(-s.cfg.Grace), now).
		Scan(&p.sessionID, &p.userID, &p.maxAt, &p.salt, &p.replayed)
	if db.NoRows(err) {
		return p, apperr.InvalidToken()
	}
	return p, err
}

// The outcomes of the function rotate.
const (
	rotateDone     = "rotated"
	rotateUnknown  = "unknown"
	rotateEnded    = "ended"
	rotateExpired  = "expired"
	rotateReused   = "reused"
	rotateBanned   = "banned"
	rotateReplaced = "replaced"
)

// rotate replaces token by that of live, or says why it does not: see the function rotate. It
// returns live with the end that the session has then.
func (s *Service) rotate(ctx context.Context, token string, live Active, now time.Time) (Active, string,
	error) {
	var outcome string
	var expires *time.Time
	err := db.Again(func() error {
		return s.Pool.QueryRow(ctx, `SELECT o_outcome, o_expires FROM rotate($1, $2, $3, $4, $5, $6, $7, $8)`,
			live.UserID, live.ID, secrets.HashToken(token), secrets.HashToken(live.RefreshToken), NewSalt(), now,
			now.Add(-s.cfg.Grace),
			live.ExpiresAt).
			Scan(&outcome, &expires)
	})
	if expires != nil {
		live.ExpiresAt = *expires
	}
	return live, outcome, err
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
