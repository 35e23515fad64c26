package users

import (
	"context"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/input"
)

// RevokedTokens says how many auth tokens ended.
type RevokedTokens struct {
	TokensRevoked int64 `json:"tokens_revoked"`
}

// readRevokeTokens reads whether what secures an account also ends its auth tokens: one that an
// intruder made would survive otherwise, so it does unless the body says false.
func readRevokeTokens(o *input.Object) bool {
	revoke, sent := o.Bool("revoke_tokens")
	return revoke || !sent
}

// listFor returns the auth tokens of a user to an admin, the newest first.
func (d *authTokens) listFor(ctx context.Context, userID string) ([]AuthToken, error) {
	if err := requireUser(ctx, d.pool, userID); err != nil {
		return nil, err
	}
	return tokensOf(ctx, d.pool, userID)
}

// revokeOne deletes one auth token of a user for an admin, and all that it made.
func (d *authTokens) revokeOne(ctx context.Context, userID, tokenID string, by device) error {
	return d.change(ctx, userID, func(tx tokenTx) error {
		if err := tx.delete(ctx, tokenID); err != nil {
			return err
		}
		return remember(ctx, tx.tx, d.now(), happening{UserID: userID, Event: eventTokensRevoked, Device: by})
	})
}

// revokeAll deletes every auth token of a user for an admin and returns how many there were.
func (d *authTokens) revokeAll(ctx context.Context, userID string, by device) (revoked int64, err error) {
	err = d.change(ctx, userID, func(tx tokenTx) error {
		revoked, err = revokeTokens(ctx, tx.tx, userID, by, d.now())
		return err
	})
	return revoked, err
}

func errTokensWithoutPassword() *apperr.Error {
	return apperr.InvalidField("/revoke_tokens", "takes effect with a new password only")
}
