package history

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/netaddr"
	"github.com/realmgate/realmgate/users-svc/internal/core"
)

// Record adds an event to the security history. Pass the transaction that makes the change, so that
// both happen or neither. For an event without a user it runs the same statement but writes
// nothing, so that the time of an answer does not tell whether an account exists.
func Record(ctx context.Context, tx core.DBTX, now time.Time, event Event) error {
	_, err := tx.Exec(ctx, `INSERT INTO login_history
			(id, user_id, event, failed, security, ip_address, address_key, client, created_at)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9 WHERE $2 <> ''`,
		id.New(now), event.UserID, event.Kind, event.Failed, event.Kind != Login, event.Device.Address,
		netaddr.NetworkOf(event.Device.Address), event.Device.Client, now)
	return err
}

// listEntries returns one page of the history, newest first, and the number of all entries that
// match the filter.
func listEntries(ctx context.Context, q core.DBTX, filter listFilter) ([]entry, int64, error) {
	// The condition uses only columns of the index login_history_list, so that counting is an
	// index-only scan.
	const where = ` FROM login_history WHERE user_id = $1 AND CASE WHEN security THEN $3 ELSE $2 OR NOT failed END`
	var total int64
	if err := q.QueryRow(ctx, `SELECT count(*)`+where, filter.UserID, filter.IncludeFailed,
		filter.IncludeSecurity).Scan(&total); err != nil {
		return nil, 0, err
	}
	rows, err := q.Query(ctx, `SELECT id, event, failed, ip_address, client, created_at`+where+`
		ORDER BY id DESC LIMIT $4 OFFSET $5`,
		filter.UserID, filter.IncludeFailed, filter.IncludeSecurity, filter.Limit, (filter.Page-1)*filter.Limit)
	if err != nil {
		return nil, 0, err
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (entry, error) {
		var entry entry
		var failed bool
		var createdAt time.Time
		err := row.Scan(&entry.ID, &entry.Event, &failed, &entry.IPAddress, &entry.Client, &createdAt)
		entry.CreatedAt, entry.Outcome = api.Time(createdAt), "success"
		if failed {
			entry.Outcome = "failed"
		}
		return entry, err
	})
	return list, total, err
}
