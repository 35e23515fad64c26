package users

import (
	"time"

	"github.com/realmgate/realmgate/pkg/db"
)

// cleanup deletes what has expired. Every replica does; each passes over the rows that another is
// deleting.
type cleanup struct {
	*core
	clock            *db.Clock
	historyRetention time.Duration
}

// keepEnded is how long a session that has ended or expired is kept, so that a late re-use of its
// tokens is still told from a forgery.
const keepEnded = 24 * time.Hour

// keepHalfLogins is how long a temporary token that came too late is told from one that never was.
const keepHalfLogins = 5 * time.Minute
