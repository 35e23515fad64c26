package users

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/quota"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

// dbtx is the pool or a transaction.
type dbtx interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// raiseVersion makes every state of the user that was read before this transaction's commit stale.
// It locks the user's row. Tell notifier the result after the commit.
func raiseVersion(ctx context.Context, tx pgx.Tx, userID string) (sessionstate.Change, error) {
	ch := sessionstate.Change{UserID: userID}
	err := tx.QueryRow(ctx, `UPDATE users SET state_version = state_version + 1 WHERE id = $1 RETURNING state_version`,
		userID).Scan(&ch.Version)
	return ch, err
}

// readState reads what the gateways must know of a session; a state that is not alive and has no
// user when there is no such session.
func (s *sessions) readState(ctx context.Context, sessionID string) (sessionstate.State, error) {
	st := sessionstate.State{SessionID: sessionID}
	err := s.pool.QueryRow(ctx, `SELECT s.ended_at IS NULL AND s.expires_at > $2, u.id, u.is_admin, u.is_banned, u.state_version, u.vault_quota
		FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1`, sessionID, s.now()).
		Scan(&st.Alive, &st.UserID, &st.Admin, &st.Banned, &st.Version, &st.VaultQuota)
	if db.NoRows(err) {
		return sessionstate.State{}, nil
	}
	st.VaultQuota = quota.ToGateways(st.VaultQuota)
	return st, err
}

// touch notes when sessions were last seen.
func touch(ctx context.Context, q dbtx, sessionIDs []string, at []time.Time) error {
	_, err := q.Exec(ctx, `UPDATE sessions s SET last_seen_at = v.at FROM unnest($1::text[], $2::timestamptz[]) AS v (id, at)
		WHERE s.id = v.id AND s.last_seen_at < v.at`, sessionIDs, at)
	return err
}
