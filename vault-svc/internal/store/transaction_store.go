package store

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
)

// Transaction holds the lock of a user's account: until it ends, nothing else changes the user's
// items, so what it reads stays current.
type Transaction struct {
	tx    pgx.Tx
	user  string
	large bool // a large value was sent or received
}

// InTransaction runs f in a transaction that holds the lock of the user's account. The transaction
// is committed when f returns nil and otherwise rolled back. f may run again after a conflict.
func (s *Store) InTransaction(ctx context.Context, user string, f func(*Transaction) error) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	t := &Transaction{user: user}
	defer func() { t.release(ctx, conn) }()
	return db.Retry(func() error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			t.tx = tx
			if _, err := tx.Exec(ctx, `SELECT vault_lock($1)`, user); err != nil {
				return err
			}
			return f(t)
		})
	})
}

// Savepoint runs f. When f returns an error, what it changed is undone, and the transaction goes
// on.
func (t *Transaction) Savepoint(ctx context.Context, f func() error) error {
	outer := t.tx
	defer func() { t.tx = outer }()
	return pgx.BeginFunc(ctx, outer, func(tx pgx.Tx) error {
		t.tx = tx
		return f()
	})
}

// Current is the state of a key.
type Current struct {
	Exists bool
	Info   // when it exists
	// Trashed is the key's entry in the trash, nil when there is none.
	Trashed *Trashed
}

// Trashed is a key in the trash.
type Trashed struct {
	Number  int64 // of its last version
	Created time.Time
}

// Next returns the number of the next version.
func (c Current) Next() int64 {
	switch {
	case c.Exists:
		return c.Number + 1
	case c.Trashed != nil:
		return c.Trashed.Number + 1
	}
	return 1
}

// Current reads the state of a key of the user, without the value.
func (t *Transaction) Current(ctx context.Context, ref sealing.Ref) (c Current, err error) {
	rows, err := t.tx.Query(ctx, `
		SELECT number, version, sealed_metadata, metadata_version, size_bytes, created_at, updated_at, expires_at, false
		FROM vault_items WHERE user_id = $1 AND realm_id = $2 AND key = $3
		    AND (expires_at IS NULL OR expires_at > clock_timestamp())
		UNION ALL SELECT number, NULL, NULL, NULL, 0, created_at, deleted_at, NULL, true
		FROM vault_trash WHERE user_id = $1 AND realm_id = $2 AND key = $3 AND restorable_until > clock_timestamp()`,
		ref.User, ref.Realm, ref.Key)
	if err != nil {
		return c, err
	}
	var row Info
	var version *sealing.Version
	var trashed bool
	columns := append(row.columns(), &trashed)
	columns[1] = &version
	_, err = pgx.ForEachRow(rows, columns, func() error {
		if trashed {
			c.Trashed = &Trashed{Number: row.Number, Created: row.Created}
			return nil
		}
		c.Exists, c.Info = true, row
		c.Key, c.Version = ref.Key, *version
		return nil
	})
	return c, err
}

// Item reads one item with its value as Store.Item does.
func (t *Transaction) Item(ctx context.Context, ref sealing.Ref, inline int64, open func(Item) error) (bool, error) {
	rows, err := t.tx.Query(ctx, readItem, ref.User, ref.Realm, ref.Key, inline)
	if err != nil {
		return false, err
	}
	t.large = t.large || inline > largeMessage
	found, _, err := scanOne(rows, ref.Key, open)
	return found, err
}

// Write stores w.
func (t *Transaction) Write(ctx context.Context, w *Write) error {
	var row writeColumns
	t.large = t.large || len(w.Value) > largeMessage
	err := t.tx.QueryRow(ctx, writeItem, w.args()...).Scan(row.scan()...)
	if err == nil {
		w.setResult(row)
	}
	return err
}

// Remove deletes r.
func (t *Transaction) Remove(ctx context.Context, r *Removal) error { return r.run(ctx, t.tx) }

// largeMessage is the size in bytes above which a value is cleared from the connection.
const largeMessage = 1 << 20

// clearSQL has as many parameters and columns as the widest statement here. Each of them replaces a
// value that pgx still points to.
const clearSQL = `SELECT $1::int, $2::int, $3::int, $4::int, $5::int, $6::int, $7::int, $8::int, $9::int, $10::int,
	$11::int, $12::int, $13::int, $14::int, $15::int, $16::int, $17::int, $18::int, $19::int`

// clearValues removes large values from conn. pgx keeps the parameters of a connection's last
// statement, and the last row that it read, until the next statement replaces them. Without it an
// idle pool would hold two copies of a large value for each connection.
func clearValues(ctx context.Context, conn *pgxpool.Conn) {
	// If this fails, the connection is closed, which frees the memory too.
	_, _ = conn.Exec(ctx, clearSQL, make([]any, strings.Count(clearSQL, "$"))...)
}

func (t *Transaction) release(ctx context.Context, conn *pgxpool.Conn) {
	if t.large {
		clearValues(ctx, conn)
	}
	conn.Release()
}

// release returns conn to the pool after a statement with these values.
func release(ctx context.Context, conn *pgxpool.Conn, values []any) {
	defer conn.Release()
	for _, v := range values {
		if b, ok := v.([]byte); ok && len(b) > largeMessage {
			clearValues(ctx, conn)
			return
		}
	}
}
