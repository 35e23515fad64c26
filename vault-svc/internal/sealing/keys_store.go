package sealing

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/db"
)

// keyStore keeps wrapped data keys in vault_keys.
type keyStore struct{ pool *db.Pool }

type wrappedKey struct {
	wrapped []byte
	kek     uint32
}

type keyRow struct {
	user    string
	wrapped []byte
}

type rewrapped struct {
	user          string
	before, after []byte
}

// get returns the wrapped data key of a user. found is false when there is none.
func (s *keyStore) get(ctx context.Context, user string) (wrapped []byte, found bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT wrapped FROM vault_keys WHERE user_id = $1`, user).Scan(&wrapped)
	if db.IsNoRows(err) {
		return nil, false, nil
	}
	return wrapped, err == nil, err
}

// some returns up to limit data keys in any order, which keeps the statement cheap.
func (s *keyStore) some(ctx context.Context, limit int) ([]keyRow, error) {
	return s.rows(ctx, `SELECT user_id, wrapped FROM vault_keys LIMIT $1`, limit)
}

// add stores the data key of a user. It changes nothing when the user already has one.
func (s *keyStore) add(ctx context.Context, user string, k wrappedKey) error {
	_, err := s.pool.Exec(ctx, `
		INSERT INTO vault_keys (user_id, wrapped, kek_id) VALUES ($1, $2, $3) ON CONFLICT (user_id) DO NOTHING`,
		user, k.wrapped, int64(k.kek))
	return err
}

// countOthers counts the data keys that are not wrapped with kek.
func (s *keyStore) countOthers(ctx context.Context, kek uint32) (n int, err error) {
	err = s.pool.QueryRow(ctx, `SELECT count(*) FROM vault_keys WHERE kek_id <> $1`, int64(kek)).Scan(&n)
	return n, err
}

// others lists data keys that are not wrapped with kek, ordered by user, from the user after after.
func (s *keyStore) others(ctx context.Context, kek uint32, after string, limit int) ([]keyRow, error) {
	return s.rows(ctx, `
		SELECT user_id, wrapped FROM vault_keys WHERE kek_id <> $1 AND user_id > $2 ORDER BY user_id LIMIT $3`,
		int64(kek), after, limit)
}

func (s *keyStore) rows(ctx context.Context, query string, args ...any) ([]keyRow, error) {
	rows, err := s.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (k keyRow, err error) {
		return k, r.Scan(&k.user, &k.wrapped)
	})
}

// replace stores data keys that are now wrapped with kek and returns the number of stored keys. It
// skips a key that another process has replaced in the meantime.
func (s *keyStore) replace(ctx context.Context, kek uint32, keys []rewrapped) (int, error) {
	users, before, after := make([]string, len(keys)), make([][]byte, len(keys)), make([][]byte, len(keys))
	for i, k := range keys {
		users[i], before[i], after[i] = k.user, k.before, k.after
	}
	tag, err := s.pool.Exec(ctx, `
		UPDATE vault_keys k SET wrapped = n.after, kek_id = $1, wrapped_at = now()
		FROM unnest($2::text[], $3::bytea[], $4::bytea[]) AS n (user_id, before, after)
		WHERE k.user_id = n.user_id AND k.wrapped = n.before`, int64(kek), users, before, after)
	return int(tag.RowsAffected()), err
}
