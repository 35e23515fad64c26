package vault

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
)

// sealedWrite is a Write whose value and metadata are sealed.
type sealedWrite struct {
	sealing.Ref
	value           []byte
	version         sealing.Version
	metadata        []byte // nil when there is none
	metadataVersion *sealing.Version
	keepMetadata    bool
	valueBytes      int64
	metadataBytes   int64
}

// limits are the most bytes and items that a user's account may have.
type limits struct{ bytes, items int64 }

// itemWrite is a write with the limits of its account, and its result.
type itemWrite struct {
	sealedWrite
	max     limits
	row     sealedInfo // the stored row
	created bool
	err     error // nil, or errOverQuota: nothing was changed
	// retryUnbatched reports that the batch was rolled back, so this write must run by itself.
	retryUnbatched bool
}

// errOverQuota reports that a write would exceed the limits of its account.
var errOverQuota = errors.New("over quota")

// user returns the user whose account the write locks. A statement has at most one write for each
// user, ordered by user id, so that no two statements wait for each other's locks.
func (w *itemWrite) user() string { return w.User }

// putRow is the row that vault_put returns.
type putRow struct {
	metadata         []byte
	metadataVersion  *sealing.Version
	size             int64
	created, updated *time.Time
	fresh            bool
}

func (r *putRow) columns() []any {
	return []any{&r.metadata, &r.metadataVersion, &r.size, &r.created, &r.updated, &r.fresh}
}

// setResult sets the result of a write from the row that vault_put returned.
func (w *itemWrite) setResult(r putRow) {
	if r.size < 0 {
		w.err = errOverQuota
		return
	}
	w.row = sealedInfo{key: w.Key, metadata: r.metadata, metadataVersion: r.metadataVersion, size: r.size,
		created: *r.created, updated: *r.updated}
	w.created = r.fresh
}

// putOne stores w in a transaction of its own.
func (s *itemStore) putOne(ctx context.Context, w *itemWrite) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	args := []any{
		w.User, w.Realm, w.Key, w.value, w.version, w.metadata, w.metadataVersion, w.keepMetadata,
		w.valueBytes, w.metadataBytes, w.max.bytes, w.max.items,
	}
	defer release(ctx, conn, args)
	var row putRow
	err = db.Retry(func() error {
		return conn.QueryRow(ctx, `SELECT * FROM vault_put($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
			args...).Scan(row.columns()...)
	})
	if err == nil {
		w.setResult(row)
	}
	return err
}

// putItems calls vault_put for each element of the arrays; n is the position of the write, from 1.
const putItems = `
	SELECT n, put.* FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::uuid[], $6::bytea[], $7::uuid[],
		$8::boolean[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[]) WITH ORDINALITY
		AS w (user_id, realm_id, key, sealed, version, metadata, metadata_version, keep_metadata,
			value_bytes, metadata_bytes, max_bytes, max_items, n)
	CROSS JOIN LATERAL vault_put(user_id, realm_id, key, sealed, version, metadata, metadata_version, keep_metadata,
		value_bytes, metadata_bytes, max_bytes, max_items) AS put`

// lockTimeout bounds how long a batch waits for the lock of an account. A write of a large value
// may hold that lock for longer.
const lockTimeout = `50ms`

// putBatch stores the writes of batch in one transaction. When PostgreSQL reports an error for one
// of them, such as lock_timeout, all are rolled back and marked retryUnbatched.
func (s *itemStore) putBatch(ctx context.Context, batch []*itemWrite) error {
	slices.SortFunc(batch, func(a, b *itemWrite) int { return cmp.Compare(a.User, b.User) })
	rows := make([]putRow, len(batch))
	var b pgx.Batch
	b.Queue(`SELECT set_config('lock_timeout', $1, true)`, lockTimeout)
	b.Queue(putItems, putArgs(batch)...).Query(func(r pgx.Rows) error {
		var n int
		var row putRow
		_, err := pgx.ForEachRow(r, append([]any{&n}, row.columns()...), func() error {
			rows[n-1] = row
			return nil
		})
		return err
	})
	// The transaction commits at the end of the batch, so only Close says whether it did.
	err := s.pool.SendBatch(ctx, &b).Close()
	if _, refused := errors.AsType[*pgconn.PgError](err); refused {
		for _, w := range batch {
			w.retryUnbatched = true
		}
		return nil
	}
	if err == nil {
		for i, w := range batch {
			w.setResult(rows[i])
		}
	}
	return err
}

// putArgs returns the parameters of putItems: one array for each column.
func putArgs(batch []*itemWrite) []any {
	n := len(batch)
	users, realms, keys, keeps := make([]string, n), make([]string, n), make([]string, n), make([]bool, n)
	values, metadata, versions, metadataVersions := make([][]byte, n), make([][]byte, n), make([]sealing.Version, n),
		make([]*sealing.Version, n)
	valueBytes, metadataBytes := make([]int64, n), make([]int64, n)
	maxBytes, maxItems := make([]int64, n), make([]int64, n)
	for i, w := range batch {
		users[i], realms[i], keys[i], keeps[i] = w.User, w.Realm, w.Key, w.keepMetadata
		values[i], versions[i], metadata[i], metadataVersions[i] = w.value, w.version, w.metadata, w.metadataVersion
		valueBytes[i], metadataBytes[i] = w.valueBytes, w.metadataBytes
		maxBytes[i], maxItems[i] = w.max.bytes, w.max.items
	}
	return []any{users, realms, keys, values, versions, metadata, metadataVersions, keeps, valueBytes, metadataBytes,
		maxBytes, maxItems}
}
