package oidc

import (
	"context"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/secrets"
)

// findCode returns the user and the client of a code. It returns 400 INVALID_EXCHANGE_CODE unless
// the code is valid for the address and the challenge; a code that is presented with others stays
// valid, because nobody can guess the verifier.
func (s *Service) findCode(ctx context.Context, code, redirectURI, challenge string) (userID string, client *string,
	err error) {
	err = s.Pool.QueryRow(ctx, `SELECT i.user_id, c.client FROM oidc_codes c JOIN identities i ON i.id = c.identity_id
		WHERE c.hash = $1 AND c.redirect_uri = $2 AND c.code_challenge = $3 AND c.expires_at > $4`,
		secrets.HashToken(code), redirectURI, challenge, s.Now()).Scan(&userID, &client)
	if db.IsNoRows(err) {
		err = errInvalidCode()
	}
	return userID, client, err
}

// useCode uses a code up. Of concurrent requests one succeeds, and the others get 400
// INVALID_EXCHANGE_CODE.
func useCode(ctx context.Context, tx core.DBTX, code string) error {
	tag, err := tx.Exec(ctx, `DELETE FROM oidc_codes WHERE hash = $1`, secrets.HashToken(code))
	if err == nil && tag.RowsAffected() == 0 {
		err = errInvalidCode()
	}
	return err
}
