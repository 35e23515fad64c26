package activity

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/realmgate/realmgate/pkg/db"
)

const (
	// daysAhead is how many days after today have their partitions made before the first record
	// needs them, and how far ahead of the clocks the time of an event may be.
	daysAhead = 7
	// openDays is how many days before today are not yet summed into months, because late events
	// still change them.
	openDays = 2
	// The work is cheap when there is nothing to do, and is tried again soon when somebody was in
	// its way.
	maintenancePause      = time.Hour
	maintenanceRetryPause = 30 * time.Second
	// Records are counted when they are countAge old. Reading looks at the ones that are younger;
	// those that come later cost their writer more.
	countPause = 3 * time.Second
	countAge   = 3 * time.Second
	// A day that has become busy gets its histogram this soon, or within a day when it is older
	// than openDays.
	histogramPause = time.Minute
)

// keeper counts records, makes the partitions of the coming days, sums the days that are over and
// drops those that are too old.
type keeper struct {
	store     *store
	retention Retention
	clock     *db.Clock
	log       *slog.Logger
	metrics   *metrics

	lookedThrough time.Time // the day on which every day of the log was looked at for want of a histogram
}

// run works until ctx ends.
func (k *keeper) run(ctx context.Context) error {
	for {
		pause := maintenancePause
		if err := k.store.alone(ctx, k.work); err != nil && ctx.Err() == nil {
			k.failed("maintenance of the log will be tried again", err)
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
// there is nothing left for the second.
func (k *keeper) count(ctx context.Context) error {
	for {
		if err := k.countNow(ctx); err != nil && ctx.Err() == nil {
			k.failed("records will be counted later", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(countPause):
		}
	}
}

// failed reports what will be tried again. Of a clock that is doubted, the clock itself speaks.
func (k *keeper) failed(text string, err error) {
	if errors.Is(err, db.ErrClockDoubted) {
		return
	}
	k.metrics.maintenanceFailures.Inc()
	k.log.Warn(text, "error", err.Error())
}

func (k *keeper) countNow(ctx context.Context) error {
	now, err := k.clock.Read(ctx)
	if err != nil {
		return err
	}
	return k.store.count(ctx, now.Earlier().Add(-countAge).Truncate(time.Millisecond))
}

func (k *keeper) work(ctx context.Context) error {
	times, err := k.clock.Read(ctx)
	if err != nil {
		return err
	}
	now := times.Earlier()
	if err := k.makeAhead(ctx, dayOf(now)); err != nil {
		return err
	}
	if err := k.countNow(ctx); err != nil {
		return err
	}
	if err := k.sum(ctx, dayOf(now).AddDate(0, 0, -openDays)); err != nil {
		return err
	}
	if err := k.forget(ctx, now); err != nil {
		return err
	}
	return k.makeOldHistograms(ctx, dayOf(now))
}

// makeHistograms works until ctx ends. Every replica does it: who comes second finds them made.
func (k *keeper) makeHistograms(ctx context.Context) error {
	for {
		if err := k.makeNewHistograms(ctx); err != nil && ctx.Err() == nil {
			k.failed("histograms of busy days will be made later", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(histogramPause):
		}
	}
}

func (k *keeper) makeNewHistograms(ctx context.Context) error {
	now, err := k.clock.Read(ctx)
	if err != nil {
		return err
	}
	today := dayOf(now.Earlier())
	var days []time.Time
	for n := range openDays + 1 {
		days = append(days, today.AddDate(0, 0, -n))
	}
	return k.makeHistogramsOf(ctx, days)
}

// makeOldHistograms looks at every day once a day: at first because an earlier release made none,
// and then for what late events have made busy.
func (k *keeper) makeOldHistograms(ctx context.Context, today time.Time) error {
	if k.lookedThrough.Equal(today) {
		return nil
	}
	days, err := k.store.days(ctx)
	if err == nil {
		err = k.makeHistogramsOf(ctx, days)
	}
	if err == nil {
		k.lookedThrough = today
	}
	return err
}

// makeHistogramsOf makes those that are missing, each in a transaction of its own, so that none
// holds up the writers for long.
func (k *keeper) makeHistogramsOf(ctx context.Context, days []time.Time) error {
	for _, day := range days {
		users, err := k.store.crowded(ctx, day)
		if err != nil {
			return err
		}
		for _, user := range users {
			if err := k.store.makeHistogram(ctx, user, day); err != nil {
				return err
			}
		}
	}
	return nil
}

func (k *keeper) makeAhead(ctx context.Context, today time.Time) error {
	var days []time.Time
	for n := range daysAhead + 1 {
		days = append(days, today.AddDate(0, 0, n))
	}
	return k.store.makePartitions(ctx, days)
}

// sum goes day by day, so that no transaction holds up the writers for long.
func (k *keeper) sum(ctx context.Context, last time.Time) error {
	c, err := k.store.counted(ctx)
	for until := c.summedUntil; err == nil && until.Before(last); {
		var next time.Time
		if next, err = k.store.firstCounted(ctx, until); err != nil {
			return err
		}
		if next.IsZero() || next.After(last) {
			next = last
		}
		err = k.store.sum(ctx, next)
		until = next
	}
	return err
}

// forget drops the days that are over their retention, both at the time now and at that of the
// newest record: a log that nothing is added to is kept.
func (k *keeper) forget(ctx context.Context, now time.Time) error {
	days, err := k.store.days(ctx)
	if err != nil {
		return err
	}
	newest, err := k.store.newestDay(ctx, days)
	if err != nil {
		return err
	}
	if newest.IsZero() {
		newest = now
	}
	first := k.retention.firstDay(earlier(now, newest))
	for _, day := range days {
		if !day.Before(first) {
			break
		}
		if err := k.store.drop(ctx, day); err != nil {
			return err
		}
		k.metrics.daysDropped.Inc()
		k.log.Info("a day of the log is over its retention and was dropped", "day", day.Format(time.DateOnly))
	}
	return k.store.dropDeadLetters(ctx, first)
}
