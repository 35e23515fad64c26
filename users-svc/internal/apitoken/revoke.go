package apitoken

import (
	"context"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// RevokedTokens is the part of an answer that counts deleted auth tokens.
type RevokedTokens struct {
	TokensRevoked int64 `json:"tokens_revoked"`
}

// listFor returns the auth tokens of a user for an admin, newest first.
func (s *Service) listFor(ctx context.Context, userID string) ([]Token, error) {
	if err := core.RequireUser(ctx, s.Pool, userID); err != nil {
		return nil, err
	}
	return tokensOf(ctx, s.Pool, userID)
}

// revokeOne deletes an auth token of a user and its descendants for an admin, and records it.
func (s *Service) revokeOne(ctx context.Context, userID, tokenID string, device request.Device) error {
	return s.change(ctx, userID, func(tx lockedTx) error {
		if err := tx.delete(ctx, tokenID); err != nil {
			return err
		}
		return history.Record(ctx, tx, s.Now(),
			history.Event{UserID: userID, Kind: history.TokensRevoked, Device: device})
	})
}

// revokeAll deletes all auth tokens of a user for an admin and returns their number.
func (s *Service) revokeAll(ctx context.Context, userID string, device request.Device) (revoked int64, err error) {
	err = s.change(ctx, userID, func(tx lockedTx) error {
		revoked, err = RevokeAll(ctx, tx, userID, device, s.Now())
		return err
	})
	return revoked, err
}

// TokensWithoutPassword returns 400 VALIDATION_ERROR for the field "revoke_tokens" in a request
// that sets no password.
func TokensWithoutPassword() *apperr.Error {
	return apperr.InvalidField("/revoke_tokens", "takes effect with a new password only")
}
