package users

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/session"
	"github.com/realmgate/realmgate/pkg/wire"
)

// open writes a new session and the line in the history, unless the account was banned or its password changed since trusted was checked.
func (s *sessions) open(ctx context.Context, userID, trusted string, d device) (liveSession, account, error) {
	var live liveSession
	var found account
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		var err error
		if found, err = oneAccount(ctx, tx, `WHERE id = $1 FOR SHARE`, userID); err != nil {
			return err
		}
		switch {
		case found.IsBanned:
			return apperr.AccountBanned()
		case trusted != "" && found.PasswordHash != trusted:
			return errInvalidCredentials()
		}
		live, err = s.insert(ctx, tx, userID, d)
		return err
	})
	return live, found, err
}

// replaceAll is open after ending every other session and making the change that also makes.
func (s *sessions) replaceAll(ctx context.Context, userID, event string, d device, also func(tx dbtx) error) (liveSession, account, error) {
	var live liveSession
	var found account
	var ch session.Change
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		var err error
		if found, err = oneAccount(ctx, tx, `WHERE id = $1 FOR UPDATE`, userID); err != nil {
			return err
		}
		if err = also(tx); err != nil {
			return err
		}
		now := s.now()
		if _, err = endSessions(ctx, tx, userID, "", event, now); err != nil {
			return err
		}
		if err = remember(ctx, tx, now, happening{UserID: userID, Event: event, Device: d}); err != nil {
			return err
		}
		if ch, err = raiseVersion(ctx, tx, userID); err != nil {
			return err
		}
		live, err = s.insert(ctx, tx, userID, d)
		return err
	})
	if err == nil {
		s.notify.changed(ctx, ch)
	}
	return live, found, err
}

// insert writes a session, its first refresh token and the history line of the login.
func (s *sessions) insert(ctx context.Context, tx pgx.Tx, userID string, d device) (liveSession, error) {
	now := s.now()
	live := liveSession{ID: id.New(now), UserID: userID, Refresh: randomToken()}
	maxAt := now.Add(s.cfg.Tokens.MaxSession)
	live.ExpiresAt = earlier(now.Add(s.cfg.Tokens.RefreshTTL), maxAt)
	_, err := tx.Exec(ctx, `INSERT INTO sessions (id, user_id, created_at, last_seen_at, expires_at, max_at, ip_address, user_agent, client)
		VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8)`, live.ID, userID, now, live.ExpiresAt, maxAt, d.Address, d.UserAgent, d.Client)
	if err != nil {
		return live, err
	}
	if err := insertRefresh(ctx, tx, live.ID, live.Refresh, now); err != nil {
		return live, err
	}
	return live, remember(ctx, tx, now, happening{UserID: userID, Event: eventLogin, Device: d})
}

func insertRefresh(ctx context.Context, tx pgx.Tx, sessionID, token string, now time.Time) error {
	salt := make([]byte, tokenBytes)
	_, _ = rand.Read(salt) // never fails
	_, err := tx.Exec(ctx, `INSERT INTO refresh_tokens (hash, session_id, salt, created_at) VALUES ($1, $2, $3, $4)`,
		tokenHash(token), sessionID, salt, now)
	return err
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// endSessions ends every live session of the user but keep ("" keeps none) and returns how many there were.
func endSessions(ctx context.Context, tx dbtx, userID, keep, why string, now time.Time) (int64, error) {
	tag, err := tx.Exec(ctx, `UPDATE sessions SET ended_at = $3, ended_why = $4 WHERE user_id = $1 AND id <> $2 AND ended_at IS NULL AND expires_at > $3`,
		userID, keep, now, why)
	return tag.RowsAffected(), err
}

// endAll ends every live session of the user but keep, writes event into the history and tells the gateways.
func (s *sessions) endAll(ctx context.Context, userID, keep, event string, d device) (int64, error) {
	var ended int64
	var ch session.Change
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		// The user's row first, as everywhere: two transactions that take the same locks in two orders would end each other.
		var err error
		if ch, err = raiseVersion(ctx, tx, userID); err != nil {
			if db.NoRows(err) {
				return errUserNotFound()
			}
			return err
		}
		now := s.now()
		if ended, err = endSessions(ctx, tx, userID, keep, event, now); err != nil {
			return err
		}
		return remember(ctx, tx, now, happening{UserID: userID, Event: event, Device: d})
	})
	if err == nil {
		s.notify.changed(ctx, ch)
	}
	return ended, err
}

// endOne ends one live session of the user; SESSION_NOT_FOUND when there is none.
func (s *sessions) endOne(ctx context.Context, userID, sessionID string, d device) error {
	var ch session.Change
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		var err error
		if ch, err = raiseVersion(ctx, tx, userID); err != nil {
			return err
		}
		now := s.now()
		tag, err := tx.Exec(ctx, `UPDATE sessions SET ended_at = $3, ended_why = $4 WHERE id = $1 AND user_id = $2 AND ended_at IS NULL AND expires_at > $3`,
			sessionID, userID, now, eventSessionEnded)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return errSessionNotFound()
		}
		return remember(ctx, tx, now, happening{UserID: userID, Event: eventSessionEnded, Device: d})
	})
	if err == nil {
		s.notify.changed(ctx, ch)
	}
	return err
}

// maxListed bounds the list of sessions.
const maxListed = 1000

// live lists the sessions of a user that have not ended, the newest first.
func (s *sessions) live(ctx context.Context, userID, current string) ([]Session, error) {
	rows, err := s.pool.Query(ctx, `SELECT id, client, user_agent, ip_address, created_at, last_seen_at, expires_at FROM sessions
		WHERE user_id = $1 AND ended_at IS NULL AND expires_at > $2 ORDER BY id DESC LIMIT $3`, userID, s.now(), maxListed)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Session, error) {
		var one Session
		var created, seen, expires time.Time
		err := row.Scan(&one.ID, &one.Client, &one.UserAgent, &one.IPAddress, &created, &seen, &expires)
		one.CreatedAt, one.LastSeenAt, one.ExpiresAt, one.Current = wire.Time(created), wire.Time(seen), wire.Time(expires), one.ID == current
		return one, err
	})
}

// markWelcomed reports whether this is the first sign-in of the user, once, and the region that was asked for at sign-up, "" for any.
func markWelcomed(ctx context.Context, q dbtx, userID string) (region string, first bool, err error) {
	err = q.QueryRow(ctx, `UPDATE users SET welcomed = true WHERE id = $1 AND NOT welcomed RETURNING coalesce(signup_region, '')`, userID).Scan(&region)
	if db.NoRows(err) {
		return "", false, nil
	}
	return region, err == nil, err
}
