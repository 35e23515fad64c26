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

// Record writes one line of the security history, as part of the transaction that it tells of;
// for no user it writes nothing, in about the same time.
func Record(ctx context.Context, tx core.DBTX, now time.Time, event Event) error {
	_, err := tx.Exec(ctx, `INSERT INTO login_history (id, user_id, event, failed, security, ip_address, address_key, client, created_at)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9 WHERE $2 <> ''`,
		id.New(now), event.UserID, event.Kind, event.Failed, event.Kind != Login, event.Device.Address,
		netaddr.NetworkOf(event.Device.Address), event.Device.Client, now)
	return err
}

// listEntries returns one page of the history, newest first, and how many entries the filter
// matches.
func listEntries(ctx context.Context, q core.DBTX, filter listFilter) ([]entry, int64, error) {
	// Of the columns that the index login_history_list has, so that counting reads hardly a row
	// once VACUUM has been there.
	const where = ` FROM login_history WHERE user_id = $1 AND CASE WHEN security THEN $3 ELSE $2 OR NOT failed END`
	var total int64
	if err := q.QueryRow(ctx, `SELECT count(*)`+where, filter.UserID, filter.IncludeFailed,
		filter.IncludeSecurity).Scan(&total); err != nil {
		return nil, 0, err
	}
	rows, err := q.Query(ctx, `SELECT id, event, failed, ip_address, client, created_at`+where+` ORDER BY id DESC LIMIT $4 OFFSET $5`,
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
