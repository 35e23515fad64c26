package watch

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/db"
)

// Change is a change of one key.
type Change struct {
	Revision int64
	Realm    string
	Key      string
	Event    string // put, delete, restore or expire
	Version  int64  // that the change made or removed
	At       time.Time
}

// store reads changes. Every change is written by a transaction that locks the user's row of
// vault_usage until it ends, so revisions are committed in their order and a reader misses none.
type store struct{ pool *db.Pool }

// position returns the user's revision, and whether the change after the given one is kept: changes
// are kept for 24 hours.
func (s store) position(ctx context.Context, user string, after int64) (current int64, kept bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT coalesce(
			(SELECT revision FROM vault_usage WHERE user_id = $1),
			(SELECT max(revision) FROM vault_changes WHERE user_id = $1), 0),
		EXISTS (SELECT FROM vault_changes WHERE user_id = $1 AND revision = $2::bigint + 1
			AND at > now() - interval '24 hours')`, user, min(after, 1<<62)).Scan(&current, &kept)
	return current, kept, err
}

// after returns up to limit changes of the user after a revision.
func (s store) after(ctx context.Context, user string, revision int64, limit int) ([]Change, error) {
	rows, err := s.pool.Query(ctx, `SELECT revision, realm_id, key, event, number, at FROM vault_changes
		WHERE user_id = $1 AND revision > $2 ORDER BY revision LIMIT $3`, user, revision, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Change])
}

// revisions returns the revisions of those of the users who have any.
func (s store) revisions(ctx context.Context, users []string) (map[string]int64, error) {
	rows, err := s.pool.Query(ctx, `SELECT user_id, revision FROM vault_usage WHERE user_id = ANY($1)`, users)
	if err != nil {
		return nil, err
	}
	revisions := map[string]int64{}
	var user string
	var revision int64
	_, err = pgx.ForEachRow(rows, []any{&user, &revision}, func() error {
		revisions[user] = revision
		return nil
	})
	return revisions, err
}
