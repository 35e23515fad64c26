package session

import (
	"context"
	"time"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/users-svc/internal/core"
)

// ConfirmationTTL is how long a session counts as confirmed after its user proved a password or a
// one-time code. It is long enough to work in the settings of an account, and too short for a
// session that was stolen earlier to create credentials that outlive it.
const ConfirmationTTL = 10 * time.Minute

// MarkConfirmed records that the session's user proved a password or a one-time code at now. An
// empty sessionID changes nothing.
func MarkConfirmed(ctx context.Context, q core.DBTX, sessionID string, now time.Time) error {
	if sessionID == "" {
		return nil
	}
	_, err := q.Exec(ctx, `UPDATE sessions SET confirmed_at = greatest(confirmed_at, $2) WHERE id = $1`, sessionID, now)
	return err
}

// OpenedSince reports whether the session was opened at start or later. It is false for a session
// that does not exist.
func OpenedSince(ctx context.Context, q core.DBTX, sessionID string, start time.Time) (bool, error) {
	var opened bool
	err := q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM sessions WHERE id = $1 AND created_at >= $2)`,
		sessionID, start).Scan(&opened)
	return opened, err
}

// ConfirmedSince reports whether the session was opened or confirmed at start or later. It is false
// for a session that does not exist.
func ConfirmedSince(ctx context.Context, q core.DBTX, sessionID string, start time.Time) (bool, error) {
	var confirmed bool
	err := q.QueryRow(ctx, `SELECT coalesce(confirmed_at, created_at) >= $2 FROM sessions WHERE id = $1`,
		sessionID, start).Scan(&confirmed)
	if db.IsNoRows(err) {
		return false, nil
	}
	return confirmed, err
}
