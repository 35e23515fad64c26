package activity

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/db"
)

// Replicas exclude each other with table locks, which only the schema's owner can take. Any role of
// the database could hold an advisory lock, and so stop the log.
//
// Moving the watermark of the counts and dropping a day lock activity_counted exclusively; adding
// records shares the lock. Reading waits for neither.
const (
	lockCountsShared = `LOCK TABLE activity_counted IN ROW SHARE MODE`
	lockCounts       = `LOCK TABLE activity_counted IN EXCLUSIVE MODE`
	lockPartitions   = `LOCK TABLE ONLY activity IN SHARE UPDATE EXCLUSIVE MODE` // of partitions
	lockMaintenance  = `LOCK TABLE maintenance_lock IN EXCLUSIVE MODE NOWAIT`
)

// The previous release counts and writes under these advisory locks. This release takes them as
// well, so that replicas of both may run together; the next release does not. The wait for them is
// bounded.
const (
	previousKey    = `hashtext('activity counts')`
	previousShared = `SELECT set_config('lock_timeout', '1s', true), pg_advisory_xact_lock_shared(` + previousKey +
		`), set_config('lock_timeout', '0', true)`
	previousAlone = `SELECT set_config('lock_timeout', '1s', true), pg_advisory_xact_lock(` + previousKey +
		`), set_config('lock_timeout', '0', true)`

	// holdsPrevious reports whether a replica of this service holds such a lock. A lock of another
	// role is not waited for.
	holdsPrevious = `SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.objid::bigint = ` + previousKey + `::bigint & 4294967295
		AND a.datname = current_database() AND a.usename = session_user)`
)

// errPreviousHeld reports that the wait for the advisory lock timed out.
var errPreviousHeld = errors.New("another process holds the lock of the counts")

// withCounts runs f in a transaction during which the watermark of the counts does not move.
func (s *store) withCounts(ctx context.Context, f func(pgx.Tx, counted) error) error {
	return s.locked(ctx, func(tx pgx.Tx, previous bool) error {
		c, err := shareCounts(ctx, tx, previous)
		if err != nil {
			return err
		}
		return f(tx, c)
	})
}

// countsAlone runs f in a transaction during which no other replica counts or adds records.
func (s *store) countsAlone(ctx context.Context, f func(pgx.Tx) error) error {
	return s.locked(ctx, func(tx pgx.Tx, previous bool) error {
		if previous {
			if _, err := tx.Exec(ctx, previousAlone); err != nil {
				return previousHeld(err)
			}
		}
		if err := lockAlone(ctx, tx, lockCounts); err != nil {
			return err
		}
		return f(tx)
	})
}

// locked runs f until it gets its locks. It leaves out the previous release's lock when another
// role holds it.
func (s *store) locked(ctx context.Context, f func(tx pgx.Tx, previous bool) error) error {
	for previous := true; ; {
		err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error { return f(tx, previous) })
		if !errors.Is(err, errPreviousHeld) {
			return err
		}
		if err := s.pool.QueryRow(ctx, holdsPrevious).Scan(&previous); err != nil {
			return err
		}
	}
}

// shareCounts keeps counted from changing before the end of tx, and returns it.
func shareCounts(ctx context.Context, tx pgx.Tx, previous bool) (c counted, err error) {
	b := &pgx.Batch{}
	if previous {
		b.Queue(previousShared)
	}
	b.Queue(lockCountsShared)
	b.Queue(readCounted).QueryRow(c.scan) // a statement of its own, so that it sees what the holder of the lock committed
	err = tx.SendBatch(ctx, b).Close()
	if previous {
		err = previousHeld(err)
	}
	return c, err
}

func previousHeld(err error) error {
	if isLockTimeout(err) {
		return errPreviousHeld
	}
	return err
}

func isLockTimeout(err error) bool { _, code := sqlState(err); return code == "55P03" }

// lockAlone waits for the lock, and bounds every other wait of tx: a change of tables must not make
// other transactions queue behind it.
func lockAlone(ctx context.Context, tx pgx.Tx, lock string) error {
	_, err := tx.Exec(ctx, lock)
	if err == nil {
		_, err = tx.Exec(ctx, `SET LOCAL lock_timeout = '1s'; SET LOCAL statement_timeout = '10min'; `+planForValues)
	}
	return err
}

// alone runs f unless another replica is running the same. The lock ends with the connection, so a
// replica that dies does not block the others. Its transaction has no snapshot, so it does not hold
// back VACUUM.
func (s *store) alone(ctx context.Context, f func(context.Context) error) error {
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // which unlocks; or the connection is lost
	for _, sql := range []string{"SET LOCAL idle_in_transaction_session_timeout = 0", lockMaintenance} {
		if _, err := tx.Exec(ctx, sql); isLockTimeout(err) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return f(ctx)
}
