package vault

import (
	"context"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
)

// storedItem is a row of vault_items. sealed is nil when the value is larger than the reader's
// limit.
type storedItem struct {
	sealedInfo
	version sealing.Version
	sealed  []byte
}

// itemRead is a read of one item, and its result. A value larger than smallBody is left out.
type itemRead struct {
	ref sealing.Ref
	storedItem
	found bool
}

// itemColumns are the columns of storedItem. A value larger than $4 bytes is left out.
const itemColumns = `CASE WHEN size_bytes <= $4 THEN sealed END, version, sealed_metadata, metadata_version,
	size_bytes, created_at, updated_at`

const readItem = `SELECT ` + itemColumns + ` FROM vault_items WHERE user_id = $1 AND realm_id = $2 AND key = $3`

// readItems looks up each item by the primary key. The lateral join keeps the planner from scanning
// the whole table.
const readItems = `
	SELECT n, item.* FROM unnest($1::text[], $2::text[], $3::text[])
		WITH ORDINALITY AS asked (user_id, realm_id, key, n)
	CROSS JOIN LATERAL (SELECT ` + itemColumns + ` FROM vault_items i
		WHERE i.user_id = asked.user_id AND i.realm_id = asked.realm_id AND i.key = asked.key LIMIT 1) AS item`

func (i *storedItem) columns() []any {
	return []any{&i.sealed, &i.version, &i.metadata, &i.metadataVersion, &i.size, &i.created, &i.updated}
}

// readBatch reads the items of batch in one statement.
func (s *itemStore) readBatch(ctx context.Context, batch []*itemRead) error {
	if len(batch) == 1 {
		r := batch[0]
		r.key = r.ref.Key
		err := s.pool.QueryRow(ctx, readItem, r.ref.User, r.ref.Realm, r.ref.Key, smallBody).Scan(r.columns()...)
		if db.IsNoRows(err) {
			return nil
		}
		r.found = err == nil
		return err
	}
	users, realms, keys := make([]string, len(batch)), make([]string, len(batch)), make([]string, len(batch))
	for i, r := range batch {
		users[i], realms[i], keys[i] = r.ref.User, r.ref.Realm, r.ref.Key
	}
	rows, err := s.pool.Query(ctx, readItems, users, realms, keys, smallBody)
	if err != nil {
		return err
	}
	defer rows.Close()
	var n int
	for rows.Next() {
		var item storedItem
		if err := rows.Scan(append([]any{&n}, item.columns()...)...); err != nil {
			return err
		}
		r := batch[n-1]
		r.storedItem, r.found = item, true
		r.key = r.ref.Key
	}
	return rows.Err()
}

// read reads one item and calls open with its row. The bytes of the row belong to the connection,
// so open must not keep them. A value larger than inline bytes is left out. read returns false when
// there is no such item.
func (s *itemStore) read(ctx context.Context, ref sealing.Ref, inline int64,
	open func(storedItem) error) (bool, error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return false, err
	}
	var sealed pgtype.DriverBytes
	defer func() { release(ctx, conn, []any{[]byte(sealed)}) }()
	rows, err := conn.Query(ctx, readItem, ref.User, ref.Realm, ref.Key, inline)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	if !rows.Next() {
		return false, rows.Err()
	}
	var row storedItem
	row.key = ref.Key
	columns := row.columns()
	columns[0] = &sealed
	if err := rows.Scan(columns...); err != nil {
		return false, err
	}
	row.sealed = sealed
	if err := open(row); err != nil {
		return false, err
	}
	rows.Close()
	return true, rows.Err()
}
