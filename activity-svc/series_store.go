package activity

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/activity-svc/internal/series"
	"github.com/realmgate/realmgate/activity-svc/internal/timerange"
)

// classes are the totals of a row of counts by their class of status; classesOfRecords are those of
// records.
const (
	classes = `sum(records)::bigint,
		coalesce(sum(records) FILTER (WHERE status BETWEEN 200 AND 299), 0)::bigint,
		coalesce(sum(records) FILTER (WHERE status BETWEEN 300 AND 399), 0)::bigint,
		coalesce(sum(records) FILTER (WHERE status BETWEEN 400 AND 499), 0)::bigint,
		coalesce(sum(records) FILTER (WHERE status BETWEEN 500 AND 599), 0)::bigint`
	classesOfRecords = `count(*), count(*) FILTER (WHERE status BETWEEN 200 AND 299),
		count(*) FILTER (WHERE status BETWEEN 300 AND 399), count(*) FILTER (WHERE status BETWEEN 400 AND 499),
		count(*) FILTER (WHERE status BETWEEN 500 AND 599)`
)

// hourTotals and dayTotals count all users together.
var (
	hourTotals = countTable{name: "activity_totals", column: "hour", sqlType: "timestamptz", unit: time.Hour}
	dayTotals  = countTable{name: "activity_totals_daily", column: "day", sqlType: "date", unit: timerange.Day}
)

// fillSeries counts the records that f selects into out. A filter without a user counts those of
// all users.
func (s *store) fillSeries(ctx context.Context, f filter, out *series.Series) error {
	return s.reading(ctx, func(tx pgx.Tx, watermark time.Time) error {
		totalsBefore := firstMoment
		if f.userID == "" && f.realmID == "" {
			if err := tx.QueryRow(ctx, readTotalsBefore).Scan(&totalsBefore); err != nil {
				return err
			}
		}
		b := &pgx.Batch{}
		add := func(from, where string, args []any, unit string, columns string) {
			b.Queue(`SELECT `+unit+` AS start, `+columns+` FROM `+from+where+` GROUP BY start`, args...).Query(
				func(rows pgx.Rows) error { return scanPoints(rows, out) })
		}
		count := func(t countTable, part timerange.Range) {
			if !part.Empty() {
				where, args := f.where(t.column, part.From, part.To)
				add(t.name, where, args, t.column, classes)
			}
		}
		parts := timerange.Split(out.Range, watermark)
		byDay := out.Unit == timerange.Day
		for i, part := range append([]timerange.Range{parts.Days}, parts.Hours...) {
			days := i == 0 && byDay
			if days {
				part = countBefore(part, timerange.DayOf(totalsBefore), dayTotals, count)
			}
			if rest := countBefore(part, totalsBefore, hourTotals, count); rest != part {
				part, days = rest, false
			}
			if days {
				count(daily, part)
			} else {
				count(hourly, part)
			}
		}
		b.Queue(planForValues)
		for _, part := range parts.Records {
			where, args := f.whereID(part)
			add("activity", where, args, hourOf, classesOfRecords)
		}
		return tx.SendBatch(ctx, b).Close()
	})
}

// countBefore counts with the table t what is before end in part, and returns the rest.
func countBefore(part timerange.Range, end time.Time, t countTable,
	count func(countTable, timerange.Range)) timerange.Range {
	early := timerange.Range{From: part.From, To: timerange.Earlier(part.To, end)}
	if early.Empty() {
		return part
	}
	count(t, early)
	return timerange.Range{From: early.To, To: part.To}
}

func scanPoints(rows pgx.Rows, out *series.Series) error {
	var start time.Time
	var p series.Point
	_, err := pgx.ForEachRow(rows, []any{&start, &p.Total, &p.Status2xx, &p.Status3xx, &p.Status4xx, &p.Status5xx},
		func() error { out.Add(start.UTC(), p); return nil })
	return err
}

const readTotalsBefore = `SELECT totals_before FROM activity_watermark`

