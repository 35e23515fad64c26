package activity

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/db"
)

// Replicas exclude each other with table locks, which only the schema's owner can take. Any role of
// the database could hold an advisory lock, and so stop the log.
//
// Moving the watermark, dropping a day and making counts again lock activity_watermark exclusively;
// adding records shares the lock. Reading waits for neither.
const (
	lockWatermarkShared = `LOCK TABLE activity_watermark IN ROW SHARE MODE`
	lockWatermark       = `LOCK TABLE activity_watermark IN EXCLUSIVE MODE`
	lockPartitions      = `LOCK TABLE ONLY activity IN SHARE UPDATE EXCLUSIVE MODE` // of partitions
	lockMaintenance     = `LOCK TABLE maintenance_lock IN EXCLUSIVE MODE NOWAIT`
)

// withWatermark runs f in a transaction during which the watermark does not move.
func (s *store) withWatermark(ctx context.Context, f func(tx pgx.Tx, watermark time.Time) error) error {
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		var watermark time.Time
		b := &pgx.Batch{}
		b.Queue(lockWatermarkShared)
		// A statement of its own, so that it sees what the holder of the lock committed.
		b.Queue(readWatermark).QueryRow(func(row pgx.Row) error { return row.Scan(&watermark) })
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		return f(tx, watermark.UTC())
	})
}

// withWatermarkLocked runs f in a transaction during which no other replica counts, adds or drops
// records.
func (s *store) withWatermarkLocked(ctx context.Context, f func(tx pgx.Tx, watermark time.Time) error) error {
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := lockExclusive(ctx, tx, lockWatermark); err != nil {
			return err
		}
		var watermark time.Time
		if err := tx.QueryRow(ctx, readWatermark).Scan(&watermark); err != nil {
			return err
		}
		return f(tx, watermark.UTC())
	})
}

func isLockTimeout(err error) bool { _, code := sqlState(err); return code == "55P03" }

// lockExclusive waits for the lock, and bounds every other wait of tx: a change of tables must not
// make other transactions queue behind it.
func lockExclusive(ctx context.Context, tx pgx.Tx, lock string) error {
	_, err := tx.Exec(ctx, lock)
	if err == nil {
		_, err = tx.Exec(ctx, `SET LOCAL lock_timeout = '1s'; SET LOCAL statement_timeout = '10min'; `+planForValues)
	}
	return err
}

// withMaintenanceLock runs f unless another replica is running the same. The lock ends with the
// connection, so a replica that dies does not block the others. Its transaction has no snapshot, so
// it does not hold back VACUUM.
func (s *store) withMaintenanceLock(ctx context.Context, f func(context.Context) error) error {
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // unlocks; or the connection is lost
	for _, sql := range []string{"SET LOCAL idle_in_transaction_session_timeout = 0", lockMaintenance} {
		if _, err := tx.Exec(ctx, sql); isLockTimeout(err) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return f(ctx)
}
