package users

import "context"

// logOut ends every session of a user, and the auth tokens too if that is wanted.
func (a *administration) logOut(ctx context.Context, userID string, withTokens bool, by device) (RevokedTokens, error) {
	var out RevokedTokens
	_, err := a.sessions.endAllAnd(ctx, userID, "", eventLogout, by, func(tx dbtx) (err error) {
		if withTokens {
			out.TokensRevoked, err = revokeTokens(ctx, tx, userID, by, a.now())
		}
		return err
	})
	return out, err
}