// sumTotals sums the hours of all users that are over and counted, a day at most in each
// transaction, because storing waits meanwhile.
func (s *store) sumTotals(ctx context.Context) error {
	var done bool
	if err := s.pool.QueryRow(ctx,
		`SELECT totals_before >= date_trunc('hour', counted_before, 'UTC') FROM activity_watermark`).
		Scan(&done); err != nil {
		return err
	}
	for !done {
		err := s.withWatermarkLocked(ctx, func(tx pgx.Tx, watermark time.Time) (err error) {
			part := timerange.Range{To: watermark.Truncate(time.Hour)}
			if err := tx.QueryRow(ctx, readTotalsBefore).Scan(&part.From); err != nil {
				return err
			}
			if part, err = nextUnsummed(ctx, tx, part); err != nil {
				return err
			}
			if done = part.To.Equal(watermark.Truncate(time.Hour)); !part.Empty() {
				if err := sumHours(ctx, tx, part); err != nil {
					return err
				}
			}
			_, err = tx.Exec(ctx, `UPDATE activity_watermark SET totals_before = greatest(totals_before, $1)`, part.To)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// nextUnsummed returns the first part of unsummed that lies in one day and has counts, or its end
// when there is none. A day of which a part is summed has its rest next, whether or not that has
// counts, because the day is summed with it.
func nextUnsummed(ctx context.Context, tx pgx.Tx, unsummed timerange.Range) (timerange.Range, error) {
	day := timerange.DayOf(unsummed.From)
	if unsummed.From.Equal(day) {
		var first *time.Time
		if err := tx.QueryRow(ctx, `SELECT min(hour) FROM activity_hourly WHERE hour >= $1 AND hour < $2`,
			unsummed.From, unsummed.To).Scan(&first); err != nil {
			return unsummed, err
		}
		if first == nil {
			return timerange.Range{From: unsummed.To, To: unsummed.To}, nil
		}
		day = timerange.DayOf(*first)
		unsummed.From = day
	}
	unsummed.From, unsummed.To = unsummed.From.UTC(), timerange.Earlier(unsummed.To, day.Add(timerange.Day))
	return unsummed, nil
}

func sumHours(ctx context.Context, tx pgx.Tx, part timerange.Range) error {
	_, err := tx.Exec(ctx, `INSERT INTO activity_totals (hour, method, status, records)
		SELECT hour, method, status, sum(records) FROM activity_hourly WHERE hour >= $1 AND hour < $2 GROUP BY 1, 2, 3`,
		part.From, part.To)
	if day := timerange.DayOf(part.From); err == nil && part.To.Equal(day.Add(timerange.Day)) {
		_, err = tx.Exec(ctx, `INSERT INTO activity_totals_daily (day, method, status, records)
			SELECT $1::date, method, status, sum(records) FROM activity_totals WHERE hour >= $2 AND hour < $3 GROUP BY 2, 3`,
			day, day, part.To)
	}
	return err
}

// queueTotals adds to b the statement that adds c, counts by the hour or day, to the totals of all
// users as far as their hours or days are summed.
func (c counts) queueTotals(b *pgx.Batch, t countTable) {
	all := counts{}
	for k, n := range c {
		k.userID, k.realmID = "", ""
		if all[k] == nil {
			all[k] = &count{}
		}
		all[k].records += n.records
	}
	keys := all.sortedKeys()
	n := len(keys)
	if n == 0 {
		return
	}
	starts, methods, statuses, records := make([]time.Time, n), make([]string, n), make([]int16, n), make([]int64, n)
	for i, k := range keys {
		starts[i], methods[i] = time.Unix(k.start, 0).UTC(), k.method
		statuses[i], records[i] = k.status, all[k].records
	}
	summedBefore := `totals_before`
	if t.unit == timerange.Day {
		summedBefore = `(totals_before AT TIME ZONE 'UTC')::date`
	}
	b.Queue(`INSERT INTO `+t.name+` AS t (`+t.column+`, method, status, records)
		SELECT late.* FROM unnest($1::`+t.sqlType+`[], $2::text[], $3::smallint[], $4::bigint[]) AS late (start, method, status, records),
			activity_watermark
		WHERE late.start < `+summedBefore+`
		ON CONFLICT (`+t.column+`, method, status) DO UPDATE SET records = t.records + excluded.records`,
		starts, methods, statuses, records)
}
