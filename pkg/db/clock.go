package db

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

const (
	// maxClockOffset is the difference between the clocks of this process and of the database above
	// which it is reported.
	maxClockOffset = time.Minute
	// maxClockGap is how far the database's clock may be ahead of the last time that a replica read
	// from it. A clock that is further ahead is trusted only after clockWait. So a clock that is
	// wrong for a moment deletes nothing, and after a stop longer than maxClockGap deletions merely
	// begin later.
	maxClockGap = 72 * time.Hour
	clockWait   = time.Hour
	// seenEvery is the pause between updates of clock_seen, which stores the database's time.
	seenEvery      = time.Minute
	clockTellEvery = 10 * time.Minute
)

// ErrClockDoubted means that the time is in doubt and that nothing may be deleted for its age now.
var ErrClockDoubted = errors.New("the database's clock is far ahead of where it was last seen")

// Clock provides the time by which a service deletes old data. Data must be old by the clock of the
// process and by that of the database, so a single wrong clock deletes nothing. When both are
// wrong, as on one machine, the leap ahead is noticed. Clock needs the table clock_seen in the
// schema of the pool.
type Clock struct {
	pool    *Pool
	now     func() time.Time
	log     *slog.Logger
	offset  prometheus.Gauge
	doubted prometheus.Counter

	mu   sync.Mutex
	leap time.Time // time at which the database's clock was first found ahead; zero: it is not
	told rate.Sometimes
}

// NewClock returns the clock of a service; now is the clock of its process. reg may be nil.
func NewClock(pool *Pool, now func() time.Time, log *slog.Logger, reg prometheus.Registerer) *Clock {
	c := &Clock{
		pool: pool, now: now, log: log, told: rate.Sometimes{Interval: clockTellEvery},
		offset: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "clock_offset_seconds",
			Help: "The database's time minus that of this process, when they were last compared.",
		}),
		doubted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "clock_doubted_total",
			Help: "Times that the clock of this process or of the database was found to be wrong.",
		}),
	}
	if reg != nil {
		reg.MustRegister(c.offset, c.doubted)
	}
	return c
}

// Times holds the times of both clocks at one moment.
type Times struct{ Process, Database time.Time }

// Earlier returns the earlier of the two times. Data that is old by it is old by both clocks, and
// may be deleted.
func (t Times) Earlier() time.Time {
	if t.Process.Before(t.Database) {
		return t.Process
	}
	return t.Database
}

// Later returns the later of the two times. A time after it lies in the future by both clocks.
func (t Times) Later() time.Time {
	if t.Process.After(t.Database) {
		return t.Process
	}
	return t.Database
}

// Read returns the times of both clocks. The error is ErrClockDoubted while the database's clock
// has leapt ahead.
func (c *Clock) Read(ctx context.Context) (Times, error) {
	var t Times
	var seen time.Time
	asked := c.now()
	err := c.pool.QueryRow(ctx, `SELECT clock_timestamp(), seen_at FROM clock_seen`).Scan(&t.Database, &seen)
	if err != nil {
		return t, err
	}
	t.Process = asked.Add(c.now().Sub(asked) / 2)
	c.compare(t)
	if c.leapt(t.Database.Sub(seen)) {
		return t, ErrClockDoubted
	}
	if gap := t.Database.Sub(seen); gap > seenEvery || gap < 0 {
		_, err := c.pool.Exec(ctx, `UPDATE clock_seen SET seen_at = $1`, t.Database)
		return t, err
	}
	return t, nil
}

// compare reports clocks that differ by more than maxClockOffset.
func (c *Clock) compare(t Times) {
	offset := t.Database.Sub(t.Process)
	c.offset.Set(offset.Seconds())
	if offset.Abs() > maxClockOffset {
		c.report("the clocks of this process and of the database differ; what is old by one of them only is kept",
			"database_ahead_by", offset.Round(time.Second).String())
	}
}

// leapt reports whether the database's clock is ahead by a gap that is not trusted yet. The wait is
// measured by the monotonic clock of the process.
func (c *Clock) leapt(gap time.Duration) bool {
	c.mu.Lock()
	switch {
	case gap <= maxClockGap:
		c.leap = time.Time{}
	case c.leap.IsZero():
		c.leap = time.Now()
	}
	waiting := !c.leap.IsZero() && time.Since(c.leap) < clockWait
	c.mu.Unlock()
	if waiting {
		c.report("the database's clock is far ahead of where it was last seen: it is wrong, or the service was "+
			"stopped for long; nothing is deleted for its age meanwhile",
			"ahead_by", gap.Round(time.Second).String(), "wait", clockWait.String())
	}
	return waiting
}

func (c *Clock) report(text string, args ...any) {
	c.doubted.Inc()
	c.told.Do(func() { c.log.Error(text, args...) })
}
