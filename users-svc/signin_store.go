package users

import (
	"context"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

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

// opened is the result of an opening.
type opened struct {
	outcome   string
	updatedAt *time.Time // of the account
}

// open writes a new session, its first refresh token and the line in the history, or says why it
// does not: see the function open_session. A user with most live sessions gets no further one.
func (s *signIns) open(ctx context.Context, q dbtx, o opening, most int, now time.Time) (opened, error) {
	var owed []byte
	if o.owed != "" {
		owed = tokenHash(o.owed)
	}
	var out opened
	err := q.QueryRow(ctx, `SELECT o_outcome, o_updated
		FROM open_session($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
		o.live.UserID, o.trusted, owed, now.Add(s.cfg.PendingTTL), o.throttle, now,
		o.live.ID, o.live.ExpiresAt, s.sessions.maxEnd(now), tokenHash(o.live.Refresh), newSalt(),
		id.New(now), o.device.Address, netaddr.NetworkOf(o.device.Address), o.device.UserAgent, o.device.Client, most).
		Scan(&out.outcome, &out.updatedAt)
	return out, err
}

// openAlone is open in a transaction of its own, which ends the oldest session of a user who has as
// many as one may.
func (s *signIns) openAlone(ctx context.Context, o opening, now time.Time) (out opened, err error) {
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
func (s *signIns) replaceAll(ctx context.Context, userID, event string, d device,
	also func(tx dbtx) error) (liveSession, account, error) {
	var o opening
	var found account
	var ch sessionstate.Change
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		var err error
		if found, err = lockAccount(ctx, tx, userID); err != nil {
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
		o = opening{live: s.sessions.fresh(userID, now), device: d}
		out, err := s.open(ctx, tx, o, maxSessions, now)
		if err == nil {
			err = out.refusal()
		}
		return err
	})
	if err == nil {
		s.changes.changed(ctx, ch)
	}
	return o.live, found, err
}

// openInPlaceOfOldest opens a session and ends the oldest ones beyond maxSessions, in one
// transaction. The history tells, and the gateways refuse the ended ones at once.
func (s *signIns) openInPlaceOfOldest(ctx context.Context, o opening, now time.Time) (opened, error) {
	var out opened
	var ch *sessionstate.Change
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		ch = nil
		var err error
		if out, err = s.open(ctx, tx, o, math.MaxInt32, now); err != nil || out.outcome != signInOpened {
			return err
		}
		ended, err := endOldestSessions(ctx, tx, o.live, maxSessions-1, now)
		if err != nil || ended == 0 { // enough ended in the meantime
			return err
		}
		event := happening{UserID: o.live.UserID, Event: eventSessionLimit, Device: o.device}
		if err := remember(ctx, tx, now, event); err != nil {
			return err
		}
		raised, err := raiseVersion(ctx, tx, o.live.UserID)
		ch = &raised
		return err
	})
	if err == nil && ch != nil {
		s.changes.changed(ctx, *ch)
	}
	return out, err
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
