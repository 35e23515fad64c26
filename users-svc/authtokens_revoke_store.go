package users

import (
	"context"
	"time"
)

// revokeTokens deletes every auth token of a user, says so in the history if there was one, and
// returns how many there were. The transaction must hold the user's row, so that none is made
// meanwhile, and raise the version of the user's states.
func revokeTokens(ctx context.Context, tx dbtx, userID string, by device, now time.Time) (int64, error) {
	tag, err := tx.Exec(ctx, `DELETE FROM auth_tokens WHERE user_id = $1`, userID)
	if err != nil || tag.RowsAffected() == 0 {
		return 0, err
	}
	return tag.RowsAffected(), remember(ctx, tx, now, happening{UserID: userID, Event: eventTokensRevoked, Device: by})
}
