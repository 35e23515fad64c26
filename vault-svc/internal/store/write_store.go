package store

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

// Sealed are the sealed value and metadata of a write.
type Sealed struct {
	Number          int64 // for which both are sealed
	Value           []byte
	Version         sealing.Version
	Metadata        []byte // nil when there is none
	MetadataVersion *sealing.Version
}

// Expiry is the expiry of an item after a write. The zero value removes it.
type Expiry struct {
	Keep bool // leave it unchanged; a new item has none
	At   *time.Time
	In   time.Duration // from the time of the write; 0: At
}

// Write is a write of one item with the limits of its account, and its result.
type Write struct {
	sealing.Ref
	Sealed
	KeepMetadata  bool
	ValueBytes    int64
	MetadataBytes int64
	Expiry        Expiry
	Restore       bool       // it is recorded as a restore
	Created       *time.Time // creation time of a new item; nil: now
	Limits        Limits

	Outcome Outcome
	Stored  Info  // the stored row
	Next    int64 // with OtherNumber: the number for which the value must be sealed
	Fresh   bool  // the item is new
	// RolledBack reports that the batch was rolled back, so this write must run by itself.
	RolledBack bool
}

// Outcome is the result of a write. Everything but Stored changed nothing.
type Outcome int16

// The outcomes, as vault_write returns them.
const (
	Stored      Outcome = iota
	OverQuota           // the limits of the account do not allow it
	OtherNumber         // the item's next number is not the one for which the value is sealed
	Expired             // the expiry is in the past
)

// UserOf returns the user whose account w locks. A batch has at most one write for each user,
// ordered by user id, so that no two statements wait for each other's locks.
func (w *Write) UserOf() string { return w.User }

// writeColumns are the columns that vault_write returns.
type writeColumns struct {
	outcome          Outcome
	number           int64
	metadata         []byte
	metadataVersion  *sealing.Version
	size             *int64
	created, updated *time.Time
	expires          *time.Time
	fresh            bool
}

func (c *writeColumns) scan() []any {
	return []any{&c.outcome, &c.number, &c.metadata, &c.metadataVersion, &c.size, &c.created, &c.updated, &c.expires,
		&c.fresh}
}

// setResult sets the result of a write from what vault_write returned.
func (w *Write) setResult(c writeColumns) {
	w.Outcome, w.Next = c.outcome, c.number
	if c.outcome != Stored {
		return
	}
	w.Fresh = c.fresh
	w.Stored = Info{Key: w.Key, Number: c.number, Version: w.Version, Metadata: c.metadata,
		MetadataVersion: c.metadataVersion, Size: *c.size, Created: *c.created, Updated: *c.updated, Expires: c.expires}
}

// args are the parameters of vault_write.
func (w *Write) args() []any {
	event := "put"
	if w.Restore {
		event = "restore"
	}
	return []any{w.User, w.Realm, w.Key, w.Number, w.Value, w.Version, w.Metadata, w.MetadataVersion, w.KeepMetadata,
		w.ValueBytes, w.MetadataBytes, w.Expiry.Keep, w.Expiry.At, w.Expiry.milliseconds(), w.Limits.Bytes,
		w.Limits.Items, w.Limits.Versions, event, w.Created}
}

func (e Expiry) milliseconds() *int64 {
	if e.In == 0 {
		return nil
	}
	n := e.In.Milliseconds()
	return &n
}

const writeItem = `SELECT * FROM vault_write($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
	$18, $19)`

// Write stores w in a transaction of its own.
func (s *Store) Write(ctx context.Context, w *Write) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	args := w.args()
	defer release(ctx, conn, args)
	var row writeColumns
	err = db.Retry(func() error { return conn.QueryRow(ctx, writeItem, args...).Scan(row.scan()...) })
	if err == nil {
		w.setResult(row)
	}
	return err
}

// writeItems calls vault_write for each element of the arrays; n is the position of the write, from
// 1.
const writeItems = `
	SELECT n, put.* FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bytea[], $6::uuid[],
		$7::bytea[], $8::uuid[], $9::boolean[], $10::bigint[], $11::bigint[], $12::boolean[], $13::timestamptz[],
		$14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[]) WITH ORDINALITY
		AS w (user_id, realm_id, key, number, sealed, version, metadata, metadata_version, keep_metadata,
			value_bytes, metadata_bytes, keep_expiry, expires, ttl, max_bytes, max_items, max_versions, n)
	CROSS JOIN LATERAL vault_write(user_id, realm_id, key, number, sealed, version, metadata, metadata_version,
		keep_metadata, value_bytes, metadata_bytes, keep_expiry, expires, ttl, max_bytes, max_items, max_versions,
		'put', NULL) AS put`

