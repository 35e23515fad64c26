package signin

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/sessionstate"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/request"
	"github.com/realmgate/realmgate/users-svc/internal/session"
)

// open opens a session, or stores a pending login when the second factor is still to be verified,
// provided that accountState.check allows it. A user with session.MaxSessions sessions loses the
// oldest one. The failure count that a correct password resets is deleted even when the sign-in is
// refused.
func (s *Service) open(ctx context.Context, userID string, opening NewSession) (openedSession, error) {
	var opened openedSession
	var change *sessionstate.Change
	err := db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		opened, change = openedSession{}, nil
		now := s.Now()
		state, err := lockAccountState(ctx, tx, userID, now)
		if err != nil {
			return err
		}
		if err := state.check(opening); err != nil {
			return err
		}
		if err := s.throttle.Reset(ctx, tx, opening.throttleKey); err != nil {
			return err
		}
		opened.updatedAt = state.updatedAt
		if opening.Redeem != nil {
			if err := opening.Redeem(ctx, tx); err != nil {
				return err
			}
		}
		if opened.pending = opening.pendingToken != "" && state.secondFactor; opened.pending {
			pending := Pending{userID, state.passwordHash}
			return insertPending(ctx, tx, opening.pendingToken, pending, now.Add(s.cfg.PendingTTL))
		}
		if state.activeSessions >= session.MaxSessions {
			if change, err = endOldest(ctx, tx, userID, opening.Device, now); err != nil {
				return err
			}
		}
		opened.Active = s.sessions.NewActive(userID, now)
		opened.Unconfirmed = opening.Unconfirmed
		return s.insertSession(ctx, tx, opened.Active, opening.Device, now)
	})
	if rejected, ok := errors.AsType[*apperr.Error](err); ok {
		return opened, cmp.Or(s.throttle.Reset(ctx, s.Pool, opening.throttleKey), error(rejected))
	}
	if err == nil && change != nil {
		s.Changes.Notify(ctx, *change)
	}
	return opened, err
}

// replaceAll runs extra, ends every session of the user and opens a new one, in one transaction.
func (s *Service) replaceAll(ctx context.Context, userID, reason string, device request.Device,
	extra func(tx core.DBTX) error) (session.Active, account.Account, error) {
	var active session.Active
	var user account.Account
	var change sessionstate.Change
	err := db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		var err error
		if user, err = account.LockByID(ctx, tx, userID); err != nil {
			return err
		}
		if err = extra(tx); err != nil {
			return err
		}
		if user.IsBanned {
			return apperr.AccountBanned()
		}
		now := s.Now()
		if _, err = session.EndAllTx(ctx, tx, userID, "", reason, now); err != nil {
			return err
		}
		if err = history.Record(ctx, tx, now, history.Event{UserID: userID, Kind: reason, Device: device}); err != nil {
			return err
		}
		if change, err = core.BumpVersion(ctx, tx, userID); err != nil {
			return err
		}
		active = s.sessions.NewActive(userID, now)
		return s.insertSession(ctx, tx, active, device, now)
	})
	if err == nil {
		s.Changes.Notify(ctx, change)
	}
	return active, user, err
}

// accountState is the data that decides whether a session may be opened, read under the lock of the
// user's row.
type accountState struct {
	passwordHash   string
	banned         bool
	updatedAt      time.Time
	secondFactor   bool
	activeSessions int // at most session.MaxSessions are counted
}

// lockAccountState locks the user's row until the end of tx and returns the state of the account,
// or 404 USER_NOT_FOUND. The second statement has its own snapshot (READ COMMITTED), so it sees
// everything that earlier holders of the lock committed. So no ban, new password or second factor
// can come between the decision and the session, and concurrent sign-ins of one user run one after
// the other.
func lockAccountState(ctx context.Context, tx pgx.Tx, userID string, now time.Time) (accountState, error) {
	var state accountState
	var batch pgx.Batch
	batch.Queue(`SELECT password_hash, is_banned, updated_at FROM users WHERE id = $1 FOR NO KEY UPDATE`, userID).
		QueryRow(func(row pgx.Row) error {
			err := row.Scan(&state.passwordHash, &state.banned, &state.updatedAt)
			if db.IsNoRows(err) {
				return core.UserNotFound()
			}
			return err
		})
	batch.Queue(`SELECT EXISTS (SELECT 1 FROM two_factor WHERE user_id = $1 AND enabled_at IS NOT NULL),
		(SELECT count(*) FROM (SELECT 1 FROM sessions
			WHERE user_id = $1 AND ended_at IS NULL AND expires_at > $2 LIMIT $3) active)`,
		userID, now, session.MaxSessions).
		QueryRow(func(row pgx.Row) error { return row.Scan(&state.secondFactor, &state.activeSessions) })
	return state, tx.SendBatch(ctx, &batch).Close()
}

// openedSession is the result of open.
type openedSession struct {
	session.Active
	pending   bool      // no session was opened: the second factor must be verified
	updatedAt time.Time // of the account
}

func (s *Service) insertSession(ctx context.Context, tx pgx.Tx, active session.Active, device request.Device,
	now time.Time) error {
	if err := s.sessions.Insert(ctx, tx, active, device, now); err != nil {
		return err
	}
	return history.Record(ctx, tx, now, history.Event{UserID: active.UserID, Kind: history.Login, Device: device})
}

// endOldest ends the oldest session of a user who has session.MaxSessions, and returns the change
// to announce.
func endOldest(ctx context.Context, tx pgx.Tx, userID string, device request.Device,
	now time.Time) (*sessionstate.Change, error) {
	if err := session.EndOldest(ctx, tx, userID, session.MaxSessions-1, now); err != nil {
		return nil, err
	}
	event := history.Event{UserID: userID, Kind: history.SessionLimit, Device: device}
	if err := history.Record(ctx, tx, now, event); err != nil {
		return nil, err
	}
	change, err := core.BumpVersion(ctx, tx, userID)
	return &change, err
}

// signupRegion returns the region that the user asked for at sign-up, or "" for any.
func signupRegion(ctx context.Context, q core.DBTX, userID string) (string, error) {
	var region string
	err := q.QueryRow(ctx, `SELECT coalesce(signup_region, '') FROM users WHERE id = $1`, userID).Scan(&region)
	if db.IsNoRows(err) {
		err = core.UserNotFound()
	}
	return region, err
}

// markWelcomed records that the user got the offer of the first sign-in.
func markWelcomed(ctx context.Context, q core.DBTX, userID string) error {
	_, err := q.Exec(ctx, `UPDATE users SET welcomed = true WHERE id = $1 AND NOT welcomed`, userID)
	return err
}
