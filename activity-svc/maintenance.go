package activity

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/realmgate/realmgate/activity-svc/internal/timerange"
	"github.com/realmgate/realmgate/pkg/db"
)

const (
	// daysAhead is how many days after today have their partitions made before the first record
	// needs them, and how far ahead of the clocks the time of an event may be.
	daysAhead = 7
	// Maintenance is cheap when there is nothing to do, and is tried again soon after a failure,
	// mostly a lock that another replica held.
	maintenancePause      = time.Hour
	maintenanceRetryPause = 30 * time.Second
	// Records are counted when they are countAge old. Reading looks at the ones that are younger;
	// those that come later cost their writer more.
	countPause = 3 * time.Second
	countAge   = 3 * time.Second
)

// maintainer counts records, makes the partitions of the coming days and drops the days that are
// too old.
type maintainer struct {
	store     *store
	retention Retention
	clock     *db.Clock
	log       *slog.Logger
	metrics   *metrics
}

// run maintains the log until ctx ends.
func (m *maintainer) run(ctx context.Context) error {
	for {
		pause := maintenancePause
		if err := m.store.withMaintenanceLock(ctx, m.runOnce); err != nil && ctx.Err() == nil {
			m.report("maintenance of the log will be tried again", err)
			pause = maintenanceRetryPause
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// count keeps the counts a few seconds behind the records until ctx ends. Every replica does it;
// nothing is left for the second.
func (m *maintainer) count(ctx context.Context) error {
	for {
		if err := m.countOnce(ctx); err != nil && ctx.Err() == nil {
			m.report("records will be counted later", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(countPause):
		}
	}
}

// report logs and counts a failure. A doubtful clock is logged by the clock itself.
func (m *maintainer) report(text string, err error) {
	if errors.Is(err, db.ErrClockDoubted) {
		return
	}
	m.metrics.maintenanceFailures.Inc()
	m.log.Warn(text, "error", err.Error())
}

func (m *maintainer) countOnce(ctx context.Context) error {
	now, err := m.clock.Read(ctx)
	if err != nil {
		return err
	}
	if err := m.store.moveWatermark(ctx, now.Earlier().Add(-countAge).Truncate(time.Millisecond)); err != nil {
		return err
	}
	return m.store.sumTotals(ctx)
}

func (m *maintainer) runOnce(ctx context.Context) error {
	times, err := m.clock.Read(ctx)
	if err != nil {
		return err
	}
	now := times.Earlier()
	if err := m.makeAhead(ctx, timerange.DayOf(now)); err != nil {
		return err
	}
	if err := m.countOnce(ctx); err != nil {
		return err
	}
	return m.dropExpired(ctx, now)
}

func (m *maintainer) makeAhead(ctx context.Context, today time.Time) error {
	var days []time.Time
	for n := range daysAhead + 1 {
		days = append(days, today.AddDate(0, 0, n))
	}
	return m.store.makePartitions(ctx, days)
}

// dropExpired drops the days that are over their retention, both at the time now and at that of the
// newest record: a log that nothing is added to is kept.
func (m *maintainer) dropExpired(ctx context.Context, now time.Time) error {
	days, err := m.store.days(ctx)
	if err != nil {
		return err
	}
	newest, err := m.store.newestDay(ctx, days)
	if err != nil {
		return err
	}
	if newest.IsZero() {
		newest = now
	}
	first := m.retention.firstDay(timerange.Earlier(now, newest))
	for _, day := range days {
		if !day.Before(first) {
			break
		}
		if err := m.store.drop(ctx, day); err != nil {
			return err
		}
		m.metrics.daysDropped.Inc()
		m.log.Info("a day of the log is over its retention and was dropped", "day", day.Format(time.DateOnly))
	}
	return m.store.dropDeadLetters(ctx, first)
}
