package users

import (
	"log/slog"
	"time"

	"github.com/realmgate/realmgate/pkg/db"
)

// core is what every domain works with.
type core struct {
	pool    *db.Pool
	changes *notifier
	log     *slog.Logger
	now     func() time.Time
}
