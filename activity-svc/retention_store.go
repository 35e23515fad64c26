package activity

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

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

func (p *partitions) learn(days []time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil {
		p.known = map[int64]bool{}
	}
	for _, d := range days {
		p.known[d.Unix()] = true
	}
}

func (p *partitions) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = nil
}

const partitionPrefix = "activity_"

func partitionName(day time.Time) string { return partitionPrefix + day.Format("20060102") }

// makePartitions makes those of the days that are missing.
func (s *store) makePartitions(ctx context.Context, days []time.Time) error {
	days = s.partitions.missing(days)
	if len(days) == 0 {
		return nil
	}
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := lockAlone(ctx, tx, lockPartitions); err != nil {
			return err
		}
		for _, day := range days {
			if err := makePartition(ctx, tx, day); err != nil {
				return fmt.Errorf("partition %s: %w", partitionName(day), err)
			}
		}
		return nil
	})
	if err == nil {
		s.partitions.learn(days)
	}
	return err
}

func makePartition(ctx context.Context, tx pgx.Tx, day time.Time) error {
	name := partitionName(day)
	var there bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_inherits WHERE inhparent = 'activity'::regclass AND inhrelid = to_regclass($1))`, name).Scan(&there); err != nil || there {
		return err
	}
	// It locks readers and writers out for some milliseconds. ATTACH PARTITION would not, but a
	// connection that reads the list of partitions while one is attached may keep the old list for
	// good (PostgreSQL 15 to 18): it cannot store records of the new day, and does not see them.
	// DDL takes no parameters; name and bounds are digits of our own.
	_, err := tx.Exec(ctx, fmt.Sprintf(`CREATE TABLE %s PARTITION OF activity FOR VALUES FROM ('\x%x') TO ('\x%x')`,
		name, firstID(day), firstID(day.Add(oneDay))))
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
		var some bool
		err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+partitionName(day)+`)`).Scan(&some)
		if err != nil || some {
			return day, err
		}
	}
	return time.Time{}, nil
}

// counted returns how far the counts reach.
func (s *store) counted(ctx context.Context) (c counted, err error) {
	return c, c.scan(s.pool.QueryRow(ctx, readCounted))
}

// sizeOf is record.bytes in SQL; the number is fixedBytes.
const sizeOf = `(26 + octet_length(realm_id) + octet_length(method) + octet_length(path) + octet_length(ip_address) + octet_length(user_agent))`

// What is fresh are the records between two ids, counted as activity_daily does.
const (
	fresh       = `SELECT user_id, realm_id, method, status, count(*) AS records, sum` + sizeOf + ` AS bytes FROM activity`
	groupsFresh = ` GROUP BY user_id, realm_id, method, status`
)

// countRecords adds the records of a day, $1, with ids from $2 to before $3 to activity_daily.
const countRecords = intoDaily + `
	SELECT user_id, $1, realm_id, method, status, records, bytes FROM (` + fresh + ` WHERE id >= $2 AND id < $3` + groupsFresh + `) AS fresh` + addDaily

// count moves the counts forward to before, unless they are there. Those who store records wait
// meanwhile, so it must come often.
func (s *store) count(ctx context.Context, before time.Time) error {
	return s.countsAlone(ctx, func(tx pgx.Tx) error {
		var c counted
		if err := c.scan(tx.QueryRow(ctx, readCounted)); err != nil || !c.before.Before(before) {
			return err
		}
		days, err := days(ctx, tx)
		if err != nil {
			return err
		}
		if err := countDays(ctx, tx, days, c.before, before); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE activity_counted SET before = $1`, before)
		return err
	})
}

// countDays counts the records of the days from the time from to before the time to.
func countDays(ctx context.Context, tx pgx.Tx, days []time.Time, from, to time.Time) error {
	if err := preferHashing(ctx, tx); err != nil {
		return err
	}
	for _, day := range days {
		part := stretch{later(from, day), earlier(to, day.Add(oneDay))}
		if part.empty() {
			continue
		}
		if err := countDay(ctx, tx, day, part); err != nil {
			return err
		}
	}
	return nil
}

