package users

import (
	"context"
	"time"
)

// cleanup deletes what has expired. Every replica tries; an advisory lock lets one work.
type cleanup struct{ *core }

// keepEnded is how long a session that has ended or expired is kept, so that a late re-use of its tokens is still told from a forgery.
const keepEnded = 24 * time.Hour

// keepHalfLogins is how long a temporary token that came too late is told from one that never was.
const keepHalfLogins = 5 * time.Minute

func (c *cleanup) run(ctx context.Context) error {
	tick := time.NewTicker(c.cfg.CleanupEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := c.sweep(ctx); err != nil && ctx.Err() == nil {
				c.log.Warn("cleanup will be tried again", "error", err.Error())
			}
		}
	}
}
