package store

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/internalapi"
	"github.com/realmgate/realmgate/vault-svc/internal/keyrange"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
)

// Read is a read of one item, and its result. A value larger than Inline bytes is left out; all
// reads of a batch have the same Inline.
type Read struct {
	Ref    sealing.Ref
	Inline int64
	Item
	Found bool
}

// unexpired is the condition on rows of vault_items that have not expired.
const unexpired = `(expires_at IS NULL OR expires_at > now())`

// itemColumns are the columns of Item. A value larger than $4 bytes is left out.
const itemColumns = `CASE WHEN size_bytes <= $4 THEN sealed END, number, version, sealed_metadata, metadata_version,
	size_bytes, created_at, updated_at, expires_at`

const readItem = `SELECT ` + itemColumns + ` FROM vault_items
	WHERE user_id = $1 AND realm_id = $2 AND key = $3 AND ` + unexpired

// readItems looks up each item by the primary key. The lateral join keeps the planner from scanning
// the whole table.
const readItems = `
	SELECT n, item.* FROM unnest($1::text[], $2::text[], $3::text[])
		WITH ORDINALITY AS asked (user_id, realm_id, key, n)
	CROSS JOIN LATERAL (SELECT ` + itemColumns + ` FROM vault_items i
		WHERE i.user_id = asked.user_id AND i.realm_id = asked.realm_id AND i.key = asked.key AND ` + unexpired + `
		LIMIT 1) AS item`

func (i *Item) columns() []any { return append([]any{&i.Sealed}, i.Info.columns()...) }

func (i *Info) columns() []any {
	return []any{&i.Number, &i.Version, &i.Metadata, &i.MetadataVersion, &i.Size, &i.Created, &i.Updated, &i.Expires}
}

// ReadBatch reads the items of batch in one statement.
func (s *Store) ReadBatch(ctx context.Context, batch []*Read) error {
	if len(batch) == 1 {
		r := batch[0]
		r.Key = r.Ref.Key
		err := s.pool.QueryRow(ctx, readItem, r.Ref.User, r.Ref.Realm, r.Ref.Key, r.Inline).Scan(r.columns()...)
		if db.IsNoRows(err) {
			return nil
		}
		r.Found = err == nil
		return err
	}
	users, realms, keys := make([]string, len(batch)), make([]string, len(batch)), make([]string, len(batch))
	for i, r := range batch {
		users[i], realms[i], keys[i] = r.Ref.User, r.Ref.Realm, r.Ref.Key
	}
	rows, err := s.pool.Query(ctx, readItems, users, realms, keys, batch[0].Inline)
	if err != nil {
		return err
	}
	defer rows.Close()
	var n int
	for rows.Next() {
		var item Item
		if err := rows.Scan(append([]any{&n}, item.columns()...)...); err != nil {
			return err
		}
		r := batch[n-1]
		r.Item, r.Found = item, true
		r.Key = r.Ref.Key
	}
	return rows.Err()
}

// Item reads one item and calls open with its row. The bytes of the row belong to the connection,
// so open must not keep them. A value larger than inline bytes is left out. Item returns false when
// there is no such item.
func (s *Store) Item(ctx context.Context, ref sealing.Ref, inline int64, open func(Item) error) (bool, error) {
	return s.readOne(ctx, open, readItem, ref.User, ref.Realm, ref.Key, inline)
}

// readOne runs sql, which returns the columns of one Item.
func (s *Store) readOne(ctx context.Context, open func(Item) error, sql string, args ...any) (bool, error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return false, err
	}
	var sealed []byte
	defer func() { release(ctx, conn, []any{sealed}) }()
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return false, err
	}
	var found bool
	found, sealed, err = scanOne(rows, args[2].(string), open)
	return found, err
}

// scanOne calls open with the only row of rows and returns its sealed value, whose bytes belong to
// the connection.
func scanOne(rows pgx.Rows, key string, open func(Item) error) (found bool, sealed []byte, err error) {
	defer rows.Close()
	if !rows.Next() {
		return false, nil, rows.Err()
	}
	var row Item
	var value pgtype.DriverBytes
	row.Key = key
	columns := row.columns()
	columns[0] = &value
	if err := rows.Scan(columns...); err != nil {
		return false, nil, err
	}
	row.Sealed = value
	if err := open(row); err != nil {
		return false, value, err
	}
	rows.Close()
	return true, value, rows.Err()
}

