package activity

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/activity-svc/internal/timerange"
)

// countTable is a table of counts, per user, unit of time, realm, method and status.
type countTable struct {
	name, column, sqlType string
	unit                  time.Duration
}

var (
	hourly = countTable{name: "activity_hourly", column: "hour", sqlType: "timestamptz", unit: time.Hour}
	daily  = countTable{name: "activity_daily", column: "day", sqlType: "date", unit: timerange.Day}
)

// insert begins a statement that adds the rows of a query to the counts; onConflict ends it.
func (c countTable) insert() string {
	return `INSERT INTO ` + c.name + ` AS c (user_id, ` + c.column + `, realm_id, method, status, records, bytes)`
}

func (c countTable) onConflict() string {
	return ` ON CONFLICT (user_id, ` + c.column + `, realm_id, method, status)
		DO UPDATE SET records = c.records + excluded.records, bytes = c.bytes + excluded.bytes`
}

func (c countTable) readQuery(f filter, t totals, part timerange.Range) (sql string, args []any) {
	where, args := f.where(c.column, part.From, part.To)
	return `SELECT ` + c.column + `, ` + t.ofCounts + ` FROM ` + c.name + where + ` GROUP BY ` + c.column, args
}

// queueRead adds to b the reading of how many records f selects in each unit of part, which are
// appended to ranges.
func (c countTable) queueRead(b *pgx.Batch, f filter, t totals, part timerange.Range, ranges *[]timerange.Counted) {
	sql, args := c.readQuery(f, t, part)
	b.Queue(sql, args...).Query(func(rows pgx.Rows) error {
		r := timerange.Counted{WholeDay: c.unit == timerange.Day}
		_, err := pgx.ForEachRow(rows, []any{&r.From, &r.Records, &r.Bytes}, func() error {
			r.To = timerange.Earlier(r.From.Add(c.unit), part.To)
			*ranges = append(*ranges, r)
			return nil
		})
		return err
	})
}

// countKey is the key of a row of counts.
type countKey struct {
	userID  string
	start   int64 // of the hour or day, in Unix seconds
	realmID string
	method  string
	status  int16
}

func (k countKey) compare(other countKey) int {
	return cmp.Or(strings.Compare(k.userID, other.userID), cmp.Compare(k.start, other.start),
		strings.Compare(k.realmID, other.realmID), strings.Compare(k.method, other.method),
		cmp.Compare(k.status, other.status))
}

type count struct{ records, bytes int64 }

type counts map[countKey]*count

func (c counts) add(r *record, start time.Time) {
	k := countKey{userID: r.userID, start: start.Unix(), realmID: r.realmID, method: r.method, status: r.status}
	if c[k] == nil {
		c[k] = &count{}
	}
	c[k].records++
	c[k].bytes += r.bytes()
}

// sortedKeys returns the keys in the order in which every replica locks rows.
func (c counts) sortedKeys() []countKey {
	return slices.SortedFunc(maps.Keys(c), countKey.compare)
}

// queueAdd adds to b the statement that adds c to the table t.
func (c counts) queueAdd(b *pgx.Batch, t countTable) {
	if len(c) == 0 {
		return
	}
	keys := c.sortedKeys()
	n := len(keys)
	users, starts, realms, methods := make([][]byte, n), make([]time.Time, n), make([][]byte, n), make([]string, n)
	statuses, records, sizes := make([]int16, n), make([]int64, n), make([]int64, n)
	for i, k := range keys {
		users[i], starts[i], realms[i] = []byte(k.userID), time.Unix(k.start, 0).UTC(), []byte(k.realmID)
		methods[i], statuses[i], records[i], sizes[i] = k.method, k.status, c[k].records, c[k].bytes
	}
	b.Queue(t.insert()+` SELECT * FROM unnest($1::bytea[], $2::`+t.sqlType+
		`[], $3::bytea[], $4::text[], $5::smallint[], $6::bigint[], $7::bigint[])`+t.onConflict(),
		users, starts, realms, methods, statuses, records, sizes)
}

