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

// readKeys returns all keys by activeFrom, oldest first, with their private keys decrypted.
func (k *Keyring) readKeys(ctx context.Context, q core.DBTX) ([]signingKey, error) {
	rows, err := q.Query(ctx, `SELECT id, sealed_private, created_at, signs_from
		FROM signing_keys ORDER BY signs_from, id`)
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

// AssociatedData returns the associated data with which the private seed of a key is sealed (see
// secrets.Sealer).
func AssociatedData(keyID string) string { return "signing-key:" + keyID }

// rotate creates a key if next asks for one, and deletes the keys that had expired by expiredBefore
// (none for the zero time). It holds a lock, so that only one replica does this at a time.
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

// lockKeys lets only this transaction create and delete keys until it ends. Others can read them.
func lockKeys(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE`)
	return err
}

// Revoke deletes a key, so that gateways refuse the tokens that it signed. If the key was the
// active or the newest one, a new key signs at once and replaced is true. The error for an unknown
// id lists the keys.
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

// addKey creates a key that signs from activeFrom on, and stores its seed sealed.
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
