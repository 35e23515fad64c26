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

// accountState is what decides whether a session may be opened, read under the lock of the user's row.
type accountState struct {
	passwordHash   string
	banned         bool
	updatedAt      time.Time
	secondFactor   bool
	activeSessions int // at most session.MaxSessions are counted
}

// lockAccountState locks the user's row until the end of tx and returns the state of the account;
// USER_NOT_FOUND when there is none. The second statement has a snapshot of its own (READ COMMITTED),
// so it sees what earlier holders of the lock committed: neither a ban, another password, nor a second
// factor comes between the decision and the session, and sign-ins of one user wait for each other.
func lockAccountState(ctx context.Context, tx pgx.Tx, userID string, now time.Time) (accountState, error) {
	var state accountState
	var batch pgx.Batch
	batch.Queue(`SELECT password_hash, is_banned, updated_at FROM users WHERE id = $1 FOR NO KEY UPDATE`, userID).
		QueryRow(func(row pgx.Row) error {
			err := row.Scan(&state.passwordHash, &state.banned, &state.updatedAt)
			if db.NoRows(err) {
				return core.UserNotFound()
			}
			return err
		})
	batch.Queue(`SELECT EXISTS (SELECT 1 FROM two_factor WHERE user_id = $1 AND enabled_at IS NOT NULL),
		(SELECT count(*) FROM (SELECT 1 FROM sessions
			WHERE user_id = $1 AND ended_at IS NULL AND expires_at > $2 LIMIT $3) active)`, userID, now, session.MaxSessions).
		QueryRow(func(row pgx.Row) error { return row.Scan(&state.secondFactor, &state.activeSessions) })
	return state, tx.SendBatch(ctx, &batch).Close()
}

// openedSession is the result of open.
type openedSession struct {
	session.Active
	pending   bool      // no session was opened: the second factor is pending
	updatedAt time.Time // of the account
}

// open opens a session, or stores that the second factor is pending, if the account as it is now allows
// it. A user who has session.MaxSessions loses the oldest one. The failures that a right password ends
// are deleted whatever comes of it.
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
		if opened.pending = opening.pendingToken != "" && state.secondFactor; opened.pending {
			return insertPending(ctx, tx, opening.pendingToken, Pending{userID, state.passwordHash}, now.Add(s.cfg.PendingTTL))
		}
		if state.activeSessions >= session.MaxSessions {
			if change, err = endOldest(ctx, tx, userID, opening.Device, now); err != nil {
				return err
			}
		}
		opened.Active = s.sessions.NewActive(userID, now)
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

func (s *Service) insertSession(ctx context.Context, tx pgx.Tx, active session.Active, device request.Device,
	now time.Time) error {
	if err := s.sessions.Insert(ctx, tx, active, device, now); err != nil {
		return err
	}
	return history.Record(ctx, tx, now, history.Event{UserID: active.UserID, Kind: history.Login, Device: device})
}

// endOldest ends the oldest sessions of a user who has as many as allowed, so that there is room for one
// more, and returns the change to announce.
func endOldest(ctx context.Context, tx pgx.Tx, userID string, device request.Device,
	now time.Time) (*sessionstate.Change,
	error) {
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

// replaceAll ends every session of the user and opens a new one, after the change that also makes, in
// one transaction.
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
