package activity

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/realmgate/realmgate/pkg/db"
)

// store is the database of the log.
type store struct {
	pool       *db.Pool
	partitions partitions
}

// insert stores the rows in one transaction and marks those that are new as stored. A row that is
// there already changes nothing, also when another replica is storing it at this moment.
func (s *store) insert(ctx context.Context, rows []*record) error {
	rows = inOrder(rows)
	if len(rows) == 0 {
		return nil
	}
	if err := s.makePartitions(ctx, daysOf(rows)); err != nil {
		return err
	}
	fresh, err := s.inCounting(ctx, rows, copyIn)
	if isUniqueViolation(err) {
		// COPY cannot pass over what is there, but it is twice as fast: the slower road is for the
		// rare batch that comes a second time.
		fresh, err = s.inCounting(ctx, rows, insertNew)
	}
	if err != nil {
		if isNoPartition(err) {
			s.partitions.forget()
		}
		return err
	}
	for _, r := range fresh {
		r.stored = true
	}
	return nil
}

// inCounting lets write store rows, adds to the counts those that came late, and returns all that
// were stored.
func (s *store) inCounting(ctx context.Context, rows []*record,
	write func(context.Context, pgx.Tx, []*record) ([]*record, error)) (fresh []*record, err error) {
	err = s.withCounts(ctx, func(tx pgx.Tx, now counted) (err error) {
		if fresh, err = write(ctx, tx, rows); err != nil {
			return err
		}
		return addCounts(ctx, tx, countLate(fresh, now))
	})
	return fresh, err
}

// counted says how far the counts reach.
type counted struct {
	before      time.Time // records before it are in activity_daily
	summedUntil time.Time // days until it, itself included, are in activity_monthly
}

const readCounted = `SELECT before, summed_until FROM activity_counted`

func (c *counted) scan(row pgx.Row) error { return row.Scan(&c.before, &c.summedUntil) }

// insertNew stores the rows that are not there and returns them.
func insertNew(ctx context.Context, tx pgx.Tx, rows []*record) ([]*record, error) {
	n := len(rows)
	users, ids, realms := make([][]byte, n), make([][]byte, n), make([][]byte, n)
	methods, paths, statuses, addresses, agents := make([]string, n), make([]string, n), make([]int16, n),
		make([]string, n), make([]string, n)
	byKey := make(map[string]*record, n)
	for i, r := range rows {
		users[i], ids[i], realms[i] = []byte(r.userID), []byte(r.id), []byte(r.realmID)
		methods[i], paths[i], statuses[i], addresses[i], agents[i] = r.method, r.path, r.status, r.ipAddress, r.userAgent
		byKey[r.userID+r.id] = r
	}
	res, err := tx.Query(ctx, `
		INSERT INTO activity (user_id, id, realm_id, method, path, status, ip_address, user_agent)
		SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::text[], $5::text[], $6::smallint[], $7::text[], $8::text[])
		ON CONFLICT DO NOTHING
		RETURNING user_id, id`, users, ids, realms, methods, paths, statuses, addresses, agents)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(res, func(row pgx.CollectableRow) (*record, error) {
		var user, id []byte
		err := row.Scan(&user, &id)
		return byKey[string(user)+string(id)], err
	})
}

// inOrder sorts rows by key, the order in which every replica locks them, and drops those that are
// there twice.
func inOrder(rows []*record) []*record {
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b *record) int {
		return cmp.Or(strings.Compare(a.userID, b.userID), strings.Compare(a.id, b.id))
	})
	return slices.CompactFunc(rows, func(a, b *record) bool { return a.userID == b.userID && a.id == b.id })
}

func daysOf(rows []*record) []time.Time {
	var days []time.Time
	seen := map[int64]bool{}
	for _, r := range rows {
		day := dayOf(idTime(r.id))
		if !seen[day.Unix()] {
			seen[day.Unix()] = true
			days = append(days, day)
		}
	}
	return days
}

// cell is what one row of the counts is about; its date is a day or the first day of a month.
type cell struct {
	userID  string
	date    int64 // Unix seconds
	realmID string
	method  string
	status  int16
}

type tally struct{ records, bytes int64 }

type counts map[cell]*tally

func (c counts) add(k cell, bytes int64) {
	t := c[k]
	if t == nil {
		t = &tally{}
		c[k] = t
	}
	t.records++
	t.bytes += bytes
}

// lateCounts are what late records add to activity_daily, to activity_monthly and, by the bucket,
// to activity_histogram.
type lateCounts struct {
	daily, monthly counts
	buckets        [bucketsOfDay]counts
}

// countLate returns what rows add to the counts: nothing, unless they are older than what is
// counted already.
func countLate(rows []*record, c counted) lateCounts {
	late := lateCounts{daily: counts{}, monthly: counts{}}
	for _, r := range rows {
		at := idTime(r.id)
		if !at.Before(c.before) {
			continue
		}
		day := dayOf(at)
		k := cell{userID: r.userID, date: day.Unix(), realmID: r.realmID, method: r.method, status: r.status}
		late.daily.add(k, r.bytes())
		bucket := &late.buckets[bucketOf(at)]
		if *bucket == nil {
			*bucket = counts{}
		}
		bucket.add(k, r.bytes())
		if !day.After(c.summedUntil) {
			k.date = monthOf(day).Unix()
			late.monthly.add(k, r.bytes())
		}
	}
	return late
}

