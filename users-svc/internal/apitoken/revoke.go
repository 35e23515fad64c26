package apitoken

import (
	"context"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// RevokedTokens says how many auth tokens ended.
type RevokedTokens struct {
	TokensRevoked int64 `json:"tokens_revoked"`
}

// listFor returns the auth tokens of a user to an admin, the newest first.
func (s *Service) listFor(ctx context.Context, userID string) ([]Token, error) {
	if err := core.RequireUser(ctx, s.Pool, userID); err != nil {
		return nil, err
	}
	return tokensOf(ctx, s.Pool, userID)
}

// revokeOne deletes one auth token of a user for an admin, and all that it made.
func (s *Service) revokeOne(ctx context.Context, userID, tokenID string, device request.Device) error {
	return s.change(ctx, userID, func(tx lockedTx) error {
		if err := tx.delete(ctx, tokenID); err != nil {
			return err
		}
		return history.Record(ctx, tx, s.Now(), history.Event{UserID: userID, Kind: history.TokensRevoked, Device: device})
	})
}

// revokeAll deletes every auth token of a user for an admin and returns how many there were.
func (s *Service) revokeAll(ctx context.Context, userID string, device request.Device) (revoked int64, err error) {
	err = s.change(ctx, userID, func(tx lockedTx) error {
		revoked, err = RevokeAll(ctx, tx, userID, device, s.Now())
		return err
	})
	return revoked, err
}

func TokensWithoutPassword() *apperr.Error {
	return apperr.InvalidField("/revoke_tokens", "takes effect with a new password only")
}
