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
func Record(ctx context.Context, tx core.DBTX, now time.Time, h Event) error {
	_, err := tx.Exec(ctx, `INSERT INTO login_history (id, user_id, event, failed, security, ip_address, address_key, client, created_at)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9 WHERE $2 <> ''`,
		id.New(now), h.UserID, h.Kind, h.Failed, h.Kind != Login, h.Device.Address,
		netaddr.NetworkOf(h.Device.Address), h.Device.Client, now)
	return err
}

// listEntries returns one page of the history, newest first, and how many entries the filter
// matches.
func listEntries(ctx context.Context, db core.DBTX, f filter) ([]Entry, int64, error) {
	// Of the columns that the index login_history_list has, so that counting reads hardly a row
	// once VACUUM has been there.
	const where = ` FROM login_history WHERE user_id = $1 AND CASE WHEN security THEN $3 ELSE $2 OR NOT failed END`
	var total int64
	if err := db.QueryRow(ctx, `SELECT count(*)`+where, f.UserID, f.IncludeFailed,
		f.IncludeSecurity).Scan(&total); err != nil {
		return nil, 0, err
	}
	rows, err := db.Query(ctx, `SELECT id, event, failed, ip_address, client, created_at`+where+` ORDER BY id DESC LIMIT $4 OFFSET $5`,
		f.UserID, f.IncludeFailed, f.IncludeSecurity, f.Limit, (f.Page-1)*f.Limit)
	if err != nil {
		return nil, 0, err
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Entry, error) {
		var e Entry
		var failed bool
		var at time.Time
		err := row.Scan(&e.ID, &e.Event, &failed, &e.IPAddress, &e.Client, &at)
		e.CreatedAt, e.Outcome = api.Time(at), "success"
		if failed {
			e.Outcome = "failed"
		}
		return e, err
	})
	return list, total, err
}
