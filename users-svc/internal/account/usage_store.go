package account

import (
	"context"
	"time"

	"github.com/realmgate/realmgate/users-svc/internal/core"
)

// usage is how an account is used and protected.
type usage struct {
	lastSeen  *time.Time // by a session or an auth token; nil: never
	twoFactor bool
	sessions  int64 // live ones
}

// readUsage reads the usage of an account at the time now.
func readUsage(ctx context.Context, q core.DBTX, userID string, now time.Time) (usage, error) {
	var use usage
	err := q.QueryRow(ctx, `
		SELECT greatest((SELECT last_seen_at FROM users WHERE id = $1),
				(SELECT max(last_seen_at) FROM sessions WHERE user_id = $1),
				(SELECT max(last_used_at) FROM auth_tokens WHERE user_id = $1)),
			EXISTS (SELECT FROM two_factor WHERE user_id = $1 AND enabled_at IS NOT NULL),
			(SELECT count(*) FROM sessions WHERE user_id = $1 AND ended_at IS NULL AND expires_at > $2)`,
		userID, now).Scan(&use.lastSeen, &use.twoFactor, &use.sessions)
	return use, err
}
