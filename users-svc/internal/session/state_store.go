package session

import (
	"context"
	"time"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/quota"
	"github.com/realmgate/realmgate/pkg/sessionstate"
	"github.com/realmgate/realmgate/users-svc/internal/core"
)

// readState reads the state of a session and its user for the gateways. For a session that does not
// exist it returns a zero State, which is not alive and has no user. With ADMIN_REQUIRE_2FA an
// admin without a second factor is no admin to the gateways.
func (s *Service) readState(ctx context.Context, sessionID string) (sessionstate.State, error) {
	state := sessionstate.State{SessionID: sessionID}
	err := s.Pool.QueryRow(ctx, `
		SELECT s.ended_at IS NULL AND s.expires_at > $2, u.id, u.is_admin, u.is_banned, u.state_version, u.vault_quota,
			u.is_admin AND $3 AND NOT EXISTS (
				SELECT FROM two_factor f WHERE f.user_id = u.id AND f.enabled_at IS NOT NULL)
		FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1`, sessionID, s.Now(), s.cfg.AdminNeeds2FA).
		Scan(&state.Alive, &state.UserID, &state.Admin, &state.Banned, &state.Version, &state.VaultQuota,
			&state.AdminNeeds2FA)
	if db.IsNoRows(err) {
		return sessionstate.State{}, nil
	}
	state.Admin = state.Admin && !state.AdminNeeds2FA
	state.VaultQuota = quota.ToGateways(state.VaultQuota)
	return state, err
}

// writeLastSeen stores when sessions were last used. sessionIDs and times have the same order, and
// an older time never replaces a newer one.
func writeLastSeen(ctx context.Context, q core.DBTX, sessionIDs []string, times []time.Time) error {
	_, err := q.Exec(ctx, `
		UPDATE sessions s SET last_seen_at = v.at FROM unnest($1::text[], $2::timestamptz[]) AS v (id, at)
		WHERE s.id = v.id AND s.last_seen_at < v.at`, sessionIDs, times)
	return err
}
