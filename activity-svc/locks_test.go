package activity

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// previousLocks are the advisory locks of the previous release.
func previousLocks() []string {
	return []string{"activity counts", "activity partitions", "activity maintenance"}
}

// stranger connects to the database as a role that has no right to anything of this service.
func stranger(t *testing.T, address string) *pgx.Conn {
	t.Helper()
	name := "stranger_" + id.New(time.Now())
	own := connectTo(t, address)
	if _, err := own.Exec(t.Context(), `CREATE ROLE `+name+` LOGIN PASSWORD 'stranger'`); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = own.Exec(context.Background(), `DROP ROLE `+name) })
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(name, "stranger")
	return connectTo(t, u.String())
}

func connectTo(t *testing.T, address string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// beginPrevious begins a transaction of a replica of the previous release, which takes the lock of
// the counts with the function lock.
func beginPrevious(t *testing.T, address, lock string) pgx.Tx {
	t.Helper()
	conn := connectTo(t, address)
	if _, err := conn.Exec(t.Context(), `SET search_path = activity_svc`); err != nil {
		t.Fatal(err)
	}
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT `+lock+`(hashtext($1))`, previousLocks()[0]); err != nil {
		t.Fatal(err)
	}
	return tx
}

func TestLocksOfAnotherRoleStopNothing(t *testing.T) {
	t.Parallel()
	address := testkit.Postgres(t)
	s := openStore(t, address)
	other := stranger(t, address)
	for _, lock := range previousLocks() {
		if _, err := other.Exec(t.Context(), `SELECT pg_advisory_lock(hashtext($1))`, lock); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range []string{"activity", "activity_counted", "maintenance_lock"} {
		if _, err := other.Exec(t.Context(), `LOCK TABLE activity_svc.`+table+` IN ACCESS SHARE MODE`); err == nil {
			t.Errorf("another role can lock %s", table)
		}
	}
	now := time.Now()
	if err := s.insert(t.Context(), recordsOf(at(now.Add(-time.Minute), user(), "GET", 200))); err != nil {
		t.Fatal(err)
	}
	ran := false
	err := s.alone(t.Context(), func(ctx context.Context) error {
		ran = true
		return s.count(ctx, now.Truncate(time.Millisecond))
	})
	if err != nil || !ran {
		t.Fatalf("maintenance ran: %v, %v", ran, err)
	}
	var counted int64
	if err := s.pool.QueryRow(t.Context(), `SELECT sum(records)::bigint FROM activity_daily`).Scan(&counted); err != nil ||
		counted != 1 {
		t.Errorf("%d records counted, want 1: %v", counted, err)
	}
}

// A writer of the previous release has the advisory lock only, and adds nothing to counts that it
// saw end before its records: they must not move on before it has committed.
func TestCountingWaitsForAWriterOfThePreviousRelease(t *testing.T) {
	t.Parallel()
	address := testkit.Postgres(t)
	s := openStore(t, address)
	now := time.Now()
	e := at(now.Add(-time.Minute), user(), "GET", 200)
	if err := s.makePartitions(t.Context(), daysOf(recordsOf(e))); err != nil {
		t.Fatal(err)
	}
	tx := beginPrevious(t, address, "pg_advisory_xact_lock_shared")
	counted := make(chan error, 1)
	go func() { counted <- s.count(t.Context(), now.Truncate(time.Millisecond)) }()
	select {
	case err := <-counted:
		t.Fatalf("counted beside a writer: %v", err)
	case <-time.After(1500 * time.Millisecond): // longer than it waits for another role
	}
	if _, err := copyIn(t.Context(), tx, recordsOf(e)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tx.Commit(t.Context()), <-counted); err != nil {
		t.Fatal(err)
	}
	var records int64
	if err := s.pool.QueryRow(t.Context(),
		`SELECT coalesce(sum(records), 0)::bigint FROM activity_daily`).Scan(&records); err != nil || records != 1 {
		t.Errorf("%d records counted, want 1: %v", records, err)
	}
}

// A writer sees how far one of the previous release has counted.
func TestAWriterWaitsForCountingOfThePreviousRelease(t *testing.T) {
	t.Parallel()
	address := testkit.Postgres(t)
	s := openStore(t, address)
	tx := beginPrevious(t, address, "pg_advisory_xact_lock")
	now := time.Now()
	stored := make(chan error, 1)
	go func() {
		stored <- s.insert(t.Context(), recordsOf(at(now.Add(-time.Minute), user(), "GET", 200)))
	}()
	select {
	case err := <-stored:
		t.Fatalf("stored beside counting: %v", err)
	case <-time.After(1500 * time.Millisecond):
	}
	if _, err := tx.Exec(t.Context(), `UPDATE activity_counted SET before = $1`,
		now.Truncate(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tx.Commit(t.Context()), <-stored); err != nil {
		t.Fatal(err)
	}
	var records int64
	if err := s.pool.QueryRow(t.Context(),
		`SELECT coalesce(sum(records), 0)::bigint FROM activity_daily`).Scan(&records); err != nil || records != 1 {
		t.Errorf("%d records counted, want the late one: %v", records, err)
	}
}
