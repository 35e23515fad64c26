package signin

import (
	"context"
	"time"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/secrets"
)

// Pending is a login with a verified password that still needs a one-time code.
type Pending struct{ UserID, PasswordHash string }

// insertPending stores a login whose second factor must be verified with the temporary token until
// expires. The database has only a hash of the token.
func insertPending(ctx context.Context, tx core.DBTX, token string, p Pending, expires time.Time) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO two_factor_logins (hash, user_id, password_hash, expires_at) VALUES ($1, $2, $3, $4)`,
		secrets.HashToken(token), p.UserID, p.PasswordHash, expires)
	return err
}

// FindPending returns the login with the hash of a temporary token. It returns 401 INVALID_TOKEN
// for an unknown token, and TOKEN_EXPIRED for one that is too old.
func (s *Service) FindPending(ctx context.Context, hash []byte) (Pending, error) {
	var pending Pending
	var expires time.Time
	err := s.Pool.QueryRow(ctx, `SELECT user_id, password_hash, expires_at FROM two_factor_logins WHERE hash = $1`,
		hash).Scan(&pending.UserID, &pending.PasswordHash, &expires)
	switch {
	case db.IsNoRows(err):
		return pending, apperr.InvalidToken()
	case err == nil && !s.Now().Before(expires):
		return pending, apperr.TokenExpired()
	}
	return pending, err
}

// UsePending deletes a pending login whose code was verified. It returns 401 INVALID_TOKEN when
// another request already did.
func UsePending(ctx context.Context, tx core.DBTX, hash []byte) error {
	tag, err := tx.Exec(ctx, `DELETE FROM two_factor_logins WHERE hash = $1`, hash)
	if err == nil && tag.RowsAffected() == 0 {
		err = apperr.InvalidToken()
	}
	return err
}
