package account

import (
	"context"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/passwords"
)

// RequireSignInMethod returns 409 LAST_SIGN_IN_METHOD if the account has neither a password, nor an
// identity at another provider, nor a passkey. Call it after one was removed, with the user's row
// locked.
func RequireSignInMethod(ctx context.Context, tx core.DBTX, userID string) error {
	var hash string
	var others bool
	err := tx.QueryRow(ctx, `SELECT password_hash, EXISTS (SELECT FROM identities i WHERE i.user_id = u.id)
			OR EXISTS (SELECT FROM passkeys p WHERE p.user_id = u.id)
		FROM users u WHERE id = $1`, userID).Scan(&hash, &others)
	if err == nil && !others && !passwords.Usable(hash) {
		err = apperr.New(apperr.Conflict, "LAST_SIGN_IN_METHOD",
			"This is the last way to sign in to the account: set a password first")
	}
	return err
}
