package activity

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/id"
)

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

func TestLocksOfAnotherRoleStopNothing(t *testing.T) {
	t.Parallel()
	address := database(t)
	s := openStore(t, address)
	other := stranger(t, address)
	for _, table := range []string{"activity", "activity_watermark", "maintenance_lock"} {
		if _, err := other.Exec(t.Context(), `LOCK TABLE activity_svc.`+table+` IN ACCESS SHARE MODE`); err == nil {
			t.Errorf("another role can lock %s", table)
		}
	}
	now := time.Now()
	if err := s.insert(t.Context(), recordsOf(at(now.Add(-time.Minute), newUser(), "GET", 200))); err != nil {
		t.Fatal(err)
	}
	ran := false
	err := s.withMaintenanceLock(t.Context(), func(ctx context.Context) error {
		ran = true
		return s.moveWatermark(ctx, now.Truncate(time.Millisecond))
	})
	if err != nil || !ran {
		t.Fatalf("maintenance ran: %v, %v", ran, err)
	}
	var counted int64
	if err := s.pool.QueryRow(t.Context(),
		`SELECT sum(records)::bigint FROM activity_hourly`).Scan(&counted); err != nil ||
		counted != 1 {
		t.Errorf("%d records counted, want 1: %v", counted, err)
	}
}
