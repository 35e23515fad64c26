package throttle

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/history"
)

// State reads the state of the failures of a key.
func (t *Throttle) State(ctx context.Context, key []byte) (FailureState, error) {
	state := FailureState{Key: key, Version: t.Version()}
	if t.rate.Off() {
		return state, nil
	}
	err := t.Pool.QueryRow(ctx, `SELECT CASE WHEN forget_at > $2 THEN failures ELSE 0 END, blocked_until
		FROM login_throttle WHERE key = $1`, key, t.Now()).
		Scan(&state.Failures, &state.BlockedUntil)
	if db.IsNoRows(err) {
		err = nil
	}
	return state, err
}

// recordFailure counts a failure of key and records the event in one transaction; a failed sign-in
// is counted for its network too. It returns the failures after it, unknownFailures with an error.
func (t *Throttle) recordFailure(ctx context.Context, key []byte, event history.Event) (*FailureState, error) {
	now := t.Now()
	var state FailureState
	err := db.InTx(ctx, t.Pool, func(tx pgx.Tx) error {
		if err := history.Record(ctx, tx, now, event); err != nil {
			return err
		}
		var err error
		if state, err = t.countFailure(ctx, tx, key, now); err != nil || event.Kind != history.Login {
			return err
		}
		return history.CountFailedLogin(ctx, tx, event.UserID, event.Device, now)
	})
	if err != nil {
		return &FailureState{Failures: unknownFailures}, err
	}
	return &state, nil
}

// countFailure counts a failure of key and returns the failures and the lockout after it.
func (t *Throttle) countFailure(ctx context.Context, tx core.DBTX, key []byte, now time.Time) (state FailureState,
	err error) {
	if t.rate.Off() {
		return state, nil
	}
	err = tx.QueryRow(ctx, `INSERT INTO login_throttle AS t (key, failures, blocked_until, forget_at)
		VALUES ($1, 1, $2, $2) ON CONFLICT (key) DO UPDATE
		SET failures = CASE WHEN t.forget_at > $2 THEN t.failures + 1 ELSE 1 END RETURNING failures`,
		key, now).Scan(&state.Failures)
	if err != nil {
		return state, err
	}
	blockedUntil := now.Add(t.lockout(state.Failures))
	state.BlockedUntil = &blockedUntil
	_, err = tx.Exec(ctx, `UPDATE login_throttle SET blocked_until = $2, forget_at = $3 WHERE key = $1`,
		key, blockedUntil, blockedUntil.Add(t.rate.Period))
	return state, err
}

// Reset deletes the failures of the keys after a right password.
func (t *Throttle) Reset(ctx context.Context, q core.DBTX, keys ...[]byte) error {
	_, err := q.Exec(ctx, `DELETE FROM login_throttle WHERE key = ANY ($1)`, keys)
	return err
}
