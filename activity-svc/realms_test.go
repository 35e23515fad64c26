package activity

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/testkit"
)

// TestOneRealmAmongManyIsLookedUpByItsKey: what is read for the counts of a realm does not grow
// with the realms that its user has beside it.
func TestOneRealmAmongManyIsLookedUpByItsKey(t *testing.T) {
	t.Parallel()
	s, who := openStore(t, testkit.Postgres(t)), user()
	for _, sql := range []string{
		`INSERT INTO activity_monthly (user_id, month, realm_id, method, status, records, bytes)
		 SELECT decode($1, 'hex'), '2026-05-01'::date - make_interval(months => m), decode(lpad(n::text, 24, '0'), 'hex'), 'GET', 200, 1, 100
		 FROM generate_series(0, 11) AS m, generate_series(1, 5000) AS n`,
		`INSERT INTO activity_daily (user_id, day, realm_id, method, status, records, bytes)
		 SELECT decode($1, 'hex'), '2026-05-31'::date + d, decode(lpad(n::text, 24, '0'), 'hex'), 'GET', 200, 1, 100
		 FROM generate_series(0, 5) AS d, generate_series(1, 5000) AS n`,
		`UPDATE activity_counted SET before = '2026-06-06', summed_until = '2026-06-01' WHERE $1 <> ''`,
	} {
		if _, err := s.pool.Exec(t.Context(), sql, who.UserID); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.pool.Exec(t.Context(), `VACUUM ANALYZE activity_monthly, activity_daily`); err != nil {
		t.Fatal(err)
	}
	f := everything(raw(who.UserID))
	f.realmID = raw(fmt.Sprintf("%024d", 4711))
	for name, c := range map[string]struct {
		sql   string
		args  []any
		spans int
	}{
		"every day": {countWholeDaysOfRealm,
			f.args(firstMoment, firstMoment, lastMoment, lastMoment, moment("2026-06-01")), 12 + 4},
		"months and days beside": {countWholeDaysOfRealm,
			f.args(moment("2026-05-31"), moment("2026-06-01"), moment("2026-07-01"), moment("2026-07-04"), moment("2026-06-01")),
			1 + 4},
		"whole months alone": {countWholeDaysOfRealm,
			f.args(moment("2026-02-01"), moment("2026-02-01"), moment("2026-05-01"), moment("2026-05-01"), moment("2026-06-01")),
			3},
		"days of months": {readDaysOfRealm,
			f.args([]time.Time{moment("2026-05-01"), moment("2026-06-01")},
				[]time.Time{moment("2026-06-01"), moment("2026-06-03")}), 1 + 2},
	} {
		err := s.reading(t.Context(), func(tx pgx.Tx, _ counted) error {
			rows, err := tx.Query(t.Context(), c.sql, c.args...)
			if err != nil {
				return err
			}
			spans, err := collectSpans(rows, nil)
			if records, _ := sum(spans); len(spans) != c.spans || records != int64(c.spans) {
				t.Errorf("%s: got %v, want %d of one record each", name, spans, c.spans)
			}
			if pages, plan := pagesOf(t, tx, c.sql, c.args); pages > 300 {
				t.Errorf("%s: %d pages were looked at:\n%s", name, pages, plan)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	err := s.reading(t.Context(), func(tx pgx.Tx, _ counted) error {
		if pages, plan := pagesOf(t, tx, readBucketsOfRealm, f.args(moment("2026-06-02"))); pages > 20 {
			t.Errorf("the histogram of a day: %d pages were looked at:\n%s", pages, plan)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestADroppedDayIsTakenOutOfEachRealmsMonth: several realms have counts of one month that differ
// in nothing else.
func TestADroppedDayIsTakenOutOfEachRealmsMonth(t *testing.T) {
	t.Parallel()
	h := prepare(t)
	s, who := openStore(t, h.cfg.DB.URL.Reveal()), user()
	first := monthOf(time.Now().AddDate(0, -2, 0))
	var rows []*record
	for day, realms := range [][]string{{"1", "2", ""}, {"1", "1", "2", "", "3"}} {
		for _, realm := range realms {
			e := at(first.AddDate(0, 0, day), who, "GET", 200)
			if realm != "" {
				e.RealmID = strings.Repeat(realm, 24)
			}
			rows = append(rows, recordsOf(e)...)
		}
	}
	if err := s.insert(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	work(t, newKeeper(t, s, h.clock, 365))
	h.agrees(8)
	for day, left := range []int64{5, 0} {
		if err := s.drop(t.Context(), first.AddDate(0, 0, day)); err != nil {
			t.Fatal(err)
		}
		h.agrees(left)
		if n := h.query(`SELECT coalesce(sum(records), 0)::bigint FROM activity_monthly`); n != left {
			t.Errorf("%d records in the months, want %d", n, left)
		}
	}
	if n := h.query(`SELECT count(*) FROM activity_monthly`); n != 0 {
		t.Errorf("%d months are left that have nothing", n)
	}
}

// pagesOf runs a statement and returns how many pages of tables and indexes it looks at, and its
// plan.
func pagesOf(t *testing.T, tx pgx.Tx, sql string, args []any) (pages int, plan string) {
	t.Helper()
	rows, err := tx.Query(t.Context(), `EXPLAIN (ANALYZE, BUFFERS)`+sql, args...)
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
