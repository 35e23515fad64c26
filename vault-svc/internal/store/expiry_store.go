package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// EndedUsers returns at most limit users of whom an item has expired, or an entry of the trash ended
// before trashBefore.
func (s *Store) EndedUsers(ctx context.Context, trashBefore time.Time, limit int) ([]string, error) {
	rows, err := s.pool.Query(ctx, `
		(SELECT DISTINCT user_id FROM vault_items WHERE expires_at <= now() LIMIT $2)
		UNION (SELECT DISTINCT user_id FROM vault_trash WHERE restorable_until <= least(now(), $1) LIMIT $2)`,
		trashBefore, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// endedLockTimeout bounds how long RemoveEnded waits for the lock of an account, because other users
// wait for their turn.
const endedLockTimeout = `1s`

// RemoveEnded removes at most limit items of a user that have expired, and entries of the trash that
// ended before trashBefore, with their versions. It returns their number. Replicas may call it at
// the same time.
func (s *Store) RemoveEnded(ctx context.Context, user string, trashBefore time.Time, limit int) (n int, err error) {
	var b pgx.Batch
	b.Queue(`SELECT set_config('lock_timeout', $1, true)`, endedLockTimeout)
	b.Queue(`SELECT vault_expire($1, $2, $3)`, user, trashBefore, limit).QueryRow(func(r pgx.Row) error {
		return r.Scan(&n)
	})
	err = s.pool.SendBatch(ctx, &b).Close()
	return n, err
}

// RemoveChanges removes at most limit changes from before the time and returns their number. It
// skips rows that another replica removes at the moment.
func (s *Store) RemoveChanges(ctx context.Context, before time.Time, limit int) (int64, error) {
	tag, err := s.pool.Exec(ctx, `
		DELETE FROM vault_changes WHERE (user_id, revision) IN (
		    SELECT user_id, revision FROM vault_changes WHERE at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)`, before, limit)
	return tag.RowsAffected(), err
}
