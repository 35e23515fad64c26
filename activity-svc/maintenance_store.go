package activity

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/activity-svc/internal/timerange"
	"github.com/realmgate/realmgate/pkg/db"
)

// partitions remembers which days are known to have a partition.
type partitions struct {
	mu    sync.Mutex
	known map[int64]bool
}

func (p *partitions) missing(days []time.Time) []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []time.Time
	for _, d := range days {
		if !p.known[d.Unix()] {
			out = append(out, d)
		}
	}
	return out
}

func (p *partitions) add(days []time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil {
		p.known = map[int64]bool{}
	}
	for _, d := range days {
		p.known[d.Unix()] = true
	}
}

func (p *partitions) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = nil
}

const partitionPrefix = "activity_"

func partitionName(day time.Time) string { return partitionPrefix + day.Format("20060102") }

// makePartitions creates the missing partitions of the wanted days.
func (s *store) makePartitions(ctx context.Context, wanted []time.Time) error {
	wanted = s.partitions.missing(wanted)
	if len(wanted) == 0 {
		return nil
	}
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := lockExclusive(ctx, tx, lockPartitions); err != nil {
			return err
		}
		there, err := days(ctx, tx)
		if err != nil {
			return err
		}
		for _, day := range wanted {
			if slices.ContainsFunc(there, day.Equal) {
				continue
			}
			if err := makePartition(ctx, tx, day); err != nil {
				return fmt.Errorf("partition %s: %w", partitionName(day), err)
			}
		}
		return nil
	})
	if err == nil {
		s.partitions.add(wanted)
	}
	return err
}

// makePartition locks readers and writers out for some milliseconds. ATTACH PARTITION would not,
// but a connection that reads the list of partitions while one is attached may keep the old list
// for good (PostgreSQL 15 to 18): it cannot store records of the new day, and does not see them.
// DDL takes no parameters; name and bounds are hexadecimal digits made here.
func makePartition(ctx context.Context, tx pgx.Tx, day time.Time) error {
	_, err := tx.Exec(ctx, fmt.Sprintf(`CREATE TABLE %s PARTITION OF activity FOR VALUES FROM ('\x%x') TO ('\x%x')`,
		partitionName(day), firstID(day), firstID(day.Add(timerange.Day))))
	return err
}

// days lists the days that have a partition, the oldest first.
func (s *store) days(ctx context.Context) ([]time.Time, error) { return days(ctx, s.pool) }

func days(ctx context.Context, q interface {
	Query(context.Context, string, ...any) (pgx.Rows, error)
}) ([]time.Time, error) {
	rows, err := q.Query(ctx, `SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'activity'::regclass ORDER BY 1`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (time.Time, error) {
		var name string
		if err := row.Scan(&name); err != nil {
			return time.Time{}, err
		}
		return time.Parse("20060102", strings.TrimPrefix(name, partitionPrefix))
	})
}

// newestDay returns the last of the days, which are in order, that has a record; the zero time for
// none.
func (s *store) newestDay(ctx context.Context, days []time.Time) (time.Time, error) {
	for _, day := range slices.Backward(days) {
		var one int
		err := s.pool.QueryRow(ctx, `SELECT 1 FROM `+partitionName(day)+` LIMIT 1`).Scan(&one)
		if !db.IsNoRows(err) {
			return day, err
		}
	}
	return time.Time{}, nil
}

// drop deletes a day: its records and their counts go in one transaction, so that no total ever
// includes records that are gone.
func (s *store) drop(ctx context.Context, day time.Time) error {
	return s.withWatermarkLocked(ctx, func(tx pgx.Tx, _ time.Time) error { return dropDay(ctx, tx, day) })
}

func dropDay(ctx context.Context, tx pgx.Tx, day time.Time) error {
	if _, err := tx.Exec(ctx, `DELETE FROM activity_hourly WHERE hour >= $1 AND hour < $2`,
		day, day.Add(timerange.Day)); err != nil {
		return err
	}
	// Also those of days that a replica of the previous release dropped.
	if _, err := tx.Exec(ctx, `DELETE FROM activity_totals WHERE hour < $1`, day.Add(timerange.Day)); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM activity_totals_daily WHERE day <= $1`, day); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM activity_daily WHERE day = $1`, day); err != nil {
		return err
	}
	// Last, because it blocks readers until the commit. A reader whose snapshot is older starts
	// again then (errGone).
	_, err := tx.Exec(ctx, `DROP TABLE IF EXISTS `+partitionName(day))
	return err
}

// dropDeadLetters deletes the dead letters that were received before the given time.
func (s *store) dropDeadLetters(ctx context.Context, before time.Time) error {
	_, err := s.pool.Exec(ctx, `DELETE FROM activity_dead_letters WHERE received_at < $1`, before)
	return err
}
