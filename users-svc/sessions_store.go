package users

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/netaddr"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

// The outcomes of the function open_session.
const (
	signInOpened   = "opened"
	signInUnknown  = "unknown"
	signInBanned   = "banned"
	signInChanged  = "changed"
	signInOwesCode = "owes_code"
	signInFull     = "full"
)

// opened is what came of an opening, and what the answer tells of the user.
type opened struct {
	outcome   string
	updatedAt *time.Time // of the account
	Provisioned
}

// open writes a new session, its first refresh token and the line in the history, or says why it
// does not: see the function open_session. A user with most live sessions gets no further one.
func (s *sessions) open(ctx context.Context, q dbtx, o opening, most int, now time.Time) (opened, error) {
	var owed []byte
	if o.owed != "" {
		owed = tokenHash(o.owed)
	}
	rows, err := q.Query(ctx, `SELECT o_outcome, o_updated, had.*
		FROM open_session($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
		LEFT JOIN LATERAL (`+selectProvisioned+`) had ON o_outcome = 'opened'`,
		o.live.UserID, o.trusted, owed, now.Add(s.cfg.Tokens.HalfLogin), o.throttle, now,
		o.live.ID, o.live.ExpiresAt, now.Add(s.cfg.Tokens.MaxSession), tokenHash(o.live.Refresh), newSalt(),
		id.New(now), o.device.Address, netaddr.NetworkOf(o.device.Address), o.device.UserAgent, o.device.Client, most)
	if err != nil {
		return opened{}, err
	}
	return pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (opened, error) {
		var out opened
		to := []any{&out.outcome, &out.updatedAt}
		err := row.Scan(append(to, out.columns(row, len(to))...)...)
		return out, err
	})
}

// openAlone is open in a transaction of its own, which ends the oldest session of a user who has as
// many as one may.
func (s *sessions) openAlone(ctx context.Context, o opening, now time.Time) (out opened, err error) {
	err = db.Again(func() error {
		out, err = s.open(ctx, s.pool, o, maxSessions, now)
		return err
	})
	if err == nil && out.outcome == signInFull {
		return s.openInPlaceOfOldest(ctx, o, now)
	}
	return out, err
}

// replaceAll is open after ending every other session and making the change that also makes.
func (s *sessions) replaceAll(ctx context.Context, userID, event string, d device,
	also func(tx dbtx) error) (liveSession, account, opened, error) {
	var o opening
	var found account
	var out opened
	var ch sessionstate.Change
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
		o = opening{live: s.fresh(userID, now), device: d}
		if out, err = s.open(ctx, tx, o, maxSessions, now); err == nil {
			err = out.refusal()
		}
		return err
	})
	if err == nil {
		s.notify.changed(ctx, ch)
	}
	return o.live, found, out, err
}

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
		s.notify.changed(ctx, ch)
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
		s.notify.changed(ctx, ch)
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

// signupRegion is the region that was asked for at sign-up, "" for any.
func signupRegion(ctx context.Context, q dbtx, userID string) (string, error) {
	var region string
	err := q.QueryRow(ctx, `SELECT coalesce(signup_region, '') FROM users WHERE id = $1`, userID).Scan(&region)
	if db.NoRows(err) {
		err = errUserNotFound()
	}
	return region, err
}

// markWelcomed notes that the user has had the offer of the first sign-in.
func markWelcomed(ctx context.Context, q dbtx, userID string) error {
	_, err := q.Exec(ctx, `UPDATE users SET welcomed = true WHERE id = $1 AND NOT welcomed`, userID)
	return err
}
