// Package core provides what all domains of users-svc share: the database pool, the clock, the log,
// and the notifier that tells the gateways which session states changed. Start reading at Core.
package core

import (
	"log/slog"
	"time"

	"github.com/realmgate/realmgate/pkg/db"
)

// Core is what every domain works with.
type Core struct {
	Pool    *db.Pool
	Changes *Notifier
	Log     *slog.Logger
	Now     func() time.Time
}

// CeilSeconds rounds up: a token that expires within the second still lives.
func CeilSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
