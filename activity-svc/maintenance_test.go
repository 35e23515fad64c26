package activity

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/activity-svc/internal/timerange"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/service"
	"github.com/realmgate/realmgate/pkg/testkit"
)

func newMaintainer(t testing.TB, s *store, c *clock, days Retention) *maintainer {
	clock := db.NewClock(s.pool, c.now, testkit.Log(t), nil)
	return &maintainer{store: s, retention: days, clock: clock, log: testkit.Log(t), metrics: newMetrics(nil)}
}

func maintain(t testing.TB, m *maintainer) {
	t.Helper()
	if err := m.store.withMaintenanceLock(t.Context(), m.runOnce); err != nil {
		t.Fatal(err)
	}
}

func TestPartitionsAreMadeAhead(t *testing.T) {
	t.Parallel()
	h, r := start(t)
	now := time.Now()
	var days []time.Time
	h.eventually("the coming days have partitions", func() (err error) {
		s := openStore(t, h.cfg.DB.URL.Reveal())
		if days, err = s.days(t.Context()); err == nil && len(days) != daysAhead+1 {
			err = fmt.Errorf("%v", days)
		}
		return err
	})
	if !days[0].Equal(timerange.DayOf(now)) || !days[daysAhead].Equal(timerange.DayOf(now).AddDate(0, 0, daysAhead)) {
		t.Errorf("got %v", days)
	}
	r.stop()
}

