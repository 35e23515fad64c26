package vault

import (
	"context"
	"errors"
	"time"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/service"
)

const (
	// expireEvery is the pause between removals of expired items. A watch reports an expired key at
	// most 10 seconds late.
	expireEvery = 2 * time.Second
	// dropChangesEvery is the pause between removals of old changes.
	dropChangesEvery = time.Minute
	// changesKept is how long changes are kept for watches that resume.
	changesKept = 24 * time.Hour
	// cleanupBatch is the most items of one user, users or changes that one statement removes or
	// returns, so that no lock is held for long.
	cleanupBatch = 1000
)

// cleanup declares the jobs that remove what has ended. They may run in several replicas at once.
func (v *Vault) cleanup(svc *service.Service, clock *db.Clock) {
	svc.Every("remove expired items", expireEvery, func(ctx context.Context) error { return v.removeEnded(ctx, clock) })
	svc.Every("drop old changes", dropChangesEvery, func(ctx context.Context) error { return v.dropChanges(ctx, clock) })
}

// removeEnded removes expired items by the database's clock, which decides for every read too, and
// ended entries of the trash by both clocks. While the database's clock is in doubt, it removes
// nothing. An error about one user does not keep it from the others.
func (v *Vault) removeEnded(ctx context.Context, clock *db.Clock) error {
	times, err := clock.Read(ctx)
	if errors.Is(err, db.ErrClockDoubted) {
		return nil // the clock has reported it
	}
	if err != nil {
		return err
	}
	users, err := v.items.EndedUsers(ctx, times.Earlier(), cleanupBatch)
	if err != nil {
		return err
	}
	var failures []error
	for _, user := range users {
		for n := cleanupBatch; n >= cleanupBatch && ctx.Err() == nil; {
			if n, err = v.items.RemoveEnded(ctx, user, times.Earlier(), cleanupBatch); err != nil {
				failures = append(failures, err)
				break
			}
			if n > 0 {
				v.changed(user)
			}
		}
	}
	return errors.Join(failures...)
}

// dropChanges removes changes that are older than changesKept by both clocks.
func (v *Vault) dropChanges(ctx context.Context, clock *db.Clock) error {
	times, err := clock.Read(ctx)
	if errors.Is(err, db.ErrClockDoubted) {
		return nil
	}
	for n := int64(cleanupBatch); n == cleanupBatch && err == nil; {
		n, err = v.items.RemoveChanges(ctx, times.Earlier().Add(-changesKept), cleanupBatch)
	}
	return err
}
