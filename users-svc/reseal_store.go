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
		UPDATE signing_keys k SET sealed_private = n.renewed
		FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS n (id, before, renewed)
		WHERE k.id = n.id AND k.sealed_private = n.before`
	resealFactors = `
		UPDATE two_factor f SET secret = n.renewed
		FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS n (id, before, renewed)
		WHERE f.user_id = n.id AND f.secret = n.before`
)

// readSealed returns up to limit rows of the query list whose ids follow after.
func readSealed(ctx context.Context, q core.DBTX, list, after string, limit int) ([]sealedRow, error) {
	rows, err := q.Query(ctx, list, after, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r sealedRow, err error) {
		return r, row.Scan(&r.id, &r.sealed)
	})
}

// replaceSealed stores renewed secrets in place of before and returns how many rows it changed.
func replaceSealed(ctx context.Context, q core.DBTX, replace string, before, renewed []sealedRow) (int, error) {
	ids, oldSealed, newSealed := make([]string, len(renewed)), make([][]byte, len(renewed)), make([][]byte, len(renewed))
	for i, row := range renewed {
		ids[i], oldSealed[i], newSealed[i] = row.id, before[i].sealed, row.sealed
	}
	tag, err := q.Exec(ctx, replace, ids, oldSealed, newSealed)
	return int(tag.RowsAffected()), err
}
