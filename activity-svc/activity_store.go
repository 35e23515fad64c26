package activity

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/db"
)

// reading runs f on one snapshot, so that a total and the page beside it speak of the same log, and
// tells it how far the log is counted there. Statements over counts are planned once for a
// connection, as each is a walk along a key whatever its values; planning took longer than walking.
// Those over activity come after planForValues.
//
// When f comes to a day that was dropped after the snapshot was taken, it returns errGone and is
// run once more, with the lock that whoever drops a day waits for taken before the snapshot: then
// none is dropped in between.
func (s *store) reading(ctx context.Context, f func(tx pgx.Tx, reach counted) error) error {
	err := s.onSnapshot(ctx, beginReading, f)
	if errors.Is(err, errGone) {
		err = s.onSnapshot(ctx, beginReading+`; LOCK TABLE ONLY activity IN ACCESS SHARE MODE`, f)
	}
	return err
}

const beginReading = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL plan_cache_mode = force_generic_plan`

// errGone is that records which are counted are not there.
var errGone = errors.New("the counts speak of records that are not there; activity-svc recount makes them again")

func (s *store) onSnapshot(ctx context.Context, begin string, f func(tx pgx.Tx, reach counted) error) error {
	return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{BeginQuery: begin}, func(tx pgx.Tx) error {
		var reach counted
		if err := reach.scan(tx.QueryRow(ctx, readCounted)); err != nil {
			return err
		}
		return f(tx, reach)
	})
}

// planForValues has the statements that follow it planned for their own values: only then are the
// partitions of other days left out before they are locked.
const planForValues = `SET LOCAL plan_cache_mode = force_custom_plan`

// list returns limit records after the newest offset ones, newest first, and how many match in all.
func (s *store) list(ctx context.Context, f filter, offset, limit int64) (records []Record, total int64, err error) {
	err = s.reading(ctx, func(tx pgx.Tx, reach counted) error {
		spans, err := readSpans(ctx, tx, f, reach)
		if err != nil {
			return err
		}
		total, _ = sum(spans)
		pieces, err := locatePage(ctx, tx, f, reach, spans, offset, limit)
		if err != nil {
			return err
		}
		records, err = readPieces(ctx, tx, f, pieces)
		if err == nil && int64(len(records)) < taken(pieces) {
			err = errGone
		}
		return err
	})
	if errors.Is(err, errGone) { // for ever: what is there is better than nothing
		err = nil
	}
	return records, total, err
}

// stats returns the size and the span of what f selects, without the retention.
func (s *store) stats(ctx context.Context, f filter) (out Stats, err error) {
	err = s.reading(ctx, func(tx pgx.Tx, reach counted) error {
		spans, err := readSpans(ctx, tx, f, reach)
		if err != nil {
			return err
		}
		if out.TotalRecords, out.TotalSizeBytes = sum(spans); out.TotalRecords == 0 {
			return nil
		}
		if out.NewestRecord, err = readEnd(ctx, tx, f, spans[0], `DESC`); err != nil {
			return err
		}
		out.OldestRecord, err = readEnd(ctx, tx, f, spans[len(spans)-1], `ASC`)
		return err
	})
	return out, err
}

// The condition that a filter puts on records and counts alike; its parameters are those of
// filter.args.
const matches = ` user_id = $1 AND ($2::bytea IS NULL OR realm_id = $2) AND ($3::text IS NULL OR method = $3) AND status BETWEEN $4 AND $5`

// of returns the statement for all realms, or the one for one of them.
func (f filter) of(all, realm string) string {
	if f.realmID == "" {
		return all
	}
	return realm
}

func (f filter) args(more ...any) []any {
	var realm, method any // NULL
	if f.realmID != "" {
		realm = []byte(f.realmID)
	}
	if f.method != "" {
		method = f.method
	}
	return append([]any{[]byte(f.userID), realm, method, f.minStatus, f.maxStatus}, more...)
}

// countWholeDays reads the counts: of whole months up to the day until which they are summed ($10),
// and of the other days. The three ranges of days stand apart so that each is one walk along the
// key.
const countWholeDays = `
	WITH days AS (
		SELECT day, records, bytes FROM activity_daily WHERE` + matches + ` AND day >= $6::date AND day < $7::date
		UNION ALL
		SELECT day, records, bytes FROM activity_daily WHERE` + matches + ` AND day >= $7::date AND day < $8::date AND day > $10::date
		UNION ALL
		SELECT day, records, bytes FROM activity_daily WHERE` + matches + ` AND day >= $8::date AND day < $9::date
	)
	SELECT month, LEAST((month + interval '1 month')::date, $10::date + 1), true, sum(records)::bigint, sum(bytes)::bigint
	FROM activity_monthly WHERE` + matches + ` AND month >= $7::date AND month < $8::date GROUP BY month
	UNION ALL
	SELECT day, day + 1, false, sum(records)::bigint, sum(bytes)::bigint FROM days GROUP BY day`

// The edges of parts of days, and what is not counted yet, are counted along the key. Only the
// latter is asked for its bytes, which are in the rows.
const countEdge = `SELECT count(*), 0::bigint FROM activity WHERE` + matches + ` AND id >= $6 AND id < $7`

const countTail = `SELECT count(*), coalesce(sum` + sizeOf + `, 0)::bigint FROM activity WHERE` + matches +
	` AND id >= $6 AND id < $7`

// readSpans returns where the records that f selects are, the newest first. What follows it is
// planned for its values.
func readSpans(ctx context.Context, tx pgx.Tx, f filter, reach counted) ([]span, error) {
	c := cutTime(f.from, f.to)
	var spans []span
	keep := func(s span) {
		if s.records > 0 {
			spans = append(spans, s)
		}
	}
	b := &pgx.Batch{}
	b.Queue(f.of(countWholeDays, countWholeDaysOfRealm),
		f.args(c.before.from, c.months.from, c.months.to, c.after.to,
			reach.summedUntil)...).Query(func(rows pgx.Rows) (err error) {
		spans, err = collectSpans(rows, spans)
		for i := range spans {
			spans[i].to = earlier(spans[i].to, reach.before) // the rest of that day is the tail
		}
		return err
	})
	var histograms []*histogram
	for _, part := range c.ends {
		histograms = append(histograms, queueHistogram(b, f, dayOf(part.from), reach))
	}
	b.Queue(planForValues)
	tail := stretch{later(c.before.from, reach.before), c.after.to}
	if !tail.empty() {
		queueCount(b, countTail, f, tail, keep)
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, err
	}
	b = &pgx.Batch{}
	for i, part := range c.ends {
		middle, edges := histograms[i].split(part)
		keep(middle)
		for _, edge := range edges {
			queueCount(b, countEdge, f, edge, keep)
		}
	}
	err := tx.SendBatch(ctx, b).Close()
	newestFirst(spans)
	return spans, err
}

// queueCount adds to b the counting of what f selects in part, which is given to keep.
func queueCount(b *pgx.Batch, sql string, f filter, part stretch, keep func(span)) {
	b.Queue(sql, f.args(firstID(part.from), firstID(part.to))...).QueryRow(func(row pgx.Row) error {
		s := span{from: part.from, to: part.to}
		if err := row.Scan(&s.records, &s.bytes); err != nil {
			return err
		}
		keep(s)
		return nil
	})
}

func collectSpans(rows pgx.Rows, spans []span) ([]span, error) {
	var s span
	_, err := pgx.ForEachRow(rows, []any{&s.from, &s.to, &s.coarse, &s.records, &s.bytes}, func() error {
		spans = append(spans, s)
		return nil
	})
	return spans, err
}

// locatePage finds the page, with days in place of months, and less than a bucket to skip where a
// day has a histogram.
func locatePage(ctx context.Context, tx pgx.Tx, f filter, reach counted, spans []span, offset, limit int64) ([]piece,
	error) {
	pieces := locate(spans, offset, limit)
	var fine, coarse []span
	for _, p := range pieces {
		if p.coarse {
			coarse = append(coarse, p.span)
		} else {
			fine = append(fine, p.span)
		}
	}
	if len(coarse) > 0 {
		days, err := readDays(ctx, tx, f, coarse)
		if err != nil {
			return nil, err
		}
		fine = append(fine, days...)
		newestFirst(fine)
		pieces = locate(fine, pieces[0].skip, limit)
	}
	if len(pieces) == 0 || pieces[0].skip <= fewSkipped { // only the first one skips
		return pieces, nil
	}
	b := &pgx.Batch{}
	h := queueHistogram(b, f, dayOf(pieces[0].from), reach)
	err := tx.SendBatch(ctx, b).Close()
	pieces[0] = h.skip(pieces[0])
	return pieces, err
}

const readDaysOfAll = `
	SELECT day, day + 1, false, sum(records)::bigint, sum(bytes)::bigint
	FROM unnest($6::date[], $7::date[]) AS month (first, after) JOIN activity_daily ON day >= first AND day < after
	WHERE` + matches + ` GROUP BY day`

// readDays takes months apart.
func readDays(ctx context.Context, tx pgx.Tx, f filter, months []span) ([]span, error) {
	from, to := make([]time.Time, len(months)), make([]time.Time, len(months))
	for i, m := range months {
		from[i], to[i] = m.from, m.to
	}
	rows, err := tx.Query(ctx, f.of(readDaysOfAll, readDaysOfRealm), f.args(from, to)...)
	if err != nil {
		return nil, err
	}
	return collectSpans(rows, nil)
}

// readPiece finds the ids along the key first, which needs no look at the rows that are passed
// over, and then looks up the rows of the page, each by its id. Without OFFSET 0 that is a join,
// and as long as PostgreSQL has no statistics of a day it joins each id to all the rows in between.
const readPiece = `
	SELECT a.* FROM (SELECT id FROM activity WHERE` + matches + ` AND id >= $6 AND id < $7 ORDER BY id DESC OFFSET $8 LIMIT $9) AS page
	CROSS JOIN LATERAL (
		SELECT id, realm_id, method, path, status, ip_address, user_agent FROM activity
		WHERE user_id = $1 AND id = page.id AND id >= $6 AND id < $7 OFFSET 0
	) AS a
	ORDER BY a.id DESC`

// readPlainPiece is half the work where next to nothing is passed over.
const readPlainPiece = `
	SELECT id, realm_id, method, path, status, ip_address, user_agent
	FROM activity WHERE` + matches + ` AND id >= $6 AND id < $7 ORDER BY id DESC OFFSET $8 LIMIT $9`

// fewSkipped is up to how many rows readPlainPiece passes over, and no histogram is asked for how
// to skip them.
const fewSkipped = 200

func (f filter) readPiece(p piece) string {
	all := f.realmID == "" && f.method == "" && f.minStatus <= minStatus && f.maxStatus >= maxStatus
	if all && p.skip <= fewSkipped {
		return readPlainPiece
	}
	return readPiece
}

func readPieces(ctx context.Context, tx pgx.Tx, f filter, pieces []piece) ([]Record, error) {
	if len(pieces) == 0 {
		return nil, nil
	}
	var out []Record
	user := hex.EncodeToString([]byte(f.userID))
	b := &pgx.Batch{}
	for _, p := range pieces {
		b.Queue(f.readPiece(p), f.args(firstID(p.from), firstID(p.to), p.skip, p.take)...).Query(func(rows pgx.Rows) error {
			var id, realm []byte
			r := Record{UserID: user}
			_, err := pgx.ForEachRow(rows, []any{&id, &realm, &r.Method, &r.Path, &r.StatusCode, &r.IPAddress, &r.UserAgent},
				func() error {
					r.ID, r.RealmID, r.CreatedAt = hex.EncodeToString(id), hex.EncodeToString(realm), api.Time(idTime(string(id)))
					out = append(out, r)
					return nil
				})
			return err
		})
	}
	return out, tx.SendBatch(ctx, b).Close()
}

// readEnd returns the time of the newest (DESC) or oldest (ASC) record that f selects in s.
func readEnd(ctx context.Context, tx pgx.Tx, f filter, s span, order string) (*api.Time, error) {
	if s.coarse {
		days, err := readDays(ctx, tx, f, []span{s})
		if err != nil || len(days) == 0 {
			return nil, err
		}
		newestFirst(days)
		if s = days[0]; order == `ASC` {
			s = days[len(days)-1]
		}
	}
	var id []byte
	err := tx.QueryRow(ctx, `SELECT id FROM activity WHERE`+matches+` AND id >= $6 AND id < $7 ORDER BY id `+order+` LIMIT 1`,
		f.args(firstID(s.from), firstID(s.to))...).Scan(&id)
	if db.NoRows(err) {
		err = errGone
	}
	if err != nil {
		return nil, err
	}
	t := api.Time(idTime(string(id)))
	return &t, nil
}
