package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
)

// Version describes one version of a key.
type Version struct {
	Number  int64
	Size    int64
	Created time.Time
	Current bool
	Deleted bool // the key is in the trash
}

// Versions lists all versions of a key, newest first. There are none when the key neither exists
// nor is in the trash.
func (s *Store) Versions(ctx context.Context, ref sealing.Ref) ([]Version, error) {
	rows, err := s.pool.Query(ctx, `
		WITH item AS (
		    SELECT number, size_bytes, updated_at FROM vault_items
		    WHERE user_id = $1 AND realm_id = $2 AND key = $3 AND `+unexpired+`
		), trashed AS (
		    SELECT FROM vault_trash WHERE user_id = $1 AND realm_id = $2 AND key = $3 AND restorable_until > now()
		)
		SELECT number, size_bytes, updated_at, true, false FROM item
		UNION ALL SELECT number, size_bytes, created_at, false, EXISTS (SELECT FROM trashed) FROM vault_versions
		WHERE user_id = $1 AND realm_id = $2 AND key = $3
		    AND (EXISTS (SELECT FROM trashed) OR EXISTS (SELECT FROM item))
		ORDER BY number DESC`, ref.User, ref.Realm, ref.Key)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (v Version, err error) {
		return v, r.Scan(&v.Number, &v.Size, &v.Created, &v.Current, &v.Deleted)
	})
}

// readVersion reads one version of a key that exists or is in the trash, whose number is $5. A value
// larger than $4 bytes is left out. The creation time and the expiry are those of the key.
const readVersion = `
	WITH item AS (
	    SELECT created_at, expires_at FROM vault_items
	    WHERE user_id = $1 AND realm_id = $2 AND key = $3 AND ` + unexpired + `
	    UNION ALL SELECT created_at, NULL FROM vault_trash
	    WHERE user_id = $1 AND realm_id = $2 AND key = $3 AND restorable_until > now()
	)
	SELECT CASE WHEN size_bytes <= $4 THEN sealed END, number, version, sealed_metadata, metadata_version,
	    size_bytes, item.created_at, updated_at, item.expires_at
	FROM item CROSS JOIN (
	    SELECT number, sealed, version, sealed_metadata, metadata_version, size_bytes, updated_at FROM vault_items
	    WHERE user_id = $1 AND realm_id = $2 AND key = $3 AND number = $5
	    UNION ALL SELECT number, sealed, version, sealed_metadata, metadata_version, size_bytes, created_at
	    FROM vault_versions WHERE user_id = $1 AND realm_id = $2 AND key = $3 AND number = $5
	) v`

// Version reads one version of a key that exists or is in the trash, as Item reads an item.
func (s *Store) Version(ctx context.Context, ref sealing.Ref, number, inline int64,
	open func(Item) error) (bool, error) {
	return s.readOne(ctx, open, readVersion, ref.User, ref.Realm, ref.Key, inline, number)
}

// Version reads the version number of a key, or with number 0 the newest before below. A value
// larger than inline bytes is left out. The key may be in the trash.
func (t *Transaction) Version(ctx context.Context, ref sealing.Ref, number, below, inline int64) (i Item, found bool,
	err error) {
	const columns = `CASE WHEN size_bytes <= $4 THEN sealed END, number, version, sealed_metadata, metadata_version,
		size_bytes, `
	args := []any{ref.User, ref.Realm, ref.Key, inline}
	sql := `SELECT ` + columns + `created_at, created_at, NULL::timestamptz FROM vault_versions
		WHERE user_id = $1 AND realm_id = $2 AND key = $3 `
	if number > 0 {
		sql += `AND number = $5 UNION ALL SELECT ` + columns + `created_at, updated_at, expires_at FROM vault_items
			WHERE user_id = $1 AND realm_id = $2 AND key = $3 AND number = $5`
		args = append(args, number)
	} else {
		sql += `AND number < $5 ORDER BY number DESC LIMIT 1`
		args = append(args, below)
	}
	err = t.tx.QueryRow(ctx, sql, args...).Scan(i.columns()...)
	if db.IsNoRows(err) {
		return i, false, nil
	}
	i.Key = ref.Key
	t.large = t.large || len(i.Sealed) > largeMessage
	return i, err == nil, err
}
