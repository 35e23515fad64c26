package store

import (
	"context"
	"time"

	"github.com/realmgate/realmgate/vault-svc/internal/keyrange"
)

// TrashEntry is a key in the trash.
type TrashEntry struct {
	Key        string
	Number     int64 // of its last version
	Size       int64 // of that version
	Deleted    time.Time
	Restorable time.Time // the end of its time there
}

// Trash calls each for the keys in a realm's trash that are in the ranges, ordered by the bytes of
// the keys.
func (s *Store) Trash(ctx context.Context, user, realm string, in keyrange.Ranges, each func(TrashEntry) error) error {
	rows, err := s.pool.Query(ctx, `
		SELECT t.key, t.number, v.size_bytes, t.deleted_at, t.restorable_until
		FROM unnest($3::text[], $4::text[]) AS bounds (lower, upper)
		JOIN vault_trash t ON t.user_id = $1 AND t.realm_id = $2 AND t.key >= lower AND t.key < upper
		JOIN vault_versions v
		    ON v.user_id = t.user_id AND v.realm_id = t.realm_id AND v.key = t.key AND v.number = t.number
		WHERE t.restorable_until > now() ORDER BY t.key`, user, realm, in.Lower, in.Upper)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var e TrashEntry
		if err := rows.Scan(&e.Key, &e.Number, &e.Size, &e.Deleted, &e.Restorable); err != nil {
			return err
		}
		if err := each(e); err != nil {
			return err
		}
	}
	return rows.Err()
}

// EmptyTrash removes one key, or all when key is "", from a realm's trash, with their versions. It
// returns the number of those whose time had not ended.
func (s *Store) EmptyTrash(ctx context.Context, user, realm, key string) (n int64, err error) {
	var one *string
	if key != "" {
		one = &key
	}
	err = s.pool.QueryRow(ctx, `SELECT coalesce(vault_empty_trash($1, $2, $3), 0)`, user, realm, one).Scan(&n)
	return n, err
}
