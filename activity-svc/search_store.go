package activity

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/activity-svc/internal/search"
	"github.com/realmgate/realmgate/activity-svc/internal/timerange"
	"github.com/realmgate/realmgate/pkg/api"
)

// found are the records that a search found.
type found struct {
	ids    [][]byte // raw, the newest first
	bytes  int64    // of all of them
	capped bool     // there may be more
}

// findRecords finds the newest search.MaxTotal records that f selects among the newest
// search.MaxWalked ones of its range of time.
func findRecords(ctx context.Context, tx pgx.Tx, f filter, watermark time.Time) (out found, err error) {
	every := allRecords(f.userID)
	every.from, every.to = f.from, f.to
	ranges, err := readCounts(ctx, tx, every, watermark, recordsOnly) // what follows is planned for its values
	if err != nil || len(ranges) == 0 {
		return out, err
	}
	sql, args := f.searchQuery()
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return out, err
	}
	var id []byte
	var size int64
	_, err = pgx.ForEachRow(rows, []any{&id, &size}, func() error {
		if out.capped = len(out.ids) == search.MaxTotal; !out.capped {
			out.ids, out.bytes = append(out.ids, append([]byte(nil), id...)), out.bytes+size
		}
		return nil
	})
	if records, _ := timerange.Sum(ranges); records > search.MaxWalked {
		out.capped = true
	}
	return out, err
}

// searchQuery returns the statement that finds records, and its arguments. The walk along the key,
// inside, ends as soon as the outer statement has found enough.
func (f filter) searchQuery() (string, []any) {
	every := allRecords(f.userID)
	walked, args := every.whereID(timerange.Range{From: f.from, To: f.to}, search.MaxWalked)
	counted, args := f.conditions(args)
	searched, args := f.search.Condition(args)
	return `SELECT id, ` + sizeOf + ` FROM (
			SELECT id, realm_id, method, status, user_agent, ` + search.Columns + ` FROM activity` + walked + `
			ORDER BY id DESC LIMIT $4
		) AS newest WHERE true` + counted + searched + fmt.Sprintf(` ORDER BY id DESC LIMIT %d`, search.MaxTotal+1), args
}

// searchPage is list for a filter that searches: total is search.MaxTotal at most, and capped tells
// that there may be more.
func (s *store) searchPage(ctx context.Context, f filter, offset, limit int64) (
	records []Record, total int64, capped bool, err error) {
	err = s.reading(ctx, func(tx pgx.Tx, watermark time.Time) error {
		all, err := findRecords(ctx, tx, f, watermark)
		if err != nil {
			return err
		}
		total, capped = int64(len(all.ids)), all.capped
		page := all.ids[min(offset, total):min(offset+limit, total)]
		if len(page) == 0 {
			return nil
		}
		rows, err := tx.Query(ctx, `SELECT `+recordColumns+` FROM activity WHERE user_id = $1 AND id = ANY($2)
			AND id >= $3 AND id <= $4 ORDER BY id DESC`, []byte(f.userID), page, page[len(page)-1], page[0])
		if err != nil {
			return err
		}
		return scanRecords(rows, hex.EncodeToString([]byte(f.userID)),
			func(r Record) error { records = append(records, r); return nil })
	})
	return records, total, capped, err
}

// searchStats is stats for a filter that searches.
func (s *store) searchStats(ctx context.Context, f filter) (out Stats, err error) {
	err = s.reading(ctx, func(tx pgx.Tx, watermark time.Time) error {
		all, err := findRecords(ctx, tx, f, watermark)
		if err != nil {
			return err
		}
		out.TotalRecords, out.TotalSizeBytes, out.TotalCapped = int64(len(all.ids)), all.bytes, &all.capped
		if n := len(all.ids); n > 0 {
			newest, oldest := api.Time(idTime(string(all.ids[0]))), api.Time(idTime(string(all.ids[n-1])))
			out.NewestRecord, out.OldestRecord = &newest, &oldest
		}
		return nil
	})
	return out, err
}
