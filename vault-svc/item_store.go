package vault

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/internalapi"
	"github.com/realmgate/realmgate/vault-svc/internal/keyrange"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
)

// itemStore keeps sealed items and the accounts of their sizes.
//
// Every change is one transaction in one round trip. It serves one user or, for small values, many
// users (putBatch). A transaction that changes an account first locks the user's row of
// vault_usage, in a separate statement. READ COMMITTED takes a snapshot for each statement, so the
// next statement sees everything that earlier holders of the lock committed, and computes correct
// differences. A lock inside the writing statement would wait, and then still read the old item.
type itemStore struct{ pool *db.Pool }

// sealedInfo is a row of vault_items without the value.
type sealedInfo struct {
	key             string
	metadata        []byte
	metadataVersion *sealing.Version
	size            int64
	created         time.Time
	updated         time.Time
}

// fits reports whether the quota allows w at this moment. It refuses a large write before the value
// is sealed and sent to PostgreSQL; vault_put decides.
func (s *itemStore) fits(ctx context.Context, w Write, max limits) (ok bool, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT delta <= 0 OR bytes + delta <= $6 FROM (
		    SELECT coalesce((SELECT bytes FROM vault_usage WHERE user_id = $1), 0) AS bytes,
		        $4::bigint - coalesce((SELECT CASE WHEN $5 THEN size_bytes - metadata_bytes ELSE size_bytes END
		            FROM vault_items WHERE user_id = $1 AND realm_id = $2 AND key = $3), 0) AS delta) difference`,
		w.User, w.Realm, w.Key, w.size(), w.KeepMetadata, max.bytes).Scan(&ok)
	return ok, err
}

// largeMessage is the size in bytes above which release clears a value from the connection.
const largeMessage = 1 << 20

// clearSQL has as many parameters and columns as the widest statement here. Each of them replaces a
// value that pgx still points to.
const clearSQL = `SELECT $1::int, $2::int, $3::int, $4::int, $5::int, $6::int,
	$7::int, $8::int, $9::int, $10::int, $11::int, $12::int`

// release returns conn to the pool after a statement with these values. pgx keeps the parameters of
// a connection's last statement, and the last row that it read, until the next statement replaces
// them. Without clearSQL an idle pool would hold two copies of a large value for each connection.
func release(ctx context.Context, conn *pgxpool.Conn, values []any) {
	defer conn.Release()
	for _, v := range values {
		if b, ok := v.([]byte); ok && len(b) > largeMessage {
			// If this fails, the connection is closed, which frees the memory too.
			_, _ = conn.Exec(ctx, clearSQL, make([]any, 12)...)
			return
		}
	}
}

// listColumns are the columns of sealedInfo.
const listColumns = `key, sealed_metadata, metadata_version, size_bytes, created_at, updated_at`

// listRange reads one range, and listRanges several in one snapshot. Both read at most $5 items
// (NULL: all) by the primary key, so that a page costs the same in a large realm as in a small one.
const (
	listRange = `SELECT ` + listColumns + ` FROM vault_items
		WHERE user_id = $1 AND realm_id = $2 AND key >= $3 AND key < $4 ORDER BY key LIMIT $5`
	listRanges = `
		SELECT item.* FROM unnest($3::text[], $4::text[]) AS bounds (lower, upper)
		CROSS JOIN LATERAL (SELECT ` + listColumns + ` FROM vault_items
			WHERE user_id = $1 AND realm_id = $2 AND key >= lower AND key < upper ORDER BY key LIMIT $5) AS item
		ORDER BY item.key LIMIT $5`
)

// listSQL returns the statement of list.
func listSQL(user, realm string, in keyrange.Ranges, limit int) (sql string, args []any) {
	sql, args = listRanges, []any{user, realm, in.Lower, in.Upper, nil}
	if len(in.Lower) == 1 {
		sql, args[2], args[3] = listRange, in.Lower[0], in.Upper[0]
	}
	if limit > 0 {
		args[4] = limit + 1
	}
	return sql, args
}

// list calls each for the items of a realm whose keys are in the ranges, without their values,
// ordered by the bytes of the keys. With a limit above zero it stops after one more item. each must
// not keep the bytes of the row.
func (s *itemStore) list(ctx context.Context, user, realm string, in keyrange.Ranges, limit int,
	each func(sealedInfo) error) error {
	sql, args := listSQL(user, realm, in, limit)
	rows, err := s.pool.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var row sealedInfo
	var metadata pgtype.DriverBytes
	for rows.Next() {
		err := rows.Scan(&row.key, &metadata, &row.metadataVersion, &row.size, &row.created, &row.updated)
		if err != nil {
			return err
		}
		row.metadata = metadata
		if err := each(row); err != nil {
			return err
		}
	}
	return rows.Err()
}

// locked runs sql in a transaction that holds the lock of the user's account, which it creates if
// there is none. sql returns one row, which is scanned into dst.
func (s *itemStore) locked(ctx context.Context, user, sql string, args []any, dst ...any) error {
	var batch pgx.Batch
	batch.Queue(`INSERT INTO vault_usage (user_id) VALUES ($1) ON CONFLICT (user_id) DO NOTHING`, user)
	batch.Queue(`SELECT FROM vault_usage WHERE user_id = $1 FOR NO KEY UPDATE`, user)
	batch.Queue(sql, args...)
	results := s.pool.SendBatch(ctx, &batch)
	var err error
	for range batch.Len() - 1 {
		if _, err = results.Exec(); err != nil {
			break
		}
	}
	if err == nil {
		err = results.QueryRow().Scan(dst...)
	}
	// Close commits the batch, so only its error says whether the change was stored.
	if closed := results.Close(); closed != nil {
		return closed
	}
	return err
}

// remove deletes one item, subtracts its size from the accounts and reports whether it existed.
func (s *itemStore) remove(ctx context.Context, ref sealing.Ref) (bool, error) {
	var n int64
	err := s.locked(ctx, ref.User, `WITH gone AS (
		DELETE FROM vault_items WHERE user_id = $1 AND realm_id = $2 AND key = $3 RETURNING size_bytes)`+giveBackSQL,
		[]any{ref.User, ref.Realm, ref.Key}, &n)
	return n > 0, err
}

// clear deletes all items of a realm, subtracts their sizes from the accounts and returns their
// number.
func (s *itemStore) clear(ctx context.Context, user, realm string) (n int64, err error) {
	err = s.locked(ctx, user, `WITH gone AS (
		DELETE FROM vault_items WHERE user_id = $1 AND realm_id = $2 RETURNING size_bytes)`+giveBackSQL,
		[]any{user, realm}, &n)
	return n, err
}

// giveBackSQL subtracts the deleted items (gone) from the accounts of the user and of the realm,
// and returns their number.
const giveBackSQL = `, freed AS (
    SELECT count(*) AS items, coalesce(sum(size_bytes), 0)::bigint AS bytes FROM gone
), account AS (
    UPDATE vault_usage u SET bytes = u.bytes - f.bytes, items = u.items - f.items
    FROM freed f WHERE u.user_id = $1 AND f.items > 0
), realm AS (
    UPDATE vault_realms r SET bytes = r.bytes - f.bytes, items = r.items - f.items
    FROM freed f WHERE r.user_id = $1 AND r.realm_id = $2 AND f.items > 0 AND r.items > f.items
), empty_realm AS (
    DELETE FROM vault_realms r USING freed f WHERE r.user_id = $1 AND r.realm_id = $2 AND r.items = f.items
)
SELECT items FROM freed`

// usage reads the account of a user and of one realm.
func (s *itemStore) usage(ctx context.Context, user, realm string) (u Usage, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT coalesce(r.items, 0), coalesce(r.bytes, 0), coalesce(u.bytes, 0)
		FROM (VALUES (1)) one LEFT JOIN vault_usage u ON u.user_id = $1
			LEFT JOIN vault_realms r ON r.user_id = $1 AND r.realm_id = $2`,
		user, realm).Scan(&u.RealmItems, &u.RealmBytes, &u.TotalBytes)
	return u, err
}

// rangeUsage counts the items of a realm whose keys are in the ranges.
func (s *itemStore) rangeUsage(ctx context.Context, user, realm string, in keyrange.Ranges) (u Usage, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT count(*), coalesce(sum(size_bytes), 0)::bigint FROM unnest($3::text[], $4::text[]) AS bounds (lower, upper)
		JOIN vault_items ON user_id = $1 AND realm_id = $2 AND key >= lower AND key < upper`,
		user, realm, in.Lower, in.Upper).Scan(&u.RealmItems, &u.RealmBytes)
	return u, err
}

// realms lists the realms in which a user has items, ordered by id. The global scope is left out.
func (s *itemStore) realms(ctx context.Context, user string) ([]internalapi.RealmUsage, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT realm_id, items, bytes FROM vault_realms WHERE user_id = $1 AND realm_id <> '' ORDER BY realm_id`, user)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (u internalapi.RealmUsage, err error) {
		return u, r.Scan(&u.RealmID, &u.Count, &u.SizeBytes)
	})
}
