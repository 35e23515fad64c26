package activity

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/db"
)

// What replicas exclude each other with are locks of tables, which only the schema's owner can take. Any role of the
// database could hold an advisory lock, and so stop the log.
//
// Who moves how far the counts reach, or drops a day, locks activity_counted alone; who adds records shares it. Reading
// waits for neither.
const (
	lockCountsShared = `LOCK TABLE activity_counted IN ROW SHARE MODE`
	lockCounts       = `LOCK TABLE activity_counted IN EXCLUSIVE MODE`
	lockPartitions   = `LOCK TABLE ONLY activity IN SHARE UPDATE EXCLUSIVE MODE` // of partitions
	lockMaintenance  = `LOCK TABLE maintenance_lock IN EXCLUSIVE MODE NOWAIT`
)

// The advisory locks that the previous release counts and writes under: they are taken as well, so that it and this
// one may run together, and go with the next release. The wait for them is bounded.
const (
	previousKey    = `hashtext('activity counts')`
	previousShared = `SELECT set_config('lock_timeout', '1s', true), pg_advisory_xact_lock_shared(` + previousKey + `), set_config('lock_timeout', '0', true)`
	previousAlone  = `SELECT set_config('lock_timeout', '1s', true), pg_advisory_xact_lock(` + previousKey + `), set_config('lock_timeout', '0', true)`

	// holdsPrevious: a replica of ours has such a lock. Another role's is not waited for.
	holdsPrevious = `SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.objid::bigint = ` + previousKey + `::bigint & 4294967295
		AND a.datname = current_database() AND a.usename = session_user)`
)

// errPreviousHeld says that the advisory lock was not to be had in its time.
var errPreviousHeld = errors.New("another process holds the lock of the counts")

// withCounts runs f in a transaction in which nobody else moves how far the counts reach.
func (s *store) withCounts(ctx context.Context, f func(pgx.Tx, counted) error) error {
	return s.locked(ctx, func(tx pgx.Tx, previous bool) error {
		c, err := shareCounts(ctx, tx, previous)
		if err != nil {
			return err
		}
		return f(tx, c)
	})
}

// countsAlone runs f in a transaction in which nobody else counts or adds records.
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

// locked runs f until it gets its locks: without that of the previous release when another role holds it.
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

// lockAlone waits for the lock, and bounds every other wait of tx: whoever changes tables must not make the rest of the world queue behind it.
func lockAlone(ctx context.Context, tx pgx.Tx, lock string) error {
	_, err := tx.Exec(ctx, lock)
	if err == nil {
		_, err = tx.Exec(ctx, `SET LOCAL lock_timeout = '1s'; SET LOCAL statement_timeout = '10min'; `+planForValues)
	}
	return err
}

// alone runs f unless another replica is running the same; the lock ends with the connection, so a replica that dies
// holds nobody up. Its transaction has no snapshot, so it is in the way of no VACUUM.
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
