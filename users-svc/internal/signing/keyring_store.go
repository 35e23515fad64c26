package signing

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/users-svc/internal/core"
)

func (k *Keyring) readKeys(ctx context.Context, q core.DBTX) ([]signingKey, error) {
	rows, err := q.Query(ctx, `SELECT id, sealed_private, created_at, signs_from FROM signing_keys ORDER BY signs_from, id`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (signingKey, error) {
		var key signingKey
		var sealed []byte
		if err := row.Scan(&key.ID, &sealed, &key.createdAt, &key.activeFrom); err != nil {
			return key, err
		}
		seed, err := k.sealer.Open(sealed, AssociatedData(key.ID))
		if err != nil {
			return key, err
		}
		if len(seed) != ed25519.SeedSize {
			return key, fmt.Errorf("signing key %s: its seed has %d bytes", key.ID, len(seed))
		}
		key.Private = ed25519.NewKeyFromSeed(seed)
		return key, nil
	})
}

// AssociatedData ties a sealed seed to its key.
func AssociatedData(keyID string) string { return "signing-key:" + keyID }

// rotate adds a key when next says so, and deletes those that have expired at the time expiry, the
// zero time for none; one replica at a time.
func (k *Keyring) rotate(ctx context.Context, expiredBefore time.Time,
	next func([]signingKey) (activeFrom time.Time, wanted bool)) error {
	return db.InTx(ctx, k.Pool, func(tx pgx.Tx) error {
		if err := lockKeys(ctx, tx); err != nil {
			return err
		}
		keys, err := k.readKeys(ctx, tx)
		if err != nil {
			return err
		}
		if expiredIDs := k.expired(keys, expiredBefore); len(expiredIDs) > 0 {
			if _, err := tx.Exec(ctx, `DELETE FROM signing_keys WHERE id = ANY($1)`, expiredIDs); err != nil {
				return err
			}
		}
		activeFrom, wanted := next(keys)
		if !wanted {
			return nil
		}
		return k.addKey(ctx, tx, activeFrom)
	})
}

// lockKeys lets one at a time change which keys there are, until the end of tx; others may read
// them.
func lockKeys(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE`)
	return err
}

// Revoke deletes a key, so that no gateway takes what it signed. When it was the newest or the one
// that signs, a new one signs at once, which replaced says.
func (k *Keyring) Revoke(ctx context.Context, keyID string) (replaced bool, err error) {
	err = db.InTx(ctx, k.Pool, func(tx pgx.Tx) error {
		if err := lockKeys(ctx, tx); err != nil {
			return err
		}
		keys, err := k.readKeys(ctx, tx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(keys, func(key signingKey) bool { return key.ID == keyID })
		if i < 0 {
			return unknownKeyError{keyID, keys, k.Now()}
		}
		if _, err := tx.Exec(ctx, `DELETE FROM signing_keys WHERE id = $1`, keyID); err != nil {
			return err
		}
		var activeFrom time.Time
		if activeFrom, replaced = k.replacementFor(keys, i); !replaced {
			return nil
		}
		return k.addKey(ctx, tx, activeFrom)
	})
	return replaced, err
}

func (k *Keyring) addKey(ctx context.Context, tx pgx.Tx, activeFrom time.Time) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	key := auth.SigningKey{ID: id.New(k.Now()), Private: private}
	_, err = tx.Exec(ctx, `INSERT INTO signing_keys (id, public_key, sealed_private, created_at, signs_from)
		VALUES ($1, $2, $3, clock_timestamp(), $4)`,
		key.ID, []byte(public), k.sealer.Seal(private.Seed(), AssociatedData(key.ID)), activeFrom)
	return err
}
