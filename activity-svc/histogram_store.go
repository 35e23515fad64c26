package activity

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

const readBuckets = `
	SELECT records, NULL FROM activity_daily WHERE` + matches + ` AND day = $6::date
	UNION ALL
	SELECT 0, buckets FROM activity_histogram WHERE` + matches + ` AND day = $6::date`

// queueHistogram adds to b the reading of the histogram of what f selects of the day.
func queueHistogram(b *pgx.Batch, f filter, day time.Time, reach counted) *histogram {
	h := &histogram{day: day, until: earlier(day.Add(oneDay), reach.before)}
	b.Queue(f.of(readBuckets, readBucketsOfRealm), f.args(day)...).Query(func(rows pgx.Rows) error {
		var records int64
		var buckets []int32
		_, err := pgx.ForEachRow(rows, []any{&records, &buckets}, func() error {
			h.records += records
			for i, n := range buckets {
				h.buckets[i] += int64(n)
			}
			return nil
		})
		return err
	})
	return h
}

// oneBucket makes the buckets of which only the one with the number $1, the first being 1, has
// records; addBuckets ends a statement that inserts such rows as h.
const (
	oneBucket = `array_fill(0, ARRAY[$1::int - 1]) || records::int || array_fill(0, ARRAY[96 - $1::int])`

	addBuckets = ` ON CONFLICT ON CONSTRAINT activity_histogram_pkey DO UPDATE
		SET records = h.records + excluded.records, buckets[$1] = h.buckets[$1] + excluded.buckets[$1]`
)

// countBucket is countRecords for a bucket, $1, of a day, $2, with ids from $3 to before $4: it
// adds to activity_histogram too, for those whose day is busy, what it read and grouped once.
const countBucket = `
	WITH fresh AS MATERIALIZED (` + fresh + ` WHERE id >= $3 AND id < $4` + groupsFresh + `),
	daily AS (` + intoDaily + ` SELECT user_id, $2, realm_id, method, status, records, bytes FROM fresh` + addDaily + `)
	INSERT INTO activity_histogram AS h (user_id, day, realm_id, method, status, records, buckets)
	SELECT user_id, day, realm_id, method, status, records, ` + oneBucket + ` FROM fresh JOIN activity_busy_days USING (user_id) WHERE day = $2` + addBuckets

// addLate adds counts, which are those of counts.queue, to a bucket of the days that are busy. No
// two writers wait for each other's rows here, in whatever order they come: who adds to one holds
// that of activity_daily with the same key.
const addLate = `
	INSERT INTO activity_histogram AS h (user_id, day, realm_id, method, status, records, buckets)
	SELECT user_id, day, realm_id, method, status, records, ` + oneBucket + `
	FROM unnest($2::bytea[], $3::date[], $4::bytea[], $5::text[], $6::smallint[], $7::bigint[], $8::bigint[]) AS late (user_id, day, realm_id, method, status, records, bytes)
	JOIN activity_busy_days USING (day, user_id)` + addBuckets