// countDay counts the records in part of the day.
func countDay(ctx context.Context, tx pgx.Tx, day time.Time, part stretch) error {
	busy, err := isBusy(ctx, tx, day)
	if err != nil {
		return err
	}
	if busy {
		return countBusyDay(ctx, tx, day, part)
	}
	_, err = tx.Exec(ctx, countRecords, day, firstID(part.from), firstID(part.to))
	return err
}

// preferHashing is for counting records: a new partition has no statistics, and without them
// PostgreSQL sorts all the records instead.
func preferHashing(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `SET LOCAL enable_sort = off; SET LOCAL work_mem = '64MB'`)
	return err
}

// firstCounted returns the first day after day that has counts, or the zero time.
func (s *store) firstCounted(ctx context.Context, day time.Time) (time.Time, error) {
	var first *time.Time
	if err := s.pool.QueryRow(ctx, `SELECT min(day) FROM activity_daily WHERE day > $1`, day).Scan(&first); err != nil ||
		first == nil {
		return time.Time{}, err
	}
	return *first, nil
}

// sum adds the counts of the days until day, which must be counted to its end, to their months.
func (s *store) sum(ctx context.Context, day time.Time) error {
	return s.countsAlone(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `
			INSERT INTO activity_monthly AS c (user_id, month, realm_id, method, status, records, bytes)
			SELECT user_id, date_trunc('month', day)::date AS month, realm_id, method, status, sum(records), sum(bytes)
			FROM activity_daily WHERE day > (SELECT summed_until FROM activity_counted) AND day <= $1
			GROUP BY user_id, month, realm_id, method, status
			ON CONFLICT ON CONSTRAINT activity_monthly_pkey DO UPDATE SET records = c.records + excluded.records, bytes = c.bytes + excluded.bytes`, day); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE activity_counted SET summed_until = $1 WHERE summed_until < $1`, day)
		return err
	})
}

// drop forgets a day: its records and their counts go in one transaction, so that no total ever
// speaks of records that are gone.
func (s *store) drop(ctx context.Context, day time.Time) error {
	return s.countsAlone(ctx, func(tx pgx.Tx) error {
		return dropDay(ctx, tx, day)
	})
}

func dropDay(ctx context.Context, tx pgx.Tx, day time.Time) error {
	for _, sql := range []string{
		`UPDATE activity_monthly m SET records = m.records - d.records, bytes = m.bytes - d.bytes
		 FROM activity_daily d, activity_counted c
		 WHERE d.day = $1 AND d.day <= c.summed_until AND m.user_id = d.user_id AND m.month = date_trunc('month', d.day)::date
		   AND m.realm_id = d.realm_id AND m.method = d.method AND m.status = d.status`,
		`DELETE FROM activity_monthly m USING activity_daily d
		 WHERE d.day = $1 AND m.user_id = d.user_id AND m.month = date_trunc('month', d.day)::date AND m.realm_id = d.realm_id
		   AND m.method = d.method AND m.status = d.status AND m.records = 0`,
		`DELETE FROM activity_daily WHERE day = $1`,
	} {
		if _, err := tx.Exec(ctx, sql, day); err != nil {
			return err
		}
	}
	// Last, because it locks out the readers until the commit; those who have their snapshot read
	// once more then (errGone).
	_, err := tx.Exec(ctx, `DROP TABLE IF EXISTS `+partitionName(day))
	return err
}

// dropDeadLetters forgets those that were received before the time before.
func (s *store) dropDeadLetters(ctx context.Context, before time.Time) error {
	_, err := s.pool.Exec(ctx, `DELETE FROM activity_dead_letters WHERE received_at < $1`, before)
	return err
}

// recount makes the counts again from the records before the time before; events wait in the stream
// meanwhile. It returns how many there are.
func (s *store) recount(ctx context.Context, before time.Time) (records int64, err error) {
	err = s.countsAlone(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET LOCAL statement_timeout = 0; DELETE FROM activity_daily; DELETE FROM activity_monthly; DELETE FROM activity_busy_days`); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE activity_counted SET before = $1, summed_until = '1970-01-01'`,
			before); err != nil {
			return err
		}
		days, err := days(ctx, tx)
		if err != nil {
			return err
		}
		if err := countDays(ctx, tx, days, firstMoment, before); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT coalesce(sum(records), 0)::bigint FROM activity_daily`).Scan(&records)
	})
	return records, err
}
