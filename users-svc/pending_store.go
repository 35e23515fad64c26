package users

import (
	"context"
	"time"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/db"
)

// pendingLogin is a sign-in that has proved the password and owes a code.
type pendingLogin struct{ userID, passwordHash string }

// findPending finds a login by the hash of its temporary token: INVALID_TOKEN when there is none,
// TOKEN_EXPIRED when it came too late.
func (s *signIns) findPending(ctx context.Context, hash []byte) (pendingLogin, error) {
	var p pendingLogin
	var expires time.Time
	err := s.pool.QueryRow(ctx, `SELECT user_id, password_hash, expires_at FROM two_factor_logins WHERE hash = $1`,
		hash).Scan(&p.userID, &p.passwordHash, &expires)
	switch {
	case db.NoRows(err):
		return p, apperr.InvalidToken()
	case err == nil && !s.now().Before(expires):
		return p, apperr.TokenExpired()
	}
	return p, err
}

// usePending deletes a login that has proved its code; INVALID_TOKEN when another request did.
func usePending(ctx context.Context, tx dbtx, hash []byte) error {
	tag, err := tx.Exec(ctx, `DELETE FROM two_factor_logins WHERE hash = $1`, hash)
	if err == nil && tag.RowsAffected() == 0 {
		err = apperr.InvalidToken()
	}
	return err
}
