package users

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/db"
)

// deleteBatchSize is the largest number of rows that one statement deletes. It keeps transactions
// short.
const deleteBatchSize = 5000

// deleteExpired deletes, in small transactions, the rows that are expired by the clock of this
// process and by that of the database.
func (c *cleanup) deleteExpired(ctx context.Context) error {
	now, err := c.clock.Read(ctx)
	if errors.Is(err, db.ErrClockDoubted) {
		return nil // the clock reported it
	}
	if err != nil {
		return err
	}
	for {
		var deleted int64
		err := db.InTx(ctx, c.Pool, func(tx pgx.Tx) (err error) {
			deleted, err = c.deleteBatch(ctx, tx, now.Earlier())
			return err
		})
		if err != nil || deleted == 0 {
			return err
		}
	}
}

// deleteBatch deletes up to deleteBatchSize expired rows of each table and returns how many it
// deleted.
func (c *cleanup) deleteBatch(ctx context.Context, tx pgx.Tx, now time.Time) (int64, error) {
	var deleted int64
	for _, statement := range []struct {
		sql    string
		before time.Time
	}{
		{`DELETE FROM login_history
			WHERE id IN (SELECT id FROM login_history WHERE created_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)`,
			now.Add(-c.historyRetention)},
		{`DELETE FROM failed_logins
			WHERE (address, hour) IN (
				SELECT address, hour FROM failed_logins WHERE hour < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)`,
			now.Add(-c.historyRetention)},
		{`DELETE FROM login_throttle
			WHERE key IN (SELECT key FROM login_throttle WHERE forget_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)`, now},
		{`DELETE FROM mail_tokens
			WHERE hash IN (SELECT hash FROM mail_tokens WHERE expires_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)`, now},
		{deleteSessions, now.Add(-endedRetention)},
		{`DELETE FROM two_factor_logins
			WHERE hash IN (SELECT hash FROM two_factor_logins WHERE expires_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)`,
			now.Add(-pendingRetention)},
		{`DELETE FROM device_codes
			WHERE hash IN (SELECT hash FROM device_codes WHERE expires_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)`,
			now.Add(-endedRetention)},
		{`DELETE FROM oidc_flows WHERE state_hash IN (
				SELECT state_hash FROM oidc_flows WHERE expires_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)`, now},
		{`DELETE FROM oidc_codes
			WHERE hash IN (SELECT hash FROM oidc_codes WHERE expires_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)`, now},
		{`DELETE FROM passkey_challenges
			WHERE hash IN (SELECT hash FROM passkey_challenges WHERE expires_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)`, now},
		{`DELETE FROM oidc_links
			WHERE hash IN (SELECT hash FROM oidc_links WHERE expires_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)`, now},
	} {
		tag, err := tx.Exec(ctx, statement.sql, statement.before, deleteBatchSize)
		if err != nil {
			return 0, err
		}
		deleted += tag.RowsAffected()
	}
	return deleted, nil
}

// deleteSessions deletes expired sessions and keeps when their users were last seen. It skips users
// whose row is locked, because every other transaction locks the user's row before the sessions.
const deleteSessions = `
	WITH deleted AS (
		DELETE FROM sessions
		WHERE id IN (SELECT id FROM sessions WHERE expires_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)
		RETURNING user_id, last_seen_at),
	seen AS (SELECT user_id, max(last_seen_at) AS at FROM deleted GROUP BY user_id),
	free AS (SELECT id FROM users WHERE id IN (SELECT user_id FROM seen) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED),
	kept AS (
		UPDATE users u SET last_seen_at = greatest(u.last_seen_at, seen.at) FROM seen, free
		WHERE u.id = seen.user_id AND u.id = free.id)
	SELECT FROM deleted`