// listColumns are the columns of Info.
const listColumns = `key, number, version, sealed_metadata, metadata_version, size_bytes, created_at, updated_at,
	expires_at`

// listRange reads one range, and listRanges several in one snapshot. Both read at most $5 items
// (NULL: all) by the primary key, so that a page costs the same in a large realm as in a small one.
const (
	listRange = `SELECT ` + listColumns + ` FROM vault_items
		WHERE user_id = $1 AND realm_id = $2 AND key >= $3 AND key < $4 AND ` + unexpired + ` ORDER BY key LIMIT $5`
	listRanges = `
		SELECT item.* FROM unnest($3::text[], $4::text[]) AS bounds (lower, upper)
		CROSS JOIN LATERAL (SELECT ` + listColumns + ` FROM vault_items
			WHERE user_id = $1 AND realm_id = $2 AND key >= lower AND key < upper AND ` + unexpired + `
			ORDER BY key LIMIT $5) AS item
		ORDER BY item.key LIMIT $5`
)

// ListSQL returns the statement of List.
func ListSQL(user, realm string, in keyrange.Ranges, limit int) (sql string, args []any) {
	sql, args = listRanges, []any{user, realm, in.Lower, in.Upper, nil}
	if len(in.Lower) == 1 {
		sql, args[2], args[3] = listRange, in.Lower[0], in.Upper[0]
	}
	if limit > 0 {
		args[4] = limit + 1
	}
	return sql, args
}

// List calls each for the items of a realm whose keys are in the ranges, without their values,
// ordered by the bytes of the keys. With a limit above zero it stops after one more item. each must
// not keep the bytes of the row.
func (s *Store) List(ctx context.Context, user, realm string, in keyrange.Ranges, limit int,
	each func(Info) error) error {
	sql, args := ListSQL(user, realm, in, limit)
	rows, err := s.pool.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var row Info
	var metadata pgtype.DriverBytes
	columns := append([]any{&row.Key}, row.columns()...)
	columns[3] = &metadata
	for rows.Next() {
		if err := rows.Scan(columns...); err != nil {
			return err
		}
		row.Metadata = metadata
		if err := each(row); err != nil {
			return err
		}
	}
	return rows.Err()
}

// KeySize is the key of an item and the bytes of its value and metadata.
type KeySize struct {
	Key  string
	Size int64
}

// Keys returns the first items, at most limit, of a realm whose keys are in the ranges, ordered by
// the bytes of the keys.
func (s *Store) Keys(ctx context.Context, user, realm string, in keyrange.Ranges, limit int) ([]KeySize, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT item.* FROM unnest($3::text[], $4::text[]) AS bounds (lower, upper)
		CROSS JOIN LATERAL (SELECT key, size_bytes FROM vault_items
			WHERE user_id = $1 AND realm_id = $2 AND key >= lower AND key < upper AND `+unexpired+` ORDER BY key LIMIT $5)
			AS item
		ORDER BY item.key LIMIT $5`, user, realm, in.Lower, in.Upper, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[KeySize])
}

// RangeRealms lists the realms in which a user has items with keys in the ranges, as Realms does.
func (s *Store) RangeRealms(ctx context.Context, user string, in keyrange.Ranges) ([]internalapi.RealmUsage, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT r.realm_id, count(*), sum(i.size_bytes)::bigint
		FROM vault_realms r CROSS JOIN unnest($2::text[], $3::text[]) AS bounds (lower, upper)
		JOIN vault_items i ON i.user_id = r.user_id AND i.realm_id = r.realm_id AND i.key >= lower AND i.key < upper
		WHERE r.user_id = $1 AND r.realm_id <> '' AND `+unexpired+` GROUP BY r.realm_id ORDER BY r.realm_id`,
		user, in.Lower, in.Upper)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[internalapi.RealmUsage])
}
