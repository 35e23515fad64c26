package users

import (
	"time"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/users-svc/internal/core"
)

// cleanup deletes expired rows. Every replica runs it, and each skips the rows that another one is
// deleting.
type cleanup struct {
	*core.Core
	clock            *db.Clock
	historyRetention time.Duration
}

// endedRetention is how long an ended or expired session is kept, so that a late reuse of its
// tokens is distinguished from a forged token; likewise an expired device code.
const endedRetention = 24 * time.Hour

// pendingRetention is how long an expired temporary token of a login is kept, so that it is
// answered with TOKEN_EXPIRED and not as unknown.
const pendingRetention = 5 * time.Minute
