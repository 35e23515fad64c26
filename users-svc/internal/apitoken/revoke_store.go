package apitoken

import (
	"context"
	"time"

	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// RevokeAll deletes all auth tokens of a user, records it in the security history if there was one,
// and returns their number. The transaction must have locked the user's row, so that no token is
// created meanwhile, and raise the version of the user's states (core.BumpVersion).
func RevokeAll(ctx context.Context, tx core.DBTX, userID string, device request.Device, now time.Time) (int64, error) {
	tag, err := tx.Exec(ctx, `DELETE FROM auth_tokens WHERE user_id = $1`, userID)
	if err != nil || tag.RowsAffected() == 0 {
		return 0, err
	}
	return tag.RowsAffected(), history.Record(ctx, tx, now,
		history.Event{UserID: userID, Kind: history.TokensRevoked, Device: device})
}
