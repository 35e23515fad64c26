package throttle

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/history"
)

// State reads how the failures of key stand.
func (t *Throttle) State(ctx context.Context, key []byte) (FailureState, error) {
	at := FailureState{Key: key, Version: t.Attempts.Version()}
	if t.Rate.Off() {
		return at, nil
	}
	err := t.Pool.QueryRow(ctx, `SELECT CASE WHEN forget_at > $2 THEN failures ELSE 0 END, blocked_until FROM login_throttle WHERE key = $1`, key, t.Now()).
		Scan(&at.Failures, &at.BlockedUntil)
	if db.NoRows(err) {
		err = nil
	}
	return at, err
}

// recordFailure counts a failure of key, and of the address when it is a sign-in's, and writes h
// when there is an account to write it for, in one transaction. It returns how the failures stand
// then, uncounted when that is not known.
func (t *Throttle) recordFailure(ctx context.Context, key []byte, h history.Event) (*FailureState, error) {
	now := t.Now()
	var at FailureState
	err := db.InTx(ctx, t.Pool, func(tx pgx.Tx) error {
		if err := history.Record(ctx, tx, now, h); err != nil {
			return err
		}
		var err error
		if at, err = t.countFailure(ctx, tx, key, now); err != nil || h.Kind != history.Login {
			return err
		}
		return history.CountFailedLogin(ctx, tx, h.UserID, h.Device, now)
	})
	if err != nil {
		return &FailureState{Failures: unknownFailures}, err
	}
	return &at, nil
}

// countFailure counts a failure of key and says how long the key is closed then.
func (t *Throttle) countFailure(ctx context.Context, tx core.DBTX, key []byte, now time.Time) (at FailureState,
	err error) {
	if t.Rate.Off() {
		return at, nil
	}
	err = tx.QueryRow(ctx, `INSERT INTO login_throttle AS t (key, failures, blocked_until, forget_at)
		VALUES ($1, 1, $2, $2) ON CONFLICT (key) DO UPDATE
		SET failures = CASE WHEN t.forget_at > $2 THEN t.failures + 1 ELSE 1 END RETURNING failures`,
		key, now).Scan(&at.Failures)
	if err != nil {
		return at, err
	}
	until := now.Add(t.lockout(at.Failures))
	at.BlockedUntil = &until
	_, err = tx.Exec(ctx, `UPDATE login_throttle SET blocked_until = $2, forget_at = $3 WHERE key = $1`,
		key, until, until.Add(t.Rate.Period))
	return at, err
}

// Reset deletes the failures of keys after a success.
func (t *Throttle) Reset(ctx context.Context, q core.DBTX, keys ...[]byte) error {
	_, err := q.Exec(ctx, `DELETE FROM login_throttle WHERE key = ANY ($1)`, keys)
	return err
}
