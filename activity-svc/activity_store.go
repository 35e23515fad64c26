package activity

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/activity-svc/internal/timerange"
	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/internalapi"
)

// reading runs f on one snapshot, so that a total and the page beside it describe the same log, and
// passes it the watermark of that snapshot. Statements over counts are planned once for a
// connection, as each is a walk along a key whatever its values; planning took longer than walking.
// Those over activity come after planForValues.
//
// When f comes to a day that was dropped after the snapshot was taken, it returns errGone and is
// run once more, with a lock taken before the snapshot that dropping a day waits for: then none is
// dropped in between.
func (s *store) reading(ctx context.Context, f func(tx pgx.Tx, watermark time.Time) error) error {
	err := s.onSnapshot(ctx, beginReading, f)
	if errors.Is(err, errGone) {
		err = s.onSnapshot(ctx, beginReading+`; `+lockWatermarkShared, f)
	}
	return err
}

const beginReading = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL plan_cache_mode = force_generic_plan`

// errGone is returned when records that are counted are not there.
var errGone = errors.New("records are counted that are not there; activity-svc recount makes the counts again")

func (s *store) onSnapshot(ctx context.Context, begin string, f func(tx pgx.Tx, watermark time.Time) error) error {
	return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{BeginQuery: begin}, func(tx pgx.Tx) error {
		var watermark time.Time
		if err := tx.QueryRow(ctx, readWatermark).Scan(&watermark); err != nil {
			return err
		}
		return f(tx, watermark)
	})
}

// planForValues has the statements that follow it planned for their own values: only then are the
// partitions of other days left out before they are locked.
const planForValues = `SET LOCAL plan_cache_mode = force_custom_plan`

// list returns limit records after the newest offset ones, newest first, and how many match in all.
func (s *store) list(ctx context.Context, f filter, offset, limit int64) (records []Record, total int64, err error) {
	err = s.reading(ctx, func(tx pgx.Tx, watermark time.Time) error {
		ranges, err := readCounts(ctx, tx, f, watermark, recordsOnly)
		if err != nil {
			return err
		}
		total, _ = timerange.Sum(ranges)
		page, err := locatePage(ctx, tx, f, ranges, offset, limit)
		if err != nil {
			return err
		}
		records, err = readPage(ctx, tx, f, page)
		if err == nil && int64(len(records)) < timerange.Total(page) {
			err = errGone
		}
		return err
	})
	if errors.Is(err, errGone) { // also with the lock: an incomplete page is better than none
		err = nil
	}
	return records, total, err
}

// stats returns the size and the times of what f selects, without the retention.
func (s *store) stats(ctx context.Context, f filter) (out Stats, err error) {
	err = s.reading(ctx, func(tx pgx.Tx, watermark time.Time) error {
		ranges, err := readCounts(ctx, tx, f, watermark, recordsAndBytes)
		if err != nil {
			return err
		}
		if out.TotalRecords, out.TotalSizeBytes = timerange.Sum(ranges); out.TotalRecords == 0 {
			return nil
		}
		if out.NewestRecord, err = readEnd(ctx, tx, f, ranges[0], `DESC`); err != nil {
			return err
		}
		out.OldestRecord, err = readEnd(ctx, tx, f, ranges[len(ranges)-1], `ASC`)
		return err
	})
	return out, err
}

// where returns the condition of f, on records and on counts alike, for the rows whose column is at
// least from and below to, and its arguments. More arguments are $4 and so on.
func (f filter) where(column string, from, to any, more ...any) (condition string, args []any) {
	condition = ` WHERE user_id = $1`
	if f.userID == "" {
		condition = ` WHERE $1::bytea = ''`
	}
	condition += ` AND ` + column + ` >= $2 AND ` + column + ` < $3`
	counted, args := f.conditions(append([]any{[]byte(f.userID), from, to}, more...))
	return condition + counted, args
}

// conditions returns the conditions of f on realm, method and status, each of which begins with
// AND, and args with their arguments added. The condition of f.search is not among them.
func (f filter) conditions(args []any) (condition string, all []any) {
	if f.realmID != "" {
		args = append(args, []byte(f.realmID))
		condition += fmt.Sprintf(` AND realm_id = $%d`, len(args))
	}
	if f.method != "" {
		args = append(args, f.method)
		condition += fmt.Sprintf(` AND method = $%d`, len(args))
	}
	if !f.everyStatus() {
		args = append(args, f.minStatus, f.maxStatus)
		condition += fmt.Sprintf(` AND status BETWEEN $%d AND $%d`, len(args)-1, len(args))
	}
	return condition, args
}

// everyStatus reports whether f selects every status that an event may have.
func (f filter) everyStatus() bool { return f.minStatus <= minStatus && f.maxStatus >= maxStatus }

func (f filter) whereID(r timerange.Range, more ...any) (condition string, args []any) {
	return f.where("id", firstID(r.From), firstID(r.To), more...)
}

// totals are the expressions of how many records there are and how many bytes they have, over rows
// of counts and over records. Without the bytes, which are in the rows themselves, records are
// counted along the key.
type totals struct{ ofCounts, ofRecords string }

var (
	recordsOnly     = totals{`sum(records)::bigint, 0::bigint`, `count(*), 0::bigint`}
	recordsAndBytes = totals{`sum(records)::bigint, sum(bytes)::bigint`,
		`count(*), coalesce(sum` + sizeOf + `, 0)::bigint`}
)

// readCounts returns the ranges that have records which f selects, the newest first, and their
// totals. What follows it is planned for its values.
func readCounts(ctx context.Context, tx pgx.Tx, f filter, watermark time.Time, t totals) (
	ranges []timerange.Counted, err error) {
	parts := timerange.Split(timerange.Range{From: f.from, To: f.to}, watermark)
	b := &pgx.Batch{}
	if !parts.Days.Empty() {
		daily.queueRead(b, f, t, parts.Days, &ranges)
	}
	for _, hours := range parts.Hours {
		hourly.queueRead(b, f, t, hours, &ranges)
	}
	b.Queue(planForValues)
	for _, part := range parts.Records {
		where, args := f.whereID(part)
		b.Queue(`SELECT `+t.ofRecords+` FROM activity`+where, args...).QueryRow(func(row pgx.Row) error {
			c := timerange.Counted{Range: part}
			err := row.Scan(&c.Records, &c.Bytes)
			if c.Records > 0 {
				ranges = append(ranges, c)
			}
			return err
		})
	}
	err = tx.SendBatch(ctx, b).Close()
	timerange.NewestFirst(ranges)
	return ranges, err
}

// locatePage finds the page in ranges. Where it begins far inside of a day, the hours of that day
// tell how to skip all but less than an hour of it.
func locatePage(ctx context.Context, tx pgx.Tx, f filter, ranges []timerange.Counted, offset, limit int64) (
	[]timerange.Slice, error) {
	page := timerange.Locate(ranges, offset, limit)
	if len(page) == 0 || page[0].Skip <= fewSkipped || !page[0].WholeDay { // only the first slice skips
		return page, nil
	}
	var hours []timerange.Counted
	b := &pgx.Batch{}
	hourly.queueRead(b, f, recordsOnly, page[0].Range, &hours)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, err
	}
	timerange.NewestFirst(hours)
	return append(timerange.Locate(hours, page[0].Skip, page[0].Take), page[1:]...), nil
}

// fewSkipped is how many rows are skipped along the key without asking the counts how to skip them.
const fewSkipped = 200

const recordColumns = `id, realm_id, method, path, status, ip_address, user_agent,
	auth_id, request_id, duration_ms, auth`

// sliceQuery returns the statement for the records of a slice, and its arguments. It finds the ids
// along the key first, which needs no look at the rows that are skipped, and then looks up the rows
// of the page, each by its id. Without OFFSET 0 that is a join, and as long as PostgreSQL has no
// statistics of a day it joins each id to all the rows in between. Where all rows match and few are
// skipped, one walk is half the work.
func (f filter) sliceQuery(s timerange.Slice) (string, []any) {
	where, args := f.whereID(s.Range, s.Skip, s.Take)
	if all := f.realmID == "" && f.method == "" && f.everyStatus(); all && s.Skip <= fewSkipped {
		return `SELECT ` + recordColumns + ` FROM activity` + where + ` ORDER BY id DESC OFFSET $4 LIMIT $5`, args
	}
	return `SELECT a.* FROM (SELECT id FROM activity` + where + ` ORDER BY id DESC OFFSET $4 LIMIT $5) AS page
		CROSS JOIN LATERAL (
			SELECT ` + recordColumns + ` FROM activity WHERE user_id = $1 AND id = page.id AND id >= $2 AND id < $3 OFFSET 0
		) AS a
		ORDER BY a.id DESC`, args
}

func readPage(ctx context.Context, tx pgx.Tx, f filter, page []timerange.Slice) ([]Record, error) {
	if len(page) == 0 {
		return nil, nil
	}
	var records []Record
	user := hex.EncodeToString([]byte(f.userID))
	b := &pgx.Batch{}
	for _, slice := range page {
		sql, args := f.sliceQuery(slice)
		b.Queue(sql, args...).Query(func(rows pgx.Rows) error {
			return scanRecords(rows, user, func(r Record) error { records = append(records, r); return nil })
		})
	}
	return records, tx.SendBatch(ctx, b).Close()
}

// scanRecords passes the records of rows, which have the recordColumns of one user's log, to each.
func scanRecords(rows pgx.Rows, userID string, each func(Record) error) error {
	var id, realm, authID []byte
	var kind *int16
	r := Record{UserID: userID}
	_, err := pgx.ForEachRow(rows, []any{&id, &realm, &r.Method, &r.Path, &r.StatusCode, &r.IPAddress, &r.UserAgent,
		&authID, &r.RequestID, &r.DurationMS, &kind}, func() error {
		r.ID, r.RealmID, r.CreatedAt = hex.EncodeToString(id), hex.EncodeToString(realm), api.Time(idTime(string(id)))
		r.Auth, r.AuthID = nil, nil
		if kind != nil && int(*kind) < len(kindNames) {
			r.Auth = &kindNames[*kind]
		}
		if authID != nil {
			text := hex.EncodeToString(authID)
			r.AuthID = &text
		}
		return each(r)
	})
	return err
}

// readEnd returns the time of the newest (DESC) or oldest (ASC) record that f selects in r.
func readEnd(ctx context.Context, tx pgx.Tx, f filter, r timerange.Counted, order string) (*api.Time, error) {
	var id []byte
	where, args := f.whereID(r.Range)
	err := tx.QueryRow(ctx, `SELECT id FROM activity`+where+` ORDER BY id `+order+` LIMIT 1`, args...).Scan(&id)
	if db.IsNoRows(err) {
		err = errGone
	}
	if err != nil {
		return nil, err
	}
	t := api.Time(idTime(string(id)))
	return &t, nil
}

// maxRealms limits the list of a user's realms, because each request may name another realm.
const maxRealms = 10_000

// realms returns the realms that a user's records were in last, the last one first, and how many
// records each has; records outside of every realm are left out. The order of two realms that were
// used on the same day is theirs, unless one of them has records that are not counted yet.
func (s *store) realms(ctx context.Context, userID string) (out []internalapi.RealmUsage, err error) {
	err = s.reading(ctx, func(tx pgx.Tx, watermark time.Time) error {
		b := &pgx.Batch{}
		b.Queue(planForValues)
		today := timerange.DayOf(watermark) // the only day that has hours and is not summed
		b.Queue(`
			SELECT encode(realm_id, 'hex'), sum(records)::bigint, sum(bytes)::bigint FROM (
				SELECT realm_id, day AS used, records, bytes FROM activity_daily WHERE user_id = $1
				UNION ALL
				SELECT realm_id, $2::date, records, bytes FROM activity_hourly WHERE user_id = $1 AND hour >= $3
				UNION ALL
				SELECT realm_id, 'infinity', 1, `+sizeOf+` FROM activity WHERE user_id = $1 AND id >= $4
			) AS counts WHERE realm_id <> '' GROUP BY realm_id ORDER BY max(used) DESC, realm_id LIMIT $5`,
			[]byte(userID), today, today, firstID(watermark), maxRealms).Query(func(rows pgx.Rows) (err error) {
			out, err = pgx.CollectRows(rows, pgx.RowToStructByPos[internalapi.RealmUsage])
			return err
		})
		return tx.SendBatch(ctx, b).Close()
	})
	return out, err
}