// isBusy reports whether anybody's day is busy.
func isBusy(ctx context.Context, tx pgx.Tx, day time.Time) (busy bool, err error) {
	err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM activity_busy_days WHERE day = $1)`, day).Scan(&busy)
	return busy, err
}

// countBusy is countBucket for activity_histogram alone: it reads the records of those whose day is
// busy, along the key.
const countBusy = `
	INSERT INTO activity_histogram AS h (user_id, day, realm_id, method, status, records, buckets)
	SELECT user_id, $2, realm_id, method, status, records, ` + oneBucket + ` FROM (
		SELECT user_id, realm_id, method, status, count(*) AS records FROM activity_busy_days JOIN activity USING (user_id)
		WHERE day = $2 AND id >= $3 AND id < $4 GROUP BY user_id, realm_id, method, status
	) AS fresh` + addBuckets

// fewBuckets is up to how many buckets are counted by countBucket each. PostgreSQL may read the
// whole day for each of them: after a long pause of counting the day is read once, and then along
// the key.
const fewBuckets = 4

// countBusyDay counts the records in part of a day that is somebody's busy one.
func countBusyDay(ctx context.Context, tx pgx.Tx, day time.Time, part stretch) error {
	if part.to.Sub(part.from) > fewBuckets*bucketWidth {
		if _, err := tx.Exec(ctx, countRecords, day, firstID(part.from), firstID(part.to)); err != nil {
			return err
		}
		return countBuckets(ctx, tx, countBusy, day, part)
	}
	// Without statistics PostgreSQL might compare each count with each busy day. And lockAlone has
	// every statement planned for its values: that includes the look at the foreign key for each
	// new row, most of which was planning. A statement without a name is planned for its values
	// anyway.
	if _, err := tx.Exec(ctx, `SET LOCAL enable_nestloop = off; SET LOCAL plan_cache_mode = auto`); err != nil {
		return err
	}
	if err := countBuckets(ctx, tx, countBucket, day, part); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `SET LOCAL enable_nestloop = on; `+planForValues)
	return err
}

func countBuckets(ctx context.Context, tx pgx.Tx, sql string, day time.Time, part stretch) error {
	for from := part.from; from.Before(part.to); {
		to := earlier(part.to, from.Truncate(bucketWidth).Add(bucketWidth))
		if _, err := tx.Exec(ctx, sql, pgx.QueryExecModeCacheDescribe, bucketOf(from)+1, day, firstID(from),
			firstID(to)); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// crowded returns the users with many records on a day whose histogram of it is not whole.
func (s *store) crowded(ctx context.Context, day time.Time) ([][]byte, error) {
	rows, err := s.pool.Query(ctx, `
		WITH many AS MATERIALIZED (SELECT user_id, sum(records) AS records FROM activity_daily WHERE day = $1 GROUP BY user_id HAVING sum(records) >= $2)
		SELECT user_id FROM many m
		WHERE records <> (SELECT coalesce(sum(records), 0) FROM activity_histogram h WHERE h.user_id = m.user_id AND h.day = $1)`, day, manyRecords)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[[]byte])
}

// countByBucket counts the records of a user with ids from $2 to before $3, the first six bytes of
// which are milliseconds, into buckets of $5 from the time $4 on.
const countByBucket = `
	SELECT realm_id, method, status, ((('x' || encode(substr(id, 1, 6), 'hex'))::bit(48)::bigint - $4) / $5)::int AS bucket, count(*)::int
	FROM activity WHERE user_id = $1 AND id >= $2 AND id < $3 GROUP BY realm_id, method, status, bucket`

// countHistogram fills the histogram of a user's day, as far as it is counted, from the records.
func countHistogram(ctx context.Context, tx pgx.Tx, userID []byte, h *histogram) error {
	if err := preferHashing(ctx, tx); err != nil {
		return err
	}
	rows, err := tx.Query(ctx, countByBucket, userID, firstID(h.day), firstID(h.until), h.day.UnixMilli(),
		bucketWidth.Milliseconds())
	if err != nil {
		return err
	}
	buckets := map[cell]*[bucketsOfDay]int32{}
	var realm []byte
	var k cell
	var bucket int
	var records int32
	_, err = pgx.ForEachRow(rows, []any{&realm, &k.method, &k.status, &bucket, &records}, func() error {
		k.realmID = string(realm)
		if buckets[k] == nil {
			buckets[k] = &[bucketsOfDay]int32{}
		}
		buckets[k][bucket] = records
		return nil
	})
	if err != nil {
		return err
	}
	var all [][]any
	for k, counts := range buckets {
		var sum int64
		for _, n := range counts {
			sum += int64(n)
		}
		all = append(all, []any{userID, h.day, []byte(k.realmID), k.method, k.status, sum, counts[:]})
	}
	_, err = tx.CopyFrom(ctx, pgx.Identifier{"activity_histogram"},
		[]string{"user_id", "day", "realm_id", "method", "status", "records", "buckets"}, pgx.CopyFromRows(all))
	return err
}

// makeHistogram makes the histogram of a user's day, unless another replica has.
func (s *store) makeHistogram(ctx context.Context, userID []byte, day time.Time) error {
	return s.countsAlone(ctx, func(tx pgx.Tx) error {
		var c counted
		if err := c.scan(tx.QueryRow(ctx, readCounted)); err != nil {
			return err
		}
		b := &pgx.Batch{}
		h := queueHistogram(b, everything(string(userID)), day, c)
		if err := tx.SendBatch(ctx, b).Close(); err != nil || h.whole() {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM activity_busy_days WHERE day = $1 AND user_id = $2`, day, userID); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO activity_busy_days (day, user_id) VALUES ($1, $2)`, day, userID); err != nil {
			return err
		}
		return countHistogram(ctx, tx, userID, h)
	})
}
