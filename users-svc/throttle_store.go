package users

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/db"
)

// standing reads how the failures of key stand.
func (t *throttle) standing(ctx context.Context, key []byte) (standing, error) {
	at := standing{key: key, moment: t.turns.moment()}
	if t.rate.Off() {
		return at, nil
	}
	err := t.pool.QueryRow(ctx, `SELECT CASE WHEN forget_at > $2 THEN failures ELSE 0 END, blocked_until FROM login_throttle WHERE key = $1`, key, t.now()).
		Scan(&at.failures, &at.until)
	if db.NoRows(err) {
		err = nil
	}
	return at, err
}

// failed counts a failure of key, and of the address when it is a sign-in's, and writes h when
// there is an account to write it for, in one transaction. It returns how the failures stand then,
// uncounted when that is not known.
func (t *throttle) failed(ctx context.Context, key []byte, h happening) (*standing, error) {
	now := t.now()
	var at standing
	err := db.InTx(ctx, t.pool, func(tx pgx.Tx) error {
		if err := remember(ctx, tx, now, h); err != nil {
			return err
		}
		var err error
		if at, err = t.countFailure(ctx, tx, key, now); err != nil || h.Event != eventLogin {
			return err
		}
		return countFailedLogin(ctx, tx, h.UserID, h.Device, now)
	})
	if err != nil {
		return &standing{failures: uncounted}, err
	}
	return &at, nil
}

// countFailure counts a failure of key and says how long the key is closed then.
func (t *throttle) countFailure(ctx context.Context, tx dbtx, key []byte, now time.Time) (at standing, err error) {
	if t.rate.Off() {
		return at, nil
	}
	err = tx.QueryRow(ctx, `INSERT INTO login_throttle AS t (key, failures, blocked_until, forget_at)
		VALUES ($1, 1, $2, $2) ON CONFLICT (key) DO UPDATE
		SET failures = CASE WHEN t.forget_at > $2 THEN t.failures + 1 ELSE 1 END RETURNING failures`,
		key, now).Scan(&at.failures)
	if err != nil {
		return at, err
	}
	until := now.Add(t.wait(at.failures))
	at.until = &until
	_, err = tx.Exec(ctx, `UPDATE login_throttle SET blocked_until = $2, forget_at = $3 WHERE key = $1`,
		key, until, until.Add(t.rate.Period))
	return at, err
}

// forget deletes the failures of keys after a success.
func (t *throttle) forget(ctx context.Context, q dbtx, keys ...[]byte) error {
	_, err := q.Exec(ctx, `DELETE FROM login_throttle WHERE key = ANY ($1)`, keys)
	return err
}
