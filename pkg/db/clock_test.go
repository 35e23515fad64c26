package db

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/realmgate/realmgate/pkg/testkit"
)

// testClock returns the Clock of a process whose own clock is off by ahead.
func testClock(t *testing.T, ahead time.Duration) (*Clock, *Pool, *bytes.Buffer) {
	t.Helper()
	pool, log := open(t, testkit.Postgres(t), "public"), &bytes.Buffer{}
	if _, err := pool.Exec(t.Context(), `CREATE TABLE clock_seen AS SELECT clock_timestamp() AS seen_at`); err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return time.Now().Add(ahead) }
	return NewClock(pool, now, slog.New(slog.NewTextHandler(log, nil)), prometheus.NewRegistry()), pool, log
}

func TestTheEarlierOfTwoClocksIsReadAndADifferenceReported(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for name, ahead := range map[string]time.Duration{"right": 0, "ahead": 400 * day, "behind": -2 * day} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _, log := testClock(t, ahead)
			now, err := c.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got, want := time.Since(now.Earlier()), max(0, -ahead); (got - want).Abs() > maxClockOffset {
				t.Errorf("the earlier time is %v ago, want %v", got, want)
			}
			if got, want := time.Since(now.Later()), min(0, -ahead); (got - want).Abs() > maxClockOffset {
				t.Errorf("the later time is %v ago, want %v", got, want)
			}
			if got := strings.Contains(log.String(), "level=ERROR"); got != (ahead != 0) {
				t.Errorf("an error was logged: %v: %s", got, log)
			}
		})
	}
}

// TestALeapOfTheDatabasesClockIsBelievedAfterAWhile checks that a gap which lasts counts as a stop
// of the service.
func TestALeapOfTheDatabasesClockIsBelievedAfterAWhile(t *testing.T) {
	t.Parallel()
	c, pool, log := testClock(t, 0)
	see := func(at time.Time) {
		t.Helper()
		if _, err := pool.Exec(t.Context(), `UPDATE clock_seen SET seen_at = $1`, at); err != nil {
			t.Fatal(err)
		}
	}
	read := func(want error) {
		t.Helper()
		if _, err := c.Read(t.Context()); !errors.Is(err, want) {
			t.Fatalf("got %v, want %v", err, want)
		}
	}
	see(time.Now().Add(-maxClockGap + time.Hour)) // the service was stopped for a weekend
	read(nil)
	read(nil)
	see(time.Now().Add(-400 * 24 * time.Hour))
	read(ErrClockDoubted)
	read(ErrClockDoubted)
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
		t.Errorf("%d errors were logged, want 1: %s", n, log)
	}
	see(time.Now()) // the clock is right again
	read(nil)
	if !c.leap.IsZero() {
		t.Error("the leap that is over would be believed sooner when it comes back")
	}
	see(time.Now().Add(-400 * 24 * time.Hour))
	read(ErrClockDoubted)
	c.leap = c.leap.Add(-clockWait)
	read(nil)
	var seen time.Time
	err := pool.QueryRow(t.Context(), `SELECT seen_at FROM clock_seen`).Scan(&seen)
	if err != nil || time.Since(seen) > time.Minute {
		t.Errorf("last seen %v (%v), want now", seen, err)
	}
	see(time.Now().Add(time.Hour)) // it was ahead, and was set back
	read(nil)
	see(seen)
	read(nil)
}
