package store

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
)

// verifyPage is the number of items that one statement reads. They are streamed, so only one of
// them is in memory at a time.
const verifyPage = 200

// AllItems calls each for every item, expired ones too, ordered by the primary key. each must not
// keep the bytes of the row.
func (s *Store) AllItems(ctx context.Context, each func(sealing.Ref, Item) error) error {
	return s.pages(ctx, `
		SELECT user_id, realm_id, key, number, sealed, version, sealed_metadata, metadata_version, size_bytes
		FROM vault_items WHERE (user_id, realm_id, key) > ($1, $2, $3) AND $4::bigint >= 0
		ORDER BY user_id, realm_id, key LIMIT $5`, each)
}

// AllVersions calls each for every earlier version, as AllItems does.
func (s *Store) AllVersions(ctx context.Context, each func(sealing.Ref, Item) error) error {
	return s.pages(ctx, `
		SELECT user_id, realm_id, key, number, sealed, version, sealed_metadata, metadata_version, size_bytes
		FROM vault_versions WHERE (user_id, realm_id, key, number) > ($1, $2, $3, $4)
		ORDER BY user_id, realm_id, key, number LIMIT $5`, each)
}

func (s *Store) pages(ctx context.Context, sql string, each func(sealing.Ref, Item) error) error {
	var last sealing.Ref
	var number int64
	for {
		n, err := s.page(ctx, sql, &last, &number, each)
		if n < verifyPage || err != nil {
			return err
		}
	}
}

// page reads the next rows after *last and *number, sets both to the last of them and returns their
// number.
func (s *Store) page(ctx context.Context, sql string, last *sealing.Ref, number *int64,
	each func(sealing.Ref, Item) error) (n int, err error) {
	rows, err := s.pool.Query(ctx, sql, last.User, last.Realm, last.Key, *number, verifyPage)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for ; rows.Next(); n++ {
		var row Item
		var sealed, metadata pgtype.DriverBytes
		if err := rows.Scan(&last.User, &last.Realm, &last.Key, number, &sealed, &row.Version, &metadata,
			&row.MetadataVersion, &row.Size); err != nil {
			return n, err
		}
		row.Key, row.Number, row.Sealed, row.Metadata = last.Key, *number, sealed, metadata
		if err := each(*last, row); err != nil {
			return n, err
		}
	}
	return n, rows.Err()
}

// Account is the account of a user in one realm, or over all realms. What names the account.
type Account struct {
	User, What  string
	Bytes, Rows int64
	// RealBytes and RealRows are the sums of the rows that the account counts.
	RealBytes, RealRows int64
}

// WrongAccounts compares all accounts with the rows, in one snapshot, and returns those with a
// difference: "all realms" and "realm …" count items, "history" and "trash" earlier versions. The
// rows of history are all versions; those of trash are keys.
func (s *Store) WrongAccounts(ctx context.Context) ([]Account, error) {
	rows, err := s.pool.Query(ctx, `
		WITH versions AS (
		    SELECT v.user_id, v.size_bytes, t.key IS NOT NULL AS trashed
		    FROM vault_versions v LEFT JOIN vault_trash t USING (user_id, realm_id, key)
		), real AS (
		    SELECT user_id, CASE WHEN GROUPING(realm_id) = 1 THEN 'all realms' ELSE 'realm "' || realm_id || '"' END AS what,
		        sum(size_bytes)::bigint AS bytes, count(*) AS n
		    FROM vault_items GROUP BY GROUPING SETS ((user_id), (user_id, realm_id))
		    UNION ALL SELECT user_id, 'history', coalesce(sum(size_bytes) FILTER (WHERE NOT trashed), 0)::bigint, count(*)
		    FROM versions GROUP BY user_id
		    UNION ALL SELECT user_id, 'trash', sum(bytes)::bigint, sum(n)::bigint FROM (
		        SELECT user_id, sum(size_bytes) AS bytes, 0 AS n FROM versions WHERE trashed GROUP BY user_id
		        UNION ALL SELECT user_id, 0, count(*) FROM vault_trash GROUP BY user_id) trash GROUP BY user_id
		), account AS (
		    SELECT user_id, 'all realms' AS what, bytes, items AS n FROM vault_usage
		    UNION ALL SELECT user_id, 'history', history_bytes, versions FROM vault_usage
		    UNION ALL SELECT user_id, 'trash', trash_bytes, trash_items FROM vault_usage
		    UNION ALL SELECT user_id, 'realm "' || realm_id || '"', bytes, items FROM vault_realms
		)
		SELECT user_id, what, coalesce(a.bytes, 0), coalesce(a.n, 0), coalesce(r.bytes, 0), coalesce(r.n, 0)
		FROM account a FULL JOIN real r USING (user_id, what)
		WHERE (coalesce(a.bytes, 0), coalesce(a.n, 0)) <> (coalesce(r.bytes, 0), coalesce(r.n, 0))
		ORDER BY user_id, what`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (a Account, err error) {
		return a, r.Scan(&a.User, &a.What, &a.Bytes, &a.Rows, &a.RealBytes, &a.RealRows)
	})
}

// OrphanVersions counts earlier versions whose key neither exists nor is in the trash.
func (s *Store) OrphanVersions(ctx context.Context) (n int64, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT count(*) FROM vault_versions v
		WHERE NOT EXISTS (SELECT FROM vault_items i
		        WHERE i.user_id = v.user_id AND i.realm_id = v.realm_id AND i.key = v.key)
		    AND NOT EXISTS (SELECT FROM vault_trash t
		        WHERE t.user_id = v.user_id AND t.realm_id = v.realm_id AND t.key = v.key)`).Scan(&n)
	return n, err
}
