package activity

import (
	"context"
	"encoding/hex"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/activity-svc/internal/timerange"
	"github.com/realmgate/realmgate/pkg/db"
)

// exportChunk is how many records of a log are looked at with one statement, and at most in memory.
const exportChunk = 1000

// walk passes the records that f selects to each, the newest first. It reads them in chunks, each
// in a transaction of its own that has ended before each is called: a slow reader holds nothing of
// the database, and a day may be dropped meanwhile. A record that is stored meanwhile is passed if
// the walk has not come to its time.
func (s *store) walk(ctx context.Context, f filter, each func(Record) error) error {
	all, err := s.days(ctx)
	if err != nil {
		return err
	}
	for _, day := range slices.Backward(all) {
		part := timerange.Range{From: timerange.Later(f.from, day), To: timerange.Earlier(f.to, day.Add(timerange.Day))}
		if part.Empty() {
			continue
		}
		first, end := firstID(part.From), firstID(part.To)
		for end != nil {
			var records []Record
			if records, end, err = s.readChunk(ctx, f, first, end); err != nil {
				return err
			}
			for _, r := range records {
				if err := each(r); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// readChunk returns what f selects of the newest exportChunk records with ids from first to below
// end, and the end of the chunk after it, nil when there is none.
func (s *store) readChunk(ctx context.Context, f filter, first, end []byte) (records []Record, next []byte, err error) {
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		records, next = nil, nil
		if _, err := tx.Exec(ctx, planForValues); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, `SELECT id FROM activity WHERE user_id = $1 AND id >= $2 AND id < $3
			ORDER BY id DESC OFFSET $4 LIMIT 1`, []byte(f.userID), first, end, exportChunk-1).Scan(&next)
		switch {
		case err == nil:
			first = next
		case !db.IsNoRows(err):
			return err
		}
		where, args := f.where("id", first, end)
		searched, args := f.search.Condition(args)
		rows, err := tx.Query(ctx, `SELECT `+recordColumns+` FROM activity`+where+searched+` ORDER BY id DESC`, args...)
		if err != nil {
			return err
		}
		return scanRecords(rows, hex.EncodeToString([]byte(f.userID)),
			func(r Record) error { records = append(records, r); return nil })
	})
	return records, next, err
}
