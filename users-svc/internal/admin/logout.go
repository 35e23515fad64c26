package admin

import (
	"context"

	"github.com/realmgate/realmgate/users-svc/internal/apitoken"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// logout ends every session of a user, and with revokeTokens deletes the auth tokens too.
func (s *Service) logout(ctx context.Context, userID string, revokeTokens bool,
	device request.Device) (apitoken.RevokedTokens, error) {
	var result apitoken.RevokedTokens
	_, err := s.sessions.EndAll(ctx, userID, "", history.Logout, device, func(tx core.DBTX) (err error) {
		if revokeTokens {
			result.TokensRevoked, err = apitoken.RevokeAll(ctx, tx, userID, device, s.Now())
		}
		return err
	})
	return result, err
}