// lockTimeout bounds how long a batch waits for the lock of an account. A write of a large value
// may hold that lock for longer.
const lockTimeout = `50ms`

// WriteBatch stores the writes of batch, none of which restores, in one transaction. When
// PostgreSQL reports an error for one of them, such as lock_timeout, all are rolled back and marked
// RolledBack.
func (s *Store) WriteBatch(ctx context.Context, batch []*Write) error {
	slices.SortFunc(batch, func(a, b *Write) int { return cmp.Compare(a.User, b.User) })
	rows := make([]writeColumns, len(batch))
	var b pgx.Batch
	b.Queue(`SELECT set_config('lock_timeout', $1, true)`, lockTimeout)
	b.Queue(writeItems, batchArgs(batch)...).Query(func(r pgx.Rows) error {
		var n int
		var row writeColumns
		_, err := pgx.ForEachRow(r, append([]any{&n}, row.scan()...), func() error {
			rows[n-1] = row
			return nil
		})
		return err
	})
	// The transaction commits at the end of the batch, so only Close says whether it did.
	err := s.pool.SendBatch(ctx, &b).Close()
	if _, refused := errors.AsType[*pgconn.PgError](err); refused {
		for _, w := range batch {
			w.RolledBack = true
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

// batchArgs returns the parameters of writeItems: one array for each column.
func batchArgs(batch []*Write) []any {
	n := len(batch)
	users, realms, keys := make([]string, n), make([]string, n), make([]string, n)
	values, metadata := make([][]byte, n), make([][]byte, n)
	versions, metadataVersions := make([]sealing.Version, n), make([]*sealing.Version, n)
	keeps, keepExpiry := make([]bool, n), make([]bool, n)
	expires, ttls := make([]*time.Time, n), make([]*int64, n)
	numbers, valueBytes, metadataBytes := make([]int64, n), make([]int64, n), make([]int64, n)
	maxBytes, maxItems, maxVersions := make([]int64, n), make([]int64, n), make([]int64, n)
	for i, w := range batch {
		users[i], realms[i], keys[i], numbers[i] = w.User, w.Realm, w.Key, w.Number
		values[i], versions[i], metadata[i], metadataVersions[i] = w.Value, w.Version, w.Metadata, w.MetadataVersion
		keeps[i], valueBytes[i], metadataBytes[i] = w.KeepMetadata, w.ValueBytes, w.MetadataBytes
		keepExpiry[i], expires[i], ttls[i] = w.Expiry.Keep, w.Expiry.At, w.Expiry.milliseconds()
		maxBytes[i], maxItems[i], maxVersions[i] = w.Limits.Bytes, w.Limits.Items, w.Limits.Versions
	}
	return []any{users, realms, keys, numbers, values, versions, metadata, metadataVersions, keeps, valueBytes,
		metadataBytes, keepExpiry, expires, ttls, maxBytes, maxItems, maxVersions}
}

// Fits reports whether the quota allows w at this moment, and returns the number for which its
// value must be sealed then. It refuses a large write before the value is sealed and sent to
// PostgreSQL; vault_write decides.
func (s *Store) Fits(ctx context.Context, w *Write) (ok bool, next int64, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT delta <= 0 OR bytes + delta <= $6, next FROM (
		    SELECT coalesce((SELECT bytes FROM vault_usage WHERE user_id = $1), 0) - coalesce(
		            (SELECT sum(size_bytes) FROM vault_items WHERE user_id = $1 AND expires_at <= now()), 0) AS bytes,
		        $4::bigint - coalesce(CASE WHEN $5 THEN i.size_bytes - i.metadata_bytes ELSE i.size_bytes END, 0) AS delta,
		        coalesce(i.number, t.number, 0) + 1 AS next
		    FROM (VALUES (1)) one
		    LEFT JOIN vault_items i ON i.user_id = $1 AND i.realm_id = $2 AND i.key = $3 AND `+unexpired+`
		    LEFT JOIN vault_trash t
		        ON t.user_id = $1 AND t.realm_id = $2 AND t.key = $3 AND t.restorable_until > now()) difference`,
		w.User, w.Realm, w.Key, w.ValueBytes+w.MetadataBytes, w.KeepMetadata, w.Limits.Bytes).Scan(&ok, &next)
	return ok, next, err
}
