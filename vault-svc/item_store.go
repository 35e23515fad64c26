package vault

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/internalapi"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
)

// itemStore keeps sealed items and the account of their sizes.
//
// Every change is one transaction in one round trip, of one user or, for small values, of many
// (putBatch). A transaction that changes an account first locks the user's row of vault_usage, by a
// statement of its own: READ COMMITTED takes a snapshot for each statement, so the next one sees
// everything that earlier holders of the lock committed, and computes correct differences. (A lock
// inside the writing statement would wait, and then still read the old item.)
type itemStore struct{ pool *db.Pool }

// sealedInfo is a row without its value.
type sealedInfo struct {
	key             string
	metadata        []byte
	metadataVersion *sealing.Version
	size            int64
	created         time.Time
	updated         time.Time
}

// fits reports, as of now, whether a write of these sizes would be allowed: to refuse a large one
// before it is sealed and sent.
func (s *itemStore) fits(ctx context.Context, w Write, max limits) (ok bool, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT delta <= 0 OR bytes + delta <= $6 FROM (
		    SELECT coalesce((SELECT bytes FROM vault_usage WHERE user_id = $1), 0) AS bytes,
		        $4::bigint - coalesce((SELECT CASE WHEN $5 THEN size_bytes - metadata_bytes ELSE size_bytes END
		            FROM vault_items WHERE user_id = $1 AND realm_id = $2 AND key = $3), 0) AS delta) difference`,
		w.User, w.Realm, w.Key, w.size(), w.KeepMetadata, max.bytes).Scan(&ok)
	return ok, err
}

// largeMessage is the size from which a connection is made to forget a message.
const largeMessage = 1 << 20

// forgetSQL has as many parameters and columns as the widest statement here: each takes the place
// of one that pgx still points to.
const forgetSQL = `SELECT $1::int, $2::int, $3::int, $4::int, $5::int, $6::int, $7::int, $8::int, $9::int, $10::int, $11::int, $12::int`

// release gives conn back to the pool after a statement with these values. pgx keeps the parameters
// of a connection's last statement, and the last row that it read, until others take their place:
// an idle pool would hold a large value, twice, for each connection.
func release(ctx context.Context, conn *pgxpool.Conn, values []any) {
	defer conn.Release()
	for _, v := range values {
		if b, ok := v.([]byte); ok && len(b) > largeMessage {
			// When this fails the connection is closed, and forgets as well.
			_, _ = conn.Exec(ctx, forgetSQL, make([]any, 12)...)
			return
		}
	}
}

// list calls each for the items of a realm in the order of their keys, bytewise, without their
// values. The row's bytes may not be kept.
func (s *itemStore) list(ctx context.Context, user, realm string, each func(sealedInfo) error) error {
	rows, err := s.pool.Query(ctx, `
		SELECT key, sealed_metadata, metadata_version, size_bytes, created_at, updated_at
		FROM vault_items WHERE user_id = $1 AND realm_id = $2 ORDER BY key`, user, realm)
	if err != nil {
		return err
	}
	defer rows.Close()
	var row sealedInfo
	var metadata pgtype.DriverBytes
	for rows.Next() {
		if err := rows.Scan(&row.key, &metadata, &row.metadataVersion, &row.size, &row.created, &row.updated); err != nil {
			return err
		}
		row.metadata = metadata
		if err := each(row); err != nil {
			return err
		}
	}
	return rows.Err()
}

// locked runs sql, which returns one row, in one transaction under the lock of the user's account,
// and scans the row into dst. The account is made first when there is none.
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
	// The batch is committed at its end: only Close tells whether that worked.
	if closed := results.Close(); closed != nil {
		return closed
	}
	return err
}

// remove deletes one item, gives its size back and reports whether there was one.
func (s *itemStore) remove(ctx context.Context, ref sealing.Ref) (bool, error) {
	var n int64
	err := s.locked(ctx, ref.User, `WITH gone AS (
		DELETE FROM vault_items WHERE user_id = $1 AND realm_id = $2 AND key = $3 RETURNING size_bytes)`+giveBackSQL,
		[]any{ref.User, ref.Realm, ref.Key}, &n)
	return n > 0, err
}

// clear deletes all items of a realm, gives their sizes back and returns how many there were.
func (s *itemStore) clear(ctx context.Context, user, realm string) (n int64, err error) {
	err = s.locked(ctx, user, `WITH gone AS (
		DELETE FROM vault_items WHERE user_id = $1 AND realm_id = $2 RETURNING size_bytes)`+giveBackSQL,
		[]any{user, realm}, &n)
	return n, err
}

const giveBackSQL = `, freed AS (
    SELECT count(*) AS items, coalesce(sum(size_bytes), 0)::bigint AS bytes FROM gone
), account AS (
    UPDATE vault_usage u SET bytes = u.bytes - f.bytes, items = u.items - f.items FROM freed f WHERE u.user_id = $1 AND f.items > 0
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
		FROM (VALUES (1)) one LEFT JOIN vault_usage u ON u.user_id = $1 LEFT JOIN vault_realms r ON r.user_id = $1 AND r.realm_id = $2`,
		user, realm).Scan(&u.RealmItems, &u.RealmBytes, &u.TotalBytes)
	return u, err
}

// realms lists the realms that hold items of a user, by id, without the global scope.
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
