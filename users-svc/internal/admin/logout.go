package admin

import (
	"context"

	"github.com/realmgate/realmgate/users-svc/internal/apitoken"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// logOut ends every session of a user, and the auth tokens too if that is wanted.
func (a *Service) logOut(ctx context.Context, userID string, withTokens bool,
	by request.Device) (apitoken.RevokedTokens, error) {
	var out apitoken.RevokedTokens
	_, err := a.sessions.EndAllWith(ctx, userID, "", history.Logout, by, func(tx core.DBTX) (err error) {
		if withTokens {
			out.TokensRevoked, err = apitoken.RevokeAll(ctx, tx, userID, by, a.Now())
		}
		return err
	})
	return out, err
}
