package activity

import (
	"context"
	"log/slog"
	"time"
)

const (
	// daysAhead is how many days after today have their partitions made before the first record needs them, and how far ahead of this machine's
	// clock the time of an event may be.
	daysAhead = 7
	// openDays is how many days before today are not yet summed into months, because late events still change them.
	openDays = 2
	// The work is cheap when there is nothing to do, and is tried again soon when somebody was in its way.
	maintenancePause      = time.Hour
	maintenanceRetryPause = 30 * time.Second
)

// keeper makes the partitions of the coming days, sums the days that are over and drops those that are too old.
type keeper struct {
	store     *store
	retention Retention
	now       func() time.Time
	log       *slog.Logger
	metrics   *metrics
}

// run works until ctx ends.
func (k *keeper) run(ctx context.Context) error {
	for {
		pause := maintenancePause
		if err := k.store.alone(ctx, k.work); err != nil && ctx.Err() == nil {
			k.metrics.maintenanceFailures.Inc()
			k.log.Warn("maintenance of the log will be tried again", "error", err.Error(), "pause", maintenanceRetryPause)
			pause = maintenanceRetryPause
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

func (k *keeper) work(ctx context.Context) error {
	now := k.now()
	if err := k.makeAhead(ctx, dayOf(now)); err != nil {
		return err
	}
	if err := k.roll(ctx, dayOf(now).AddDate(0, 0, -openDays)); err != nil {
		return err
	}
	return k.forget(ctx, k.retention.firstDay(now))
}

func (k *keeper) makeAhead(ctx context.Context, today time.Time) error {
	var days []time.Time
	for n := range daysAhead + 1 {
		days = append(days, today.AddDate(0, 0, n))
	}
	return k.store.makePartitions(ctx, days)
}

// roll goes day by day, so that no transaction holds up the writers for long.
func (k *keeper) roll(ctx context.Context, last time.Time) error {
	until, err := k.store.rolledUntil(ctx)
	for err == nil && until.Before(last) {
		var next time.Time
		if next, err = k.store.firstCounted(ctx, until); err != nil {
			return err
		}
		if next.IsZero() || next.After(last) {
			next = last
		}
		err = k.store.roll(ctx, next)
		until = next
	}
	return err
}

func (k *keeper) forget(ctx context.Context, first time.Time) error {
	days, err := k.store.days(ctx)
	if err != nil {
		return err
	}
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
