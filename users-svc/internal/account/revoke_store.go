package account

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/sessionstate"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/session"
)

// RevokeAccess takes away what opens the account besides the password: sessions, auth tokens, the
// second factor and links in mails. Tell notifier the change after the commit.
func RevokeAccess(ctx context.Context, tx pgx.Tx, userID, why string, now time.Time) (
	r Revoked, ch sessionstate.Change, err error) {
	// The user's row first, as everywhere.
	if ch, err = core.BumpVersion(ctx, tx, userID); err != nil {
		return r, ch, err
	}
	if r.Sessions, err = session.EndAllTx(ctx, tx, userID, "", why, now); err != nil {
		return r, ch, err
	}
	var factors, links int64
	for _, from := range []struct {
		table string
		count *int64
	}{{"auth_tokens", &r.Tokens}, {"two_factor", &factors}, {"mail_tokens", &links}} {
		tag, err := tx.Exec(ctx, `DELETE FROM `+from.table+` WHERE user_id = $1`, userID)
		if err != nil {
			return r, ch, err
		}
		*from.count = tag.RowsAffected()
	}
	r.SecondFactor = factors > 0
	return r, ch, nil
}
