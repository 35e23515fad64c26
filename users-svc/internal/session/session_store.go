package session

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/sessionstate"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/request"
	"github.com/realmgate/realmgate/users-svc/internal/secrets"
)

// MaxSessions is the largest number of live sessions of a user. It keeps a client that signs in for
// each run, and never signs out, from filling the database. The list of sessions is bounded by it
// too.
const MaxSessions = 1000

// Insert stores a new session and its first refresh token.
func (s *Service) Insert(ctx context.Context, tx core.DBTX, active Active, device request.Device, now time.Time) error {
	_, err := tx.Exec(ctx, `WITH session AS (
			INSERT INTO sessions
				(id, user_id, created_at, last_seen_at, expires_at, max_at, ip_address, user_agent, client,
					confirmed_at)
			VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8, CASE WHEN $11 THEN '-infinity'::timestamptz END))
		INSERT INTO refresh_tokens (hash, session_id, salt, created_at) VALUES ($9, $1, $10, $3)`,
		active.ID, active.UserID, now, active.ExpiresAt, now.Add(s.cfg.MaxLifetime), device.Address, device.UserAgent,
		device.Client,
		secrets.HashToken(active.RefreshToken), newSalt(), active.Unconfirmed)
	return err
}

// EndAll ends every live session of a user except keepID ("" keeps none), records event in the
// security history, runs extra in the same transaction (nil: nothing), and announces the change to
// the gateways. It returns the number of ended sessions, or 404 USER_NOT_FOUND.
func (s *Service) EndAll(ctx context.Context, userID, keepID, event string, device request.Device,
	extra func(core.DBTX) error) (int64, error) {
	var ended int64
	var change sessionstate.Change
	err := db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		// Every transaction locks the user's row first: two transactions that take the same locks
		// in different orders deadlock.
		var err error
		if change, err = core.BumpVersion(ctx, tx, userID); err != nil {
			if db.IsNoRows(err) {
				return core.UserNotFound()
			}
			return err
		}
		now := s.Now()
		if ended, err = EndAllTx(ctx, tx, userID, keepID, event, now); err != nil {
			return err
		}
		if err := history.Record(ctx, tx, now, history.Event{UserID: userID, Kind: event, Device: device}); err != nil {
			return err
		}
		if extra == nil {
			return nil
		}
		return extra(tx)
	})
	if err == nil {
		s.Changes.Notify(ctx, change)
	}
	return ended, err
}

// end ends one live session of event.UserID, records event, and announces the change. It returns
// 404 SESSION_NOT_FOUND when the user has no such live session.
func (s *Service) end(ctx context.Context, sessionID string, event history.Event) error {
	var change sessionstate.Change
	err := db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		var err error
		if change, err = core.BumpVersion(ctx, tx, event.UserID); err != nil {
			if db.IsNoRows(err) {
				return errSessionNotFound() // it was deleted with the account
			}
			return err
		}
		now := s.Now()
		tag, err := tx.Exec(ctx, `UPDATE sessions SET ended_at = $3, ended_why = $4
			WHERE id = $1 AND user_id = $2 AND ended_at IS NULL AND expires_at > $3`,
			sessionID, event.UserID, now, event.Kind)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return errSessionNotFound()
		}
		return history.Record(ctx, tx, now, event)
	})
	if err == nil {
		s.Changes.Notify(ctx, change)
	}
	return err
}

// listActive returns the user's live sessions, the newest first, with the session current marked.
func (s *Service) listActive(ctx context.Context, userID, current string) ([]listedSession, error) {
	rows, err := s.Pool.Query(ctx, `
		SELECT id, client, user_agent, ip_address, created_at, last_seen_at, expires_at FROM sessions
		WHERE user_id = $1 AND ended_at IS NULL AND expires_at > $2 ORDER BY id DESC LIMIT $3`,
		userID, s.Now(), MaxSessions)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (listedSession, error) {
		var listed listedSession
		var created, lastSeen, expires time.Time
		err := row.Scan(&listed.ID, &listed.Client, &listed.UserAgent, &listed.IPAddress, &created, &lastSeen, &expires)
		listed.CreatedAt, listed.LastSeenAt, listed.ExpiresAt, listed.Current = api.Time(created), api.Time(lastSeen),
			api.Time(expires),
			listed.ID == current
		return listed, err
	})
}

// EndAllTx ends every live session of a user except keepID ("" keeps none), stores reason as the
// cause, and returns the number of ended sessions.
func EndAllTx(ctx context.Context, tx core.DBTX, userID, keepID, reason string, now time.Time) (int64, error) {
	tag, err := tx.Exec(ctx, `UPDATE sessions SET ended_at = $3, ended_why = $4
		WHERE user_id = $1 AND id <> $2 AND ended_at IS NULL AND expires_at > $3`,
		userID, keepID, now, reason)
	return tag.RowsAffected(), err
}

// EndOldest ends the live sessions of a user except the newest keep.
func EndOldest(ctx context.Context, tx core.DBTX, userID string, keepID int, now time.Time) error {
	_, err := tx.Exec(ctx, `UPDATE sessions SET ended_at = $2, ended_why = $4 WHERE id IN (
			SELECT id FROM sessions WHERE user_id = $1 AND ended_at IS NULL AND expires_at > $2
			ORDER BY created_at DESC, id DESC OFFSET $3)`, userID, now, keepID, history.SessionLimit)
	return err
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
