package activity

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/activity-svc/internal/timerange"
	"github.com/realmgate/realmgate/pkg/id"
)

// TestAConnectionThatWritesWhileADayIsMadeHasTheDay: connections that use the log for the first
// time, while a partition is made beside them, must know that partition afterwards. PostgreSQL's
// ATTACH PARTITION does not promise that.
func TestAConnectionThatWritesWhileADayIsMadeHasTheDay(t *testing.T) {
	t.Parallel()
	url := database(t)
	s, now := openStore(t, url), time.Now()
	const into = `INSERT INTO ` + schema + `.activity SELECT $1::bytea, $2::bytea, '', '', '', 0, '', '' WHERE $3::bool`
	var days []time.Time
	for n := range 50 {
		days = append(days, timerange.DayOf(now.AddDate(0, 0, n)))
	}
	if err := s.makePartitions(t.Context(), days); err != nil {
		t.Fatal(err)
	}
	for round := range 8 {
		var conns []*pgx.Conn
		for range 8 {
			c, err := pgx.Connect(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close(context.Background())
			conns = append(conns, c)
		}
		day := timerange.DayOf(now.AddDate(0, 0, -1-round))
		write := func(c *pgx.Conn, really bool) {
			if _, err := c.Exec(t.Context(), into, []byte(raw(newUser().UserID)), []byte(raw(id.New(day))), really); err != nil {
				t.Errorf("round %d: %v", round, err)
			}
		}
		var wait sync.WaitGroup
		for n, c := range conns {
			wait.Go(func() {
				// so that one of them is in the middle of it when the partition comes
				time.Sleep(time.Duration(n) * time.Millisecond)
				write(c, false)
			})
		}
		if err := s.makePartitions(t.Context(), []time.Time{day}); err != nil {
			t.Error(err)
		}
		wait.Wait()
		for _, c := range conns {
			write(c, true)
		}
	}
}

// TestADayIsMadeWhileTheLogIsIdle is the same without luck: a transaction that has read waits
// for nobody, and the day waits for it.
func TestADayIsMadeWhileTheLogIsIdle(t *testing.T) {
	t.Parallel()
	s, day := newStore(t), []time.Time{timerange.DayOf(time.Now())}
	err := pgx.BeginFunc(t.Context(), s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `SELECT FROM activity`); err != nil {
			return err
		}
		if err := s.makePartitions(t.Context(), day); !isLockTimeout(err) {
			t.Errorf("got %v, want that it waited in vain", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.makePartitions(t.Context(), day); err != nil {
		t.Error(err)
	}
}
