package vault

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
)

// verifyStore reads all items and accounts for verify.
type verifyStore struct{ pool *db.Pool }

// verifyPage is the number of items that one statement reads. They are streamed, so only one of
// them is in memory at a time.
const verifyPage = 200

// items calls each for every item, ordered by the primary key. each must not keep the bytes of the
// row.
func (s *verifyStore) items(ctx context.Context, each func(sealing.Ref, storedItem) error) error {
	var last sealing.Ref
	for {
		n, err := s.page(ctx, &last, each)
		if n < verifyPage || err != nil {
			return err
		}
	}
}

// page reads the next items after *last, sets *last to the last of them and returns their number.
func (s *verifyStore) page(ctx context.Context, last *sealing.Ref,
	each func(sealing.Ref, storedItem) error) (n int, err error) {
	rows, err := s.pool.Query(ctx, `
		SELECT user_id, realm_id, key, sealed, version, sealed_metadata, metadata_version,
		    size_bytes, created_at, updated_at
		FROM vault_items WHERE (user_id, realm_id, key) > ($1, $2, $3) ORDER BY user_id, realm_id, key LIMIT $4`,
		last.User, last.Realm, last.Key, verifyPage)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for ; rows.Next(); n++ {
		var row storedItem
		var sealed, metadata pgtype.DriverBytes
		if err := rows.Scan(&last.User, &last.Realm, &last.Key, &sealed, &row.version, &metadata, &row.metadataVersion,
			&row.size, &row.created, &row.updated); err != nil {
			return n, err
		}
		row.key, row.sealed, row.metadata = last.Key, sealed, metadata
		if err := each(*last, row); err != nil {
			return n, err
		}
	}
	return n, rows.Err()
}

// wrongAccount is an account that differs from the sum of its items. The realm of an account over
// all realms is "*".
type wrongAccount struct {
	user, realm                        string
	bytes, items, realBytes, realItems int64
}

// wrongAccounts compares all accounts with the items, in one snapshot, and returns those with a
// difference.
func (s *verifyStore) wrongAccounts(ctx context.Context) ([]wrongAccount, error) {
	rows, err := s.pool.Query(ctx, `
		WITH real AS (
		    SELECT user_id, CASE WHEN GROUPING(realm_id) = 1 THEN '*' ELSE realm_id END AS realm_id,
		        sum(size_bytes)::bigint AS bytes, count(*) AS items
		    FROM vault_items GROUP BY GROUPING SETS ((user_id), (user_id, realm_id))
		), account AS (
		    SELECT user_id, '*' AS realm_id, bytes, items FROM vault_usage
		    UNION ALL SELECT user_id, realm_id, bytes, items FROM vault_realms
		)
		SELECT user_id, realm_id, coalesce(a.bytes, 0), coalesce(a.items, 0), coalesce(r.bytes, 0), coalesce(r.items, 0)
		FROM account a FULL JOIN real r USING (user_id, realm_id)
		WHERE (coalesce(a.bytes, 0), coalesce(a.items, 0)) <> (coalesce(r.bytes, 0), coalesce(r.items, 0))
		ORDER BY user_id, realm_id`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (w wrongAccount, err error) {
		return w, r.Scan(&w.user, &w.realm, &w.bytes, &w.items, &w.realBytes, &w.realItems)
	})
}
