package signin

import (
	"context"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/netaddr"
	"github.com/realmgate/realmgate/pkg/sessionstate"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/request"
	"github.com/realmgate/realmgate/users-svc/internal/secrets"
	"github.com/realmgate/realmgate/users-svc/internal/session"
)

// The outcomes of the function open_session.
const (
	outcomeOpened  = "opened"
	outcomeUnknown = "unknown"
	outcomeBanned  = "banned"
	outcomeChanged = "changed"
	outcomePending = "owes_code"
	outcomeFull    = "full"
)

// sessionResult is the result of an opening.
type sessionResult struct {
	outcome   string
	updatedAt *time.Time // of the account
}

// insertSession writes a new session, its first refresh token and the line in the history, or says
// why it does not: see the function open_session. A user with most live sessions gets no further
// one.
func (s *Service) insertSession(ctx context.Context, q core.DBTX, o NewSession, most int, now time.Time) (sessionResult,
	error) {
	var owed []byte
	if o.pendingToken != "" {
		owed = secrets.HashToken(o.pendingToken)
	}
	var out sessionResult
	err := q.QueryRow(ctx, `SELECT o_outcome, o_updated
		FROM open_session($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
		o.live.UserID, o.VerifiedHash, owed, now.Add(s.cfg.PendingTTL), o.throttle, now,
		o.live.ID, o.live.ExpiresAt, s.sessions.MaxEnd(now), secrets.HashToken(o.live.RefreshToken), session.NewSalt(),
		id.New(now), o.Device.Address, netaddr.NetworkOf(o.Device.Address), o.Device.UserAgent, o.Device.Client, most).
		Scan(&out.outcome, &out.updatedAt)
	return out, err
}

// openSession is open in a transaction of its own, which ends the oldest session of a user who has
// as many as one may.
func (s *Service) openSession(ctx context.Context, o NewSession, now time.Time) (out sessionResult, err error) {
	err = db.Again(func() error {
		out, err = s.insertSession(ctx, s.Pool, o, session.MaxSessions, now)
		return err
	})
	if err == nil && out.outcome == outcomeFull {
		return s.openReplacingOldest(ctx, o, now)
	}
	return out, err
}

// replaceAllTx is open after ending every other session and making the change that also makes.
func (s *Service) replaceAllTx(ctx context.Context, userID, event string, d request.Device,
	also func(tx core.DBTX) error) (session.Active, account.Account, error) {
	var o NewSession
	var found account.Account
	var ch sessionstate.Change
	err := db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		var err error
		if found, err = account.LockByID(ctx, tx, userID); err != nil {
			return err
		}
		if err = also(tx); err != nil {
			return err
		}
		now := s.Now()
		if _, err = session.EndAllTx(ctx, tx, userID, "", event, now); err != nil {
			return err
		}
		if err = history.Record(ctx, tx, now, history.Event{UserID: userID, Kind: event, Device: d}); err != nil {
			return err
		}
		if ch, err = core.BumpVersion(ctx, tx, userID); err != nil {
			return err
		}
		o = NewSession{live: s.sessions.NewActive(userID, now), Device: d}
		out, err := s.insertSession(ctx, tx, o, session.MaxSessions, now)
		if err == nil {
			err = out.rejection()
		}
		return err
	})
	if err == nil {
		s.Changes.Notify(ctx, ch)
	}
	return o.live, found, err
}

// openReplacingOldest opens a session and ends the oldest ones beyond MaxSessions, in one
// transaction. The history tells, and the gateways refuse the ended ones at once.
func (s *Service) openReplacingOldest(ctx context.Context, o NewSession, now time.Time) (sessionResult, error) {
	var out sessionResult
	var ch *sessionstate.Change
	err := db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		ch = nil
		var err error
		if out, err = s.insertSession(ctx, tx, o, math.MaxInt32, now); err != nil || out.outcome != outcomeOpened {
			return err
		}
		ended, err := session.EndOldest(ctx, tx, o.live, session.MaxSessions-1, now)
		if err != nil || ended == 0 { // enough ended in the meantime
			return err
		}
		event := history.Event{UserID: o.live.UserID, Kind: history.SessionLimit, Device: o.Device}
		if err := history.Record(ctx, tx, now, event); err != nil {
			return err
		}
		raised, err := core.BumpVersion(ctx, tx, o.live.UserID)
		ch = &raised
		return err
	})
	if err == nil && ch != nil {
		s.Changes.Notify(ctx, *ch)
	}
	return out, err
}

// signupRegion is the region that was asked for at sign-up, "" for any.
func signupRegion(ctx context.Context, q core.DBTX, userID string) (string, error) {
	var region string
	err := q.QueryRow(ctx, `SELECT coalesce(signup_region, '') FROM users WHERE id = $1`, userID).Scan(&region)
	if db.NoRows(err) {
		err = core.UserNotFound()
	}
	return region, err
}

// markWelcomed notes that the user has had the offer of the first sign-in.
func markWelcomed(ctx context.Context, q core.DBTX, userID string) error {
	_, err := q.Exec(ctx, `UPDATE users SET welcomed = true WHERE id = $1 AND NOT welcomed`, userID)
	return err
}
