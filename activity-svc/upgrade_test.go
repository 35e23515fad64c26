package activity

import (
	"io/fs"
	"log/slog"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// previousMigrations are those of the release that counted by the day.
func previousMigrations(t *testing.T) fs.FS {
	t.Helper()
	files := fstest.MapFS{}
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if name >= "migrations/00090" {
			continue
		}
		data, err := fs.ReadFile(migrationFiles, name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: data}
	}
	return files
}

// countAsPrevious counts the records before the time before as the previous release does.
func countAsPrevious(t *testing.T, s *store, before time.Time) {
	t.Helper()
	if _, err := s.pool.Exec(t.Context(), `INSERT INTO activity_daily SELECT user_id,
			(to_timestamp(('x' || encode(substr(id, 1, 6), 'hex'))::bit(48)::bigint / 1000) AT TIME ZONE 'UTC')::date AS day,
			realm_id, method, status, count(*), sum`+sizeOf+` FROM activity WHERE id < $1 GROUP BY 1, 2, 3, 4, 5`,
		firstID(before)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.pool.Exec(t.Context(), `
		INSERT INTO activity_busy_days SELECT DISTINCT day, user_id FROM activity_daily;
		INSERT INTO activity_histogram SELECT user_id, day, realm_id, method, status, records,
			array_fill(records::int, ARRAY[1]) || array_fill(0, ARRAY[95]) FROM activity_daily`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.pool.Exec(t.Context(), `UPDATE activity_counted SET before = $1`, before); err != nil {
		t.Fatal(err)
	}
}

// copyAsPrevious stores rows as the releases do that do not know the credential of a record.
func copyAsPrevious(t testing.TB, s *store, rows []*record) {
	t.Helper()
	_, err := s.pool.CopyFrom(t.Context(), pgx.Identifier{"activity"}, columns[:8],
		pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
			r := rows[i]
			return []any{[]byte(r.userID), []byte(r.id), []byte(r.realmID), r.method, r.path, r.status, r.ipAddress,
				r.userAgent}, nil
		}))
	if err != nil {
		t.Fatal(err)
	}
}

// readAsPrevious returns the total of a user's log as the previous release computes it.
func readAsPrevious(t *testing.T, s *store, userID string) (total int64) {
	t.Helper()
	const begin = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL plan_cache_mode = force_generic_plan`
	err := pgx.BeginTxFunc(t.Context(), s.pool, pgx.TxOptions{BeginQuery: begin}, func(tx pgx.Tx) error {
		var before, summedUntil time.Time
		if err := tx.QueryRow(t.Context(), `SELECT before, summed_until FROM activity_counted`).Scan(&before,
			&summedUntil); err != nil {
			return err
		}
		return tx.QueryRow(t.Context(), `SELECT
			(SELECT coalesce(sum(records), 0) FROM activity_monthly WHERE user_id = $1 AND month <= $2::date) +
			(SELECT coalesce(sum(records), 0) FROM activity_daily WHERE user_id = $1 AND day > $2::date) +
			(SELECT coalesce(sum(buckets[1]), 0) FROM activity_histogram WHERE user_id = $1) +
			(SELECT count(*) FROM activity WHERE user_id = $1 AND id >= $3)`,
			[]byte(raw(userID)), summedUntil, firstID(before)).Scan(&total)
	})
	if err != nil {
		t.Fatal(err)
	}
	return total
}

// storeAsPrevious begins to store, or count, records as the previous release does.
func storeAsPrevious(t *testing.T, s *store, lock string) error {
	t.Helper()
	return db.InTx(t.Context(), s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `LOCK TABLE activity_counted IN `+lock+` MODE`); err != nil {
			return err
		}
		var before, summedUntil time.Time
		return tx.QueryRow(t.Context(), `SELECT before, summed_until FROM activity_counted`).Scan(&before, &summedUntil)
	})
}

// TestThePreviousReleaseReadsAndLeavesStoringToThisOne upgrades a log while a replica of the
// release that counted by the day still runs.
func TestThePreviousReleaseReadsAndLeavesStoringToThisOne(t *testing.T) {
	t.Parallel()
	h := prepare(t)
	h.cfg.DB.URL = config.Secret(testkit.Postgres(t))
	w := &walked{h: h, s: openStore(t, h.cfg.DB.URL.Reveal()), user: newUser()}
	migrate := func(files fs.FS) {
		t.Helper()
		if err := db.Migrate(t.Context(), w.s.pool, schema, files, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
	}
	migrate(previousMigrations(t))
	var rows []*record
	now := time.Now()
	for n := range 100 {
		e := at(now.Add(-time.Duration(n)*7*time.Hour), w.user, "GET", 200+n%3)
		w.events, rows = append(w.events, e), append(rows, recordsOf(e)...)
	}
	if err := w.s.makePartitions(t.Context(), daysOf(rows)); err != nil {
		t.Fatal(err)
	}
	copyAsPrevious(t, w.s, rows)
	countAsPrevious(t, w.s, now.Add(-time.Hour).Truncate(time.Millisecond))
	migrate(migrationFiles)
	agree := func(stage string) {
		t.Helper()
		if got := readAsPrevious(t, w.s, w.user.UserID); got != int64(len(w.events)) {
			t.Errorf("%s: the previous release counts %d records, want %d", stage, got, len(w.events))
		}
		for _, lock := range []string{"ROW SHARE", "EXCLUSIVE"} {
			if err := storeAsPrevious(t, w.s, lock); err == nil || isUnstorable(err) || isLockTimeout(err) {
				t.Errorf("%s: storing ends with %v, want an error that is tried again", stage, err)
			}
		}
		w.h.agrees(int64(len(w.events)))
	}
	agree("after the migration")
	h.run()
	w.compare("before all is counted", []string{"", "&end_date=" + w.day(3).Format(time.DateOnly)})
	w.counted()
	agree("when all is counted")
	w.add(30, w.day(20), w.day(0))
	agree("after late events")
	if err := w.s.drop(t.Context(), w.day(29)); err != nil {
		t.Fatal(err)
	}
	w.events = w.events[:len(selectedBy(t, w.events, "&start_date="+w.day(28).Format(time.DateOnly)))]
	agree("after a day was dropped")
	w.compare("in the end", []string{"", "&start_date=" + w.day(9).Format(time.DateOnly)})
}
