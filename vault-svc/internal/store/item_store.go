package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/internalapi"
	"github.com/realmgate/realmgate/vault-svc/internal/keyrange"
)

// Removal deletes one item, or all items of a realm, and holds the result.
type Removal struct {
	User, Realm, Key string // no Key: all items of the realm
	// Retention is the time for which the trash keeps the items with their versions; 0: they are
	// deleted.
	Retention time.Duration
	Limits    Limits

	Count int64      // of the items
	Until *time.Time // with Retention: the end of the time in the trash
	// TooLarge reports that nothing was changed, because the values exceed the allowance of the
	// history.
	TooLarge bool
}

// querier is a pool or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Remove deletes r.
func (s *Store) Remove(ctx context.Context, r *Removal) error { return r.run(ctx, s.pool) }

func (r *Removal) run(ctx context.Context, q querier) error {
	var key *string
	if r.Key != "" {
		key = &r.Key
	}
	var retention *int64
	if r.Retention > 0 {
		n := r.Retention.Milliseconds()
		retention = &n
	}
	var status int16
	err := q.QueryRow(ctx, `SELECT * FROM vault_remove($1, $2, $3, $4, $5, $6)`, r.User, r.Realm, key, retention,
		r.Limits.Bytes, r.Limits.rows()).Scan(&status, &r.Count, &r.Until)
	r.TooLarge = status == 1
	return err
}

// Usage is the number and size of a user's stored items.
type Usage struct {
	RealmItems, RealmBytes int64 // of one realm
	TotalBytes             int64 // over all realms
	HistoryBytes           int64 // earlier versions of existing keys, over all realms
	TrashBytes             int64 // all versions of keys in the trash, over all realms
}

// Usage reads the account of a user and of one realm, without what has expired.
func (s *Store) Usage(ctx context.Context, user, realm string) (u Usage, err error) {
	err = s.pool.QueryRow(ctx, `
		WITH expired AS (
		    SELECT count(*) FILTER (WHERE i.realm_id = $2) AS realm_items,
		        sum(i.size_bytes) FILTER (WHERE i.realm_id = $2) AS realm_bytes,
		        sum(i.size_bytes) AS bytes, sum(v.bytes) AS history
		    FROM vault_items i CROSS JOIN LATERAL (SELECT sum(size_bytes) AS bytes FROM vault_versions v
		        WHERE v.user_id = i.user_id AND v.realm_id = i.realm_id AND v.key = i.key) v
		    WHERE i.user_id = $1 AND i.expires_at <= now()
		), ended AS (
		    SELECT sum(v.bytes) AS bytes
		    FROM vault_trash t CROSS JOIN LATERAL (SELECT sum(size_bytes) AS bytes FROM vault_versions v
		        WHERE v.user_id = t.user_id AND v.realm_id = t.realm_id AND v.key = t.key) v
		    WHERE t.user_id = $1 AND t.restorable_until <= now()
		)
		SELECT coalesce(r.items, 0) - expired.realm_items, coalesce(r.bytes, 0) - coalesce(expired.realm_bytes, 0),
		    coalesce(u.bytes, 0) - coalesce(expired.bytes, 0),
		    coalesce(u.history_bytes, 0) - coalesce(expired.history, 0),
		    coalesce(u.trash_bytes, 0) - coalesce(ended.bytes, 0)
		FROM expired CROSS JOIN ended LEFT JOIN vault_usage u ON u.user_id = $1
			LEFT JOIN vault_realms r ON r.user_id = $1 AND r.realm_id = $2`,
		user, realm).Scan(&u.RealmItems, &u.RealmBytes, &u.TotalBytes, &u.HistoryBytes, &u.TrashBytes)
	return u, err
}

// RangeUsage counts the items of a realm whose keys are in the ranges.
func (s *Store) RangeUsage(ctx context.Context, user, realm string, in keyrange.Ranges) (u Usage, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT count(*), coalesce(sum(size_bytes), 0)::bigint FROM unnest($3::text[], $4::text[]) AS bounds (lower, upper)
		JOIN vault_items ON user_id = $1 AND realm_id = $2 AND key >= lower AND key < upper AND `+unexpired,
		user, realm, in.Lower, in.Upper).Scan(&u.RealmItems, &u.RealmBytes)
	return u, err
}

// Realms lists the realms in which a user has items, ordered by id. The global scope is left out.
func (s *Store) Realms(ctx context.Context, user string) ([]internalapi.RealmUsage, error) {
	rows, err := s.pool.Query(ctx, `
		WITH expired AS (
		    SELECT realm_id, count(*) AS items, sum(size_bytes)::bigint AS bytes
		    FROM vault_items WHERE user_id = $1 AND expires_at <= now() GROUP BY realm_id
		)
		SELECT realm_id, r.items - coalesce(e.items, 0), r.bytes - coalesce(e.bytes, 0)
		FROM vault_realms r LEFT JOIN expired e USING (realm_id)
		WHERE r.user_id = $1 AND realm_id <> '' AND r.items > coalesce(e.items, 0) ORDER BY realm_id`, user)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (u internalapi.RealmUsage, err error) {
		return u, r.Scan(&u.RealmID, &u.Count, &u.SizeBytes)
	})
}