func TestADayThatIsTooOldGoesWithItsCounts(t *testing.T) {
	t.Parallel()
	h := prepare(t, func(c *Config) { c.Retention = 35 })
	s := openStore(t, h.cfg.DB.URL.Reveal())
	user := newUser()
	now := time.Now()
	var rows []*record
	for n := range 41 {
		rows = append(rows, recordsOf(at(now.AddDate(0, 0, -n), user, "GET", 200+n%2))...)
	}
	if err := s.insert(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	maintain(t, newMaintainer(t, s, h.clock, 40))
	h.agrees(41) // the day that the retention ends in is kept whole
	maintain(t, newMaintainer(t, s, h.clock, 35))
	h.agrees(36)
	r := h.run()
	if a := h.get(user, logPath+"?limit=100"); a.Metadata.Total != 36 || len(a.records(t)) != 36 {
		t.Errorf("got %+v", a.Metadata)
	}
	late := at(now.AddDate(0, 0, -38), user, "GET", 200)
	h.publish(late) // a gateway that was cut off for long
	h.drained()
	h.agrees(36)
	h.eventually("it is counted as expired", func() error {
		if got := r.outcomes(t); got[expired] != 1 {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
}

// TestAReaderWaitsWhileADayIsDropped has taken its snapshot of the counts before, and comes to the
// records after.
func TestAReaderWaitsWhileADayIsDropped(t *testing.T) {
	t.Parallel()
	s, user, now := newStore(t), newUser(), time.Now()
	var rows []*record
	for n := range 9 {
		rows = append(rows, recordsOf(at(now.AddDate(0, 0, -n), user, "GET", 200))...)
	}
	if err := s.insert(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	if err := s.moveWatermark(t.Context(), now.Add(time.Minute).Truncate(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	page := func(f filter, offset int64) func() (int, error) {
		return func() (int, error) {
			records, total, err := s.list(t.Context(), f, offset, 100)
			if int64(len(records))+offset != total {
				t.Errorf("a page has %d records after %d, of %d", len(records), offset, total)
			}
			return int(total), err
		}
	}
	all := allRecords(raw(user.UserID))
	gets := all
	gets.method = "GET"
	for n, read := range []func() (int, error){
		page(all, 0), page(all, 2), page(gets, 0),
		func() (int, error) {
			out, err := s.stats(t.Context(), all)
			if err == nil && !timerange.DayOf(time.Time(*out.OldestRecord)).Equal(timerange.DayOf(now.AddDate(0, 0, -4))) {
				t.Errorf("the oldest is of %v", time.Time(*out.OldestRecord))
			}
			return int(out.TotalRecords), err
		},
	} {
		total, err := readWhileDropping(t, s, timerange.DayOf(now.AddDate(0, 0, n-8)), read)
		if err != nil || total != 8-n {
			t.Errorf("reader %d: a total of %d, want %d (%v)", n, total, 8-n, err)
		}
	}
}

// readWhileDropping drops a day while read waits for the records, and returns what read returns.
func readWhileDropping(t *testing.T, s *store, day time.Time, read func() (int, error)) (total int, readErr error) {
	t.Helper()
	var wait sync.WaitGroup
	err := pgx.BeginFunc(t.Context(), s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `LOCK TABLE activity`); err != nil {
			return err
		}
		wait.Go(func() { total, readErr = read() })
		for waiting := false; !waiting; time.Sleep(time.Millisecond) {
			if err := s.pool.QueryRow(t.Context(),
				`SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'activity'::regclass`).Scan(&waiting); err != nil {
				return err
			}
		}
		return dropDay(t.Context(), tx, day)
	})
	wait.Wait()
	return total, errors.Join(readErr, err)
}

// TestReadersBesideDroppedDays lets them come when they like.
func TestReadersBesideDroppedDays(t *testing.T) {
	t.Parallel()
	const days = 30
	s, user, now := newStore(t), newUser(), time.Now()
	var rows []*record
	for n := range days {
		rows = append(rows, recordsOf(at(now.AddDate(0, 0, -n), user, "GET", 200))...)
	}
	if err := s.insert(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	maintain(t, newMaintainer(t, s, &clock{}, 365))
	stop := make(chan struct{})
	var wait sync.WaitGroup
	for n := range 4 {
		wait.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if n == 0 {
					if _, err := s.stats(t.Context(), allRecords(raw(user.UserID))); err != nil {
						t.Errorf("stats: %v", err)
					}
					continue
				}
				records, total, err := s.list(t.Context(), allRecords(raw(user.UserID)), 0, 100)
				if err != nil || int64(len(records)) != total {
					t.Errorf("a page of %d records, of %d (%v)", len(records), total, err)
				}
			}
		})
	}
	for n := range days - 1 {
		if err := s.drop(t.Context(), timerange.DayOf(now.AddDate(0, 0, n+1-days))); err != nil {
			t.Logf("a day that a reader had in hand for long is left: %v", err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	close(stop)
	wait.Wait()
}

func TestALateEventIsCountedInItsHourAndDay(t *testing.T) {
	t.Parallel()
	h := prepare(t)
	s := openStore(t, h.cfg.DB.URL.Reveal())
	k := newMaintainer(t, s, h.clock, 365)
	user := newUser()
	old := time.Now().AddDate(0, -3, 0)
	insert := func(when time.Time) {
		t.Helper()
		if err := s.insert(t.Context(), recordsOf(at(when, user, "GET", 200))); err != nil {
			t.Fatal(err)
		}
	}
	insert(old)
	maintain(t, k)
	insert(old)
	insert(old.AddDate(0, 0, -1))
	h.agrees(3)
	h.run()
	if a := h.get(user, logPath); a.Metadata.Total != 3 || len(a.records(t)) != 3 {
		t.Errorf("got %s", a.body)
	}
}

// TestMaintenanceBesideWriters lets days be made, counted and dropped while records are stored and
// read.
func TestMaintenanceBesideWriters(t *testing.T) {
	t.Parallel()
	h := prepare(t, func(c *Config) { c.Retention = 20 })
	s := openStore(t, h.cfg.DB.URL.Reveal())
	user := newUser()
	now := time.Now()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for round := range 30 {
				var rows []*record
				for n := range 30 {
					rows = append(rows, recordsOf(at(now.AddDate(0, 0, 7-n/2-round%5), user, "GET", 200))...)
				}
				err := s.insert(t.Context(), rows)
				for isLockTimeout(err) {
					err = s.insert(t.Context(), rows) // as the consumer does: on a busy machine a day is not made at once
				}
				if err != nil {
					t.Errorf("insert: %v", err)
				}
				if _, _, err := s.list(t.Context(), allRecords(raw(user.UserID)), 0, 50); err != nil {
					t.Errorf("list: %v", err)
				}
			}
		})
	}
	for range 2 { // two replicas that do the same work
		wg.Go(func() {
			other := openStore(t, h.cfg.DB.URL.Reveal())
			k := newMaintainer(t, other, h.clock, 20)
			for range 15 {
				if err := other.withMaintenanceLock(t.Context(), k.runOnce); err != nil {
					t.Logf("maintenance, to be tried again: %v", err)
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	wg.Wait()
	h.agrees(4 * 30 * 30)
	maintain(t, newMaintainer(t, s, h.clock, 10))
	left := h.query(`SELECT count(*) FROM activity`)
	if left == 0 || left == 4*30*30 {
		t.Errorf("%d records left", left)
	}
	h.agrees(left)
}

func TestOneReplicaMaintains(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	ran := 0
	err := s.withMaintenanceLock(t.Context(), func(ctx context.Context) error {
		ran++
		// another connection, as another replica has
		return s.withMaintenanceLock(ctx, func(context.Context) error { ran++; return nil })
	})
	if err != nil || ran != 1 {
		t.Errorf("ran %d times, %v", ran, err)
	}
	if err := s.withMaintenanceLock(t.Context(), func(context.Context) error { ran++; return nil }); err != nil ||
		ran != 2 {
		t.Errorf("afterwards: ran %d times, %v", ran, err)
	}
}

func TestTwoConnectionsAreEnough(t *testing.T) {
	t.Parallel()
	h := prepare(t, func(c *Config) { c.DB.MaxConns, c.Retention = minConns, 40 })
	if err := h.cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	h.run()
	user, now := newUser(), time.Now()
	for n := range 10 {
		h.publish(at(now.AddDate(0, 0, -n), user, "GET", 200))
	}
	h.drained()
	h.eventually("maintenance has made the coming days", func() (err error) {
		if n := h.query(`SELECT count(*) FROM pg_inherits WHERE inhparent = 'activity'::regclass`); n != daysAhead+10 {
			err = fmt.Errorf("%d days", n)
		}
		return err
	})
	if a := h.get(user, logPath); a.Metadata.Total != 10 || len(a.records(t)) != 10 {
		t.Errorf("got %s", a.body)
	}
}

func TestAPartitionThatAnotherReplicaDroppedIsMadeAgain(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	when := time.Now().AddDate(0, 0, -3)
	insert := func() error { return s.insert(t.Context(), recordsOf(at(when, newUser(), "GET", 200))) }
	if err := insert(); err != nil {
		t.Fatal(err)
	}
	if err := (&store{pool: s.pool}).drop(t.Context(), timerange.DayOf(when)); err != nil {
		t.Fatal(err)
	}
	if err := insert(); err == nil || isUnstorable(err) {
		t.Errorf("the first attempt: %v, want an error that is tried again", err)
	}
	if err := insert(); err != nil {
		t.Errorf("the second attempt: %v", err)
	}
}

func TestRecountMakesTheCountsOfTheRecords(t *testing.T) {
	t.Parallel()
	h := prepare(t)
	s := openStore(t, h.cfg.DB.URL.Reveal())
	k := newMaintainer(t, s, h.clock, 365)
	user := newUser()
	var rows []*record
	for n := range 100 {
		rows = append(rows, recordsOf(at(time.Now().AddDate(0, 0, -n).Add(-time.Minute), user, "GET", 200+n%3))...)
	}
	midnight := timerange.DayOf(time.Now()).AddDate(0, 0, -7)
	rows = append(rows, recordsOf(at(midnight, user, "GET", 200))...)
	rows = append(rows, recordsOf(at(midnight.Add(-time.Millisecond), user, "GET", 200))...)
	if err := s.insert(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	maintain(t, k)
	want := dump(t, s)
	h.query(`DELETE FROM activity_hourly WHERE hour < now() - interval '10 days'`)
	h.query(`UPDATE activity_daily SET records = 7`)
	var out testOutput
	if err := recount(t.Context(), h.cfg, service.Runtime{Log: testkit.Log(t), Now: h.clock.now}, nil, &out); err != nil ||
		string(out) != "102 records counted\n" {
		t.Fatalf("%q, %v", out, err)
	}
	if got := dump(t, s); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

type testOutput []byte

func (o *testOutput) Write(b []byte) (int, error) { *o = append(*o, b...); return len(b), nil }

func dump(t *testing.T, s *store) (all string) {
	t.Helper()
	err := s.pool.QueryRow(t.Context(), `SELECT (SELECT string_agg(h::text, E'\n' ORDER BY h::text) FROM activity_hourly h) ||
		(SELECT string_agg(d::text, E'\n' ORDER BY d::text) FROM activity_daily d)`).Scan(&all)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestDeadLettersAreForgotten(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	letter := deadLetter{digest: []byte("d"), seq: 7, reason: "r", payload: []byte("p")}
	for range 2 { // the second is the same message again
		if err := s.insertDeadLetters(t.Context(), []deadLetter{letter}); err != nil {
			t.Fatal(err)
		}
	}
	count := func() (n int) {
		if err := s.pool.QueryRow(t.Context(), `SELECT count(*) FROM activity_dead_letters`).Scan(&n); err != nil &&
			!errors.Is(err, pgx.ErrNoRows) {
			t.Fatal(err)
		}
		return n
	}
	if n := count(); n != 1 {
		t.Errorf("%d dead letters, want 1", n)
	}
	if err := s.dropDeadLetters(t.Context(), time.Now().Add(time.Hour)); err != nil || count() != 0 {
		t.Errorf("%d dead letters left, %v", count(), err)
	}
}
