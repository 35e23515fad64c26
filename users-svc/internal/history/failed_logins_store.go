package history

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/netaddr"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// CountFailedLogin counts a failed sign-in for its network and hour. userID is "" for a name that
// no account has. Call it last in a transaction, because many transactions may wait for the row.
func CountFailedLogin(ctx context.Context, tx core.DBTX, userID string, device request.Device, now time.Time) error {
	unknown := 0
	if userID == "" {
		unknown = 1
	}
	_, err := tx.Exec(ctx, `INSERT INTO failed_logins AS f (address, hour, failures, unknown, last_at)
		VALUES ($1, $2, 1, $3, $4)
		ON CONFLICT (address, hour) DO UPDATE
		SET failures = f.failures + 1, unknown = f.unknown + excluded.unknown, last_at = excluded.last_at`,
		netaddr.NetworkOf(device.Address), now.UTC().Truncate(time.Hour), unknown, now)
	return err
}

// FailedLogins counts the failed sign-ins of one network.
type FailedLogins struct {
	Address  string // an IPv4 address, or the network of IPv6 addresses
	Failures int
	Unknown  int // the failures for names that no account has
	Accounts int // the accounts that were tried
	LastAt   time.Time
}

// ListFailedLogins returns the limit networks with the most failed sign-ins since the start of the
// hour of since, and the number of all networks with failed sign-ins.
func ListFailedLogins(ctx context.Context, q core.DBTX, since time.Time, limit int) ([]FailedLogins, int, error) {
	rows, err := q.Query(ctx, `WITH tried AS (
			SELECT address_key, count(DISTINCT user_id)::int AS accounts FROM login_history
			WHERE created_at >= $1 AND failed AND event IN ($2, $3) GROUP BY address_key)
		SELECT f.address, sum(f.failures)::int, sum(f.unknown)::int, coalesce(max(t.accounts), 0), max(f.last_at),
			count(*) OVER ()::int
		FROM failed_logins f LEFT JOIN tried t ON t.address_key = f.address
		WHERE f.hour >= $1 GROUP BY f.address ORDER BY 2 DESC, f.address LIMIT $4`,
		since.UTC().Truncate(time.Hour), Login, TwoFactorCode, limit)
	if err != nil {
		return nil, 0, err
	}
	total := 0
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (FailedLogins, error) {
		var counts FailedLogins
		err := row.Scan(&counts.Address, &counts.Failures, &counts.Unknown, &counts.Accounts, &counts.LastAt, &total)
		return counts, err
	})
	return list, total, err
}
