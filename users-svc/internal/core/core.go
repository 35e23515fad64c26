// Package core provides the dependencies that all domains of users-svc share: the database pool,
// the clock, the log, and the notifier that reports changed session states to the gateways. It also
// has the queries that several domains run on a user's row. Start reading at Core.
package core

import (
	"log/slog"
	"time"

	"github.com/realmgate/realmgate/pkg/db"
)

// Core holds the dependencies of a domain. Each domain's Service embeds it.
type Core struct {
	Pool    *db.Pool
	Changes *Notifier
	Log     *slog.Logger
	Now     func() time.Time
}

// CeilSeconds returns d in whole seconds, rounded up, so that a token that still lives is never
// reported to have 0 seconds left.
func CeilSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
