package users

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

// maxSessions bounds the live sessions of a user: what signs in with every run and never signs out
// must not fill the database. It is also what the list of sessions shows.
const maxSessions = 1000

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// endSessions ends every live session of the user but keep ("" keeps none) and returns how many
// there were.
func endSessions(ctx context.Context, tx dbtx, userID, keep, why string, now time.Time) (int64, error) {
	tag, err := tx.Exec(ctx, `UPDATE sessions SET ended_at = $3, ended_why = $4 WHERE user_id = $1 AND id <> $2 AND ended_at IS NULL AND expires_at > $3`,
		userID, keep, now, why)
	return tag.RowsAffected(), err
}

// endAll ends every live session of the user but keep, writes event into the history and tells the
// gateways.
func (s *sessions) endAll(ctx context.Context, userID, keep, event string, d device) (int64, error) {
	return s.endAllAnd(ctx, userID, keep, event, d, func(dbtx) error { return nil })
}

// endAllAnd is endAll with the change that also makes, in one transaction.
func (s *sessions) endAllAnd(ctx context.Context, userID, keep, event string, d device, also func(dbtx) error) (int64,
	error) {
	var ended int64
	var ch sessionstate.Change
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		// The user's row first, as everywhere: two transactions that take the same locks in two
		// orders would end each other.
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
		if err := remember(ctx, tx, now, happening{UserID: userID, Event: event, Device: d}); err != nil {
			return err
		}
		return also(tx)
	})
	if err == nil {
		s.changes.changed(ctx, ch)
	}
	return ended, err
}

// endOne ends one live session of the user for what h tells; SESSION_NOT_FOUND when there is none.
func (s *sessions) endOne(ctx context.Context, sessionID string, h happening) error {
	var ch sessionstate.Change
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		var err error
		if ch, err = raiseVersion(ctx, tx, h.UserID); err != nil {
			if db.NoRows(err) {
				return errSessionNotFound() // gone with the account
			}
			return err
		}
		now := s.now()
		tag, err := tx.Exec(ctx, `UPDATE sessions SET ended_at = $3, ended_why = $4 WHERE id = $1 AND user_id = $2 AND ended_at IS NULL AND expires_at > $3`,
			sessionID, h.UserID, now, h.Event)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return errSessionNotFound()
		}
		return remember(ctx, tx, now, h)
	})
	if err == nil {
		s.changes.changed(ctx, ch)
	}
	return err
}

// live lists the sessions of a user that have not ended, the newest first.
func (s *sessions) live(ctx context.Context, userID, current string) ([]Session, error) {
	rows, err := s.pool.Query(ctx, `SELECT id, client, user_agent, ip_address, created_at, last_seen_at, expires_at FROM sessions
		WHERE user_id = $1 AND ended_at IS NULL AND expires_at > $2 ORDER BY id DESC LIMIT $3`, userID, s.now(), maxSessions)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Session, error) {
		var one Session
		var created, seen, expires time.Time
		err := row.Scan(&one.ID, &one.Client, &one.UserAgent, &one.IPAddress, &created, &seen, &expires)
		one.CreatedAt, one.LastSeenAt, one.ExpiresAt, one.Current = api.Time(created), api.Time(seen), api.Time(expires),
			one.ID == current
		return one, err
	})
}

// endOldestSessions ends the live sessions of the user but opened and the newest of the others.
func endOldestSessions(ctx context.Context, tx dbtx, opened liveSession, others int, now time.Time) (int64, error) {
	tag, err := tx.Exec(ctx, `UPDATE sessions SET ended_at = $3, ended_why = $5 WHERE id IN (
			SELECT id FROM sessions WHERE user_id = $1 AND id <> $2 AND ended_at IS NULL AND expires_at > $3
			ORDER BY created_at DESC, id DESC OFFSET $4)`,
		opened.UserID, opened.ID, now, others, eventSessionLimit)
	return tag.RowsAffected(), err
}
