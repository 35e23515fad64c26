package users

import (
	"time"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/users-svc/internal/core"
)

// cleanup deletes what has expired. Every replica does; each passes over the rows that another is
// deleting.
type cleanup struct {
	*core.Core
	clock            *db.Clock
	historyRetention time.Duration
}

// endedRetention is how long a session that has ended or expired is kept, so that a late re-use of
// its tokens is still told from a forgery.
const endedRetention = 24 * time.Hour

// pendingRetention is how long a temporary token that came too late is told from one that never
// was.
const pendingRetention = 5 * time.Minute
