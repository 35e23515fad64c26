package activity

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/activity-svc/internal/timerange"
)

// TestOneRealmAmongManyIsLookedUpByItsKey: the number of pages read for the counts of a realm does
// not grow with the realms that its user has beside it.
func TestOneRealmAmongManyIsLookedUpByItsKey(t *testing.T) {
	t.Parallel()
	s, user := newStore(t), newUser()
	watermark := time.Date(2026, 6, 6, 0, 0, 0, 0, time.UTC)
	for _, sql := range []string{
		`INSERT INTO activity_daily (user_id, day, realm_id, method, status, records, bytes)
		 SELECT decode($1, 'hex'), '2026-06-05'::date - d, decode(lpad(n::text, 24, '0'), 'hex'), 'GET', 200, 1, 100
		 FROM generate_series(0, 15) AS d, generate_series(1, 5000) AS n`,
		`UPDATE activity_watermark SET counted_before = '2026-06-06Z' WHERE $1 <> ''`,
	} {
		if _, err := s.pool.Exec(t.Context(), sql, user.UserID); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.pool.Exec(t.Context(), `VACUUM ANALYZE activity_daily`); err != nil {
		t.Fatal(err)
	}
	f := allRecords(raw(user.UserID))
	f.realmID = raw(fmt.Sprintf("%024d", 4711))
	for days, from := range map[int]time.Time{16: firstMoment, 5: watermark.AddDate(0, 0, -5),
		1: watermark.AddDate(0, 0, -1)} {
		f.from = from
		err := s.reading(t.Context(), func(tx pgx.Tx, watermark time.Time) error {
			ranges, err := readCounts(t.Context(), tx, f, watermark, recordsOnly)
			if records, _ := timerange.Sum(ranges); len(ranges) != days || records != int64(days) {
				t.Errorf("got %v, want %d days of one record each", ranges, days)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		err = s.reading(t.Context(), func(tx pgx.Tx, watermark time.Time) error {
			sql, args := daily.readQuery(f, recordsOnly,
				timerange.Split(timerange.Range{From: f.from, To: f.to}, watermark).Days)
			if pages, plan := pagesOf(t, tx, sql, args); pages > 300 {
				t.Errorf("%d days: %d pages were looked at:\n%s", days, pages, plan)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestADroppedDayIsTakenOutOfTheCountsOfEachRealm: several realms have counts of a day that differ
// in nothing else.
func TestADroppedDayIsTakenOutOfTheCountsOfEachRealm(t *testing.T) {
	t.Parallel()
	h := prepare(t)
	s, user := openStore(t, h.cfg.DB.URL.Reveal()), newUser()
	first := timerange.DayOf(time.Now().AddDate(0, -2, 0))
	var rows []*record
	for day, realms := range [][]string{{"1", "2", ""}, {"1", "1", "2", "", "3"}} {
		for _, realm := range realms {
			e := at(first.AddDate(0, 0, day), user, "GET", 200)
			if realm != "" {
				e.RealmID = strings.Repeat(realm, 24)
			}
			rows = append(rows, recordsOf(e)...)
		}
	}
	if err := s.insert(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	maintain(t, newMaintainer(t, s, h.clock, 365))
	h.agrees(8)
	for day, left := range []int64{5, 0} {
		if err := s.drop(t.Context(), first.AddDate(0, 0, day)); err != nil {
			t.Fatal(err)
		}
		h.agrees(left)
		for _, table := range []string{"activity_hourly", "activity_daily"} {
			if n := h.query(`SELECT coalesce(sum(records), 0)::bigint FROM ` + table); n != left {
				t.Errorf("%d records in %s, want %d", n, table, left)
			}
		}
	}
}

// pagesOf runs a statement and returns how many pages of tables and indexes it looks at, and its
// plan.
func pagesOf(t *testing.T, tx pgx.Tx, sql string, args []any) (pages int, plan string) {
	t.Helper()
	rows, err := tx.Query(t.Context(), `EXPLAIN (ANALYZE, BUFFERS) `+sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	plan = strings.Join(lines, "\n")
	if _, err := fmt.Sscanf(plan[strings.Index(plan, "shared hit="):], "shared hit=%d", &pages); err != nil {
		t.Fatalf("%v in %s", err, plan)
	}
	return pages, plan
}
