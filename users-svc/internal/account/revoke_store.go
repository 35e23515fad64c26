package account

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/sessionstate"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/session"
)

// RevokeAccess deletes everything except the password that opens the account: sessions, auth
// tokens, the second factor, identities at other providers, passkeys and mailed links. reason
// becomes the cause of the ended sessions. The caller must announce the returned change after the
// commit.
func RevokeAccess(ctx context.Context, tx pgx.Tx, userID, reason string,
	now time.Time) (revoked Revoked, change sessionstate.Change, err error) {
	// Every transaction locks the user's row first.
	if change, err = core.BumpVersion(ctx, tx, userID); err != nil {
		return revoked, change, err
	}
	if revoked.Sessions, err = session.EndAllTx(ctx, tx, userID, "", reason, now); err != nil {
		return revoked, change, err
	}
	var secondFactors, links, others int64
	for _, from := range []struct {
		table string
		count *int64
	}{{"auth_tokens", &revoked.Tokens}, {"two_factor", &secondFactors}, {"mail_tokens", &links},
		{"identities", &others}, {"passkeys", &others}} {
		tag, err := tx.Exec(ctx, `DELETE FROM `+from.table+` WHERE user_id = $1`, userID)
		if err != nil {
			return revoked, change, err
		}
		*from.count = tag.RowsAffected()
	}
	revoked.SecondFactor = secondFactors > 0
	return revoked, change, nil
}