// addLate adds those of the rows to the counts that are older than the watermark: they were not
// there when their hour, and perhaps their day, was counted.
func addLate(ctx context.Context, tx pgx.Tx, rows []*record, watermark time.Time) error {
	hours, days := counts{}, counts{}
	for _, r := range rows {
		at := idTime(r.id)
		if !at.Before(watermark) {
			continue
		}
		hours.add(r, at.Truncate(time.Hour))
		if day := timerange.DayOf(at); day.Before(timerange.DayOf(watermark)) {
			days.add(r, day)
		}
	}
	if len(hours) == 0 {
		return nil
	}
	b := &pgx.Batch{}
	hours.queueAdd(b, hourly)
	days.queueAdd(b, daily)
	hours.queueTotals(b, hourTotals)
	days.queueTotals(b, dayTotals)
	return tx.SendBatch(ctx, b).Close()
}

const readWatermark = `SELECT counted_before FROM activity_watermark`

// moveWatermark counts the records before the time before, unless they are. Each transaction
// counts a day at most, because storing waits meanwhile.
func (s *store) moveWatermark(ctx context.Context, before time.Time) error {
	for done := false; !done; {
		err := s.withWatermarkLocked(ctx, func(tx pgx.Tx, watermark time.Time) (err error) {
			if done = !watermark.Before(before); done {
				return nil
			}
			days, err := days(ctx, tx)
			if err != nil {
				return err
			}
			part := nextUncounted(days, timerange.Range{From: watermark, To: before})
			if err := countRecords(ctx, tx, part); err != nil {
				return err
			}
			_, err = tx.Exec(ctx, `UPDATE activity_watermark SET counted_before = $1`, part.To)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// nextUncounted returns the first part of uncounted that lies in one of the days, or its end when
// there is none.
func nextUncounted(days []time.Time, uncounted timerange.Range) timerange.Range {
	for _, day := range days {
		part := timerange.Range{From: timerange.Later(uncounted.From, day),
			To: timerange.Earlier(uncounted.To, day.Add(timerange.Day))}
		if !part.Empty() {
			return part
		}
	}
	return timerange.Range{From: uncounted.To, To: uncounted.To}
}

// sizeOf is record.bytes in SQL; the number is fixedBytes.
const sizeOf = `(26 + octet_length(realm_id) + octet_length(method) + octet_length(path) + octet_length(ip_address) + octet_length(user_agent))`

// hourOf is the hour of a record in SQL: the first six bytes of its id are Unix milliseconds.
const hourOf = `to_timestamp(('x' || encode(substr(id, 1, 6), 'hex'))::bit(48)::bigint / 3600000 * 3600)`

// countRecords counts the records of part, which lies in one day, by the hour. When it is the last
// part of its day it also counts the day.
func countRecords(ctx context.Context, tx pgx.Tx, part timerange.Range) error {
	if part.Empty() {
		return nil
	}
	// A new partition has no statistics, and without them PostgreSQL sorts all records.
	if _, err := tx.Exec(ctx, `SET LOCAL enable_sort = off; SET LOCAL work_mem = '64MB'`); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, hourly.insert()+`
		SELECT user_id, `+hourOf+` AS hour, realm_id, method, status, count(*), sum`+sizeOf+`
		FROM activity WHERE id >= $1 AND id < $2 GROUP BY user_id, hour, realm_id, method, status`+hourly.onConflict(),
		firstID(part.From), firstID(part.To))
	day := timerange.DayOf(part.From)
	if err != nil || part.To.Before(day.Add(timerange.Day)) {
		return err
	}
	_, err = tx.Exec(ctx, daily.insert()+`
		SELECT user_id, $1::date, realm_id, method, status, sum(records), sum(bytes)
		FROM activity_hourly WHERE hour >= $2 AND hour < $3 GROUP BY user_id, realm_id, method, status`,
		day, day, part.To)
	return err
}

// recount makes all counts again from the records before the time before, and returns how many
// there are.
func (s *store) recount(ctx context.Context, before time.Time) (records int64, err error) {
	err = s.withWatermarkLocked(ctx, func(tx pgx.Tx, _ time.Time) error {
		_, err := tx.Exec(ctx, `SET LOCAL statement_timeout = 0; DELETE FROM activity_hourly; DELETE FROM activity_daily;
			DELETE FROM activity_totals; DELETE FROM activity_totals_daily;
			UPDATE activity_watermark SET counted_before = '1970-01-01Z', totals_before = '1970-01-01Z'`)
		return err
	})
	if err == nil {
		err = s.moveWatermark(ctx, before)
	}
	if err == nil {
		err = s.pool.QueryRow(ctx, `SELECT coalesce(sum(records), 0)::bigint FROM activity_hourly`).Scan(&records)
	}
	return records, err
}
