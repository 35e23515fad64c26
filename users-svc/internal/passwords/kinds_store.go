package passwords

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/users-svc/internal/core"
)

// maxKinds bounds the list, because every kind costs one search in the index.
const maxKinds = 500

// listKinds returns the distinct kinds of password hashes. It skips from one kind to the next in
// the index users_hash_kind, so that the number of users does not matter.
func listKinds(ctx context.Context, q core.DBTX) ([]string, error) {
	rows, err := q.Query(ctx, `WITH RECURSIVE kinds AS (
			SELECT min(password_hash_kind(password_hash)) AS kind FROM users
			UNION ALL
			SELECT (SELECT min(password_hash_kind(u.password_hash)) FROM users u
				WHERE password_hash_kind(u.password_hash) > k.kind)
			FROM kinds k WHERE k.kind IS NOT NULL)
		SELECT kind FROM kinds WHERE kind IS NOT NULL LIMIT $1`, maxKinds)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
