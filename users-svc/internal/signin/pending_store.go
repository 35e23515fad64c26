package signin

import (
	"context"
	"time"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/secrets"
)

// Pending is a sign-in that has proved the password and owes a code.
type Pending struct{ UserID, PasswordHash string }

// insertPending stores a login until its second factor is proved; the database has the hash of the
// temporary token only.
func insertPending(ctx context.Context, tx core.DBTX, token string, p Pending, expires time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO two_factor_logins (hash, user_id, password_hash, expires_at) VALUES ($1, $2, $3, $4)`,
		secrets.HashToken(token), p.UserID, p.PasswordHash, expires)
	return err
}

// FindPending finds a login by the hash of its temporary token: INVALID_TOKEN when there is none,
// TOKEN_EXPIRED when it came too late.
func (s *Service) FindPending(ctx context.Context, hash []byte) (Pending, error) {
	var pending Pending
	var expires time.Time
	err := s.Pool.QueryRow(ctx, `SELECT user_id, password_hash, expires_at FROM two_factor_logins WHERE hash = $1`,
		hash).Scan(&pending.UserID, &pending.PasswordHash, &expires)
	switch {
	case db.NoRows(err):
		return pending, apperr.InvalidToken()
	case err == nil && !s.Now().Before(expires):
		return pending, apperr.TokenExpired()
	}
	return pending, err
}

// UsePending deletes a login that has proved its code; INVALID_TOKEN when another request did.
func UsePending(ctx context.Context, tx core.DBTX, hash []byte) error {
	tag, err := tx.Exec(ctx, `DELETE FROM two_factor_logins WHERE hash = $1`, hash)
	if err == nil && tag.RowsAffected() == 0 {
		err = apperr.InvalidToken()
	}
	return err
}