// Between intoDaily and addDaily stands a query of rows to add to activity_daily.
const (
	intoDaily = `INSERT INTO activity_daily AS c (user_id, day, realm_id, method, status, records, bytes)`
	addDaily  = ` ON CONFLICT ON CONSTRAINT activity_daily_pkey DO UPDATE SET records = c.records + excluded.records, bytes = c.bytes + excluded.bytes`
)

func addCounts(ctx context.Context, tx pgx.Tx, late lateCounts) error {
	if len(late.daily) == 0 {
		return nil
	}
	b := &pgx.Batch{}
	late.daily.queue(b, intoDaily+`
		SELECT * FROM unnest($1::bytea[], $2::date[], $3::bytea[], $4::text[], $5::smallint[], $6::bigint[], $7::bigint[])`+addDaily)
	late.monthly.queue(b, `
		INSERT INTO activity_monthly AS c (user_id, month, realm_id, method, status, records, bytes)
		SELECT * FROM unnest($1::bytea[], $2::date[], $3::bytea[], $4::text[], $5::smallint[], $6::bigint[], $7::bigint[])
		ON CONFLICT ON CONSTRAINT activity_monthly_pkey DO UPDATE SET records = c.records + excluded.records, bytes = c.bytes + excluded.bytes`)
	for i, bucket := range late.buckets {
		bucket.queue(b, addLate, i+1)
	}
	return tx.SendBatch(ctx, b).Close()
}

// queue adds the statement with the counts as its arrays after what comes first, in the order in
// which every replica locks their rows.
func (c counts) queue(b *pgx.Batch, sql string, first ...any) {
	if len(c) == 0 {
		return
	}
	keys := make([]cell, 0, len(c))
	for k := range c {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b cell) int {
		return cmp.Or(strings.Compare(a.userID, b.userID), cmp.Compare(a.date, b.date), strings.Compare(a.realmID, b.realmID),
			strings.Compare(a.method, b.method), cmp.Compare(a.status, b.status))
	})
	n := len(keys)
	users, dates, realms, methods := make([][]byte, n), make([]time.Time, n), make([][]byte, n), make([]string, n)
	statuses, records, sizes := make([]int16, n), make([]int64, n), make([]int64, n)
	for i, k := range keys {
		users[i], dates[i], realms[i], methods[i] = []byte(k.userID), time.Unix(k.date, 0).UTC(), []byte(k.realmID), k.method
		statuses[i], records[i], sizes[i] = k.status, c[k].records, c[k].bytes
	}
	b.Queue(sql, append(first, users, dates, realms, methods, statuses, records, sizes)...)
}

// deadLetter is a message that can never become a record.
type deadLetter struct {
	digest  []byte
	seq     uint64
	reason  string
	payload []byte
}

// bury keeps dead letters; one that was kept before changes nothing.
func (s *store) bury(ctx context.Context, letters []deadLetter) error {
	if len(letters) == 0 {
		return nil
	}
	b := &pgx.Batch{}
	for _, l := range letters {
		b.Queue(`
			INSERT INTO activity_dead_letters (digest, stream_seq, received_at, reason, payload) VALUES ($1, $2, now(), $3, $4)
			ON CONFLICT ON CONSTRAINT activity_dead_letters_pkey DO NOTHING`, l.digest, int64(l.seq), l.reason, l.payload)
	}
	return s.pool.SendBatch(ctx, b).Close()
}

// SQLSTATEs, PostgreSQL appendix A.
const (
	uniqueViolation = "23505"
	checkViolation  = "23514"
	dataException   = "22"
	// Of the class of data exceptions, and no fault of the data: what copyFormat writes is not what
	// the columns take.
	wrongBinary     = "22P03"
	wrongCopy       = "22P04"
	integrityBroken = "23"
)

func sqlState(err error) (*pgconn.PgError, string) {
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pe, pe.Code
	}
	return nil, ""
}

func isUniqueViolation(err error) bool { _, code := sqlState(err); return code == uniqueViolation }

// isNoPartition reports that a row's day has no partition: it was dropped, by a replica whose clock
// is ahead, after this one had seen it.
func isNoPartition(err error) bool {
	pe, code := sqlState(err)
	return code == checkViolation && pe.ConstraintName == ""
}

// isUnstorable reports that the data itself cannot be stored: no later attempt can succeed.
func isUnstorable(err error) bool {
	_, code := sqlState(err)
	if code == uniqueViolation || code == wrongBinary || code == wrongCopy || isNoPartition(err) {
		return false
	}
	return strings.HasPrefix(code, dataException) || strings.HasPrefix(code, integrityBroken)
}
