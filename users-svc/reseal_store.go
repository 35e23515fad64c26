package users

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/users-svc/internal/core"
)

const (
	listSigningKeys = `SELECT id, sealed_private FROM signing_keys WHERE id > $1 ORDER BY id LIMIT $2`
	listFactors     = `SELECT user_id, secret FROM two_factor WHERE user_id > $1 ORDER BY user_id LIMIT $2`

	resealSigningKeys = `
		UPDATE signing_keys k SET sealed_private = n.again FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS n (id, before, again)
		WHERE k.id = n.id AND k.sealed_private = n.before`
	resealFactors = `
		UPDATE two_factor f SET secret = n.again FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS n (id, before, again)
		WHERE f.user_id = n.id AND f.secret = n.before`
)

func readSealed(ctx context.Context, q core.DBTX, list, after string, limit int) ([]sealedRow, error) {
	rows, err := q.Query(ctx, list, after, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r sealedRow, err error) {
		return r, row.Scan(&r.id, &r.sealed)
	})
}

// replaceSealed returns how many rows it changed.
func replaceSealed(ctx context.Context, q core.DBTX, replace string, before, again []sealedRow) (int, error) {
	ids, old, renewed := make([]string, len(again)), make([][]byte, len(again)), make([][]byte, len(again))
	for i, row := range again {
		ids[i], old[i], renewed[i] = row.id, before[i].sealed, row.sealed
	}
	tag, err := q.Exec(ctx, replace, ids, old, renewed)
	return int(tag.RowsAffected()), err
}
