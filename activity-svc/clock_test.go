package activity

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/realmgate/realmgate/activity-svc/internal/timerange"
	"github.com/realmgate/realmgate/pkg/db"
)

const yearAhead = 400 * timerange.Day

// TestAClockThatIsAheadDeletesNothing lets a replica whose clock is ahead, or behind, maintain,
// count and take events.
func TestAClockThatIsAheadDeletesNothing(t *testing.T) {
	t.Parallel()
	for name, off := range map[string]time.Duration{"ahead": yearAhead, "behind": -yearAhead} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := prepare(t, func(c *Config) { c.Retention = 30 })
			s, user, now := openStore(t, h.cfg.DB.URL.Reveal()), newUser(), time.Now()
			var rows []*record
			for n := range 30 {
				rows = append(rows, recordsOf(at(now.AddDate(0, 0, -n), user, "GET", 200))...)
			}
			if err := s.insert(t.Context(), rows); err != nil {
				t.Fatal(err)
			}
			letter := deadLetter{digest: []byte("d"), seq: 7, reason: "r", payload: []byte("p")}
			if err := s.insertDeadLetters(t.Context(), []deadLetter{letter}); err != nil {
				t.Fatal(err)
			}
			h.clock.forward(off)
			r := h.run()
			h.publish(at(now, user, "GET", 200))
			h.drained()
			h.eventually("maintenance has looked", func() error {
				if n := r.metric(t, "clock_doubted_total"); n < 3 {
					return fmt.Errorf("clock_doubted_total %v", n)
				}
				return nil
			})
			maintain(t, newMaintainer(t, s, h.clock, 30))
			h.agrees(31)
			if n := h.query(`SELECT count(*) FROM activity_dead_letters`); n != 1 {
				t.Errorf("%d dead letters, want the 1 that was there", n)
			}
			if n := h.query(`SELECT count(*) FROM activity_watermark WHERE counted_before > now()`); n != 0 {
				t.Error("the counts reach into the future")
			}
			justNow := firstID(now.Add(-time.Second).Truncate(time.Millisecond))
			if n := h.query(`SELECT count(*) FROM activity WHERE id > $1`, justNow); n != 2 {
				t.Errorf("%d records of now, want the one that was published as well", n)
			}
		})
	}
}

// TestALogThatNothingIsAddedToIsKept: the retention counts from its newest record.
func TestALogThatNothingIsAddedToIsKept(t *testing.T) {
	t.Parallel()
	h := prepare(t)
	s, user, newest := openStore(t, h.cfg.DB.URL.Reveal()), newUser(), time.Now().AddDate(0, 0, -100)
	insert := func(when ...time.Time) {
		t.Helper()
		var rows []*record
		for _, when := range when {
			rows = append(rows, recordsOf(at(when, user, "GET", 200))...)
		}
		if err := s.insert(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
	}
	insert(newest, newest.AddDate(0, 0, -10), newest.AddDate(0, 0, -11))
	maintain(t, newMaintainer(t, s, h.clock, 10))
	h.agrees(2)
	insert(time.Now().AddDate(0, 0, -1))
	maintain(t, newMaintainer(t, s, h.clock, 10))
	h.agrees(1)
}

// TestALeapOfTheDatabasesClockDeletesNothing, as when the clock of the whole machine is wrong for a
// moment.
func TestALeapOfTheDatabasesClockDeletesNothing(t *testing.T) {
	t.Parallel()
	h := prepare(t)
	s, user, now := openStore(t, h.cfg.DB.URL.Reveal()), newUser(), time.Now()
	old := recordsOf(at(now.AddDate(0, 0, -20), user, "GET", 200))
	if err := s.insert(t.Context(), append(old, recordsOf(at(now, user, "GET", 200))...)); err != nil {
		t.Fatal(err)
	}
	h.query(`UPDATE clock_seen SET seen_at = now() - interval '400 days'`)
	k := newMaintainer(t, s, h.clock, 10)
	if err := s.withMaintenanceLock(t.Context(), k.runOnce); !errors.Is(err, db.ErrClockDoubted) {
		t.Errorf("maintenance: %v, want %v", err, db.ErrClockDoubted)
	}
	if err := k.countOnce(t.Context()); !errors.Is(err, db.ErrClockDoubted) {
		t.Errorf("counting: %v, want %v", err, db.ErrClockDoubted)
	}
	h.agrees(2)
	if n := h.query(`SELECT count(*) FROM activity_watermark WHERE counted_before > '1970-01-02Z'`); n != 0 {
		t.Error("the counts were moved by a clock that is doubted")
	}
	h.query(`UPDATE clock_seen SET seen_at = now()`)
	maintain(t, k)
	h.agrees(1)
}

// metric returns the value of a counter or gauge without labels.
func (r *replica) metric(t testing.TB, name string) float64 {
	t.Helper()
	families, err := r.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue() + f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
