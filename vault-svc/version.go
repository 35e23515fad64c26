package vault

import (
	"context"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/vault-svc/internal/keyrange"
	"github.com/realmgate/realmgate/vault-svc/internal/memory"
	"github.com/realmgate/realmgate/vault-svc/internal/precondition"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
	"github.com/realmgate/realmgate/vault-svc/internal/store"
)

// Versions lists all versions of a key that exists or is in the trash, newest first. The error is
// 404 VAULT_KEY_NOT_FOUND when there are none.
func (v *Vault) Versions(ctx context.Context, ref sealing.Ref) ([]store.Version, error) {
	list, err := v.items.Versions(ctx, ref)
	if err == nil && len(list) == 0 {
		err = keyNotFound()
	}
	return list, err
}

// Restoration is a request to make an earlier version the current one again.
type Restoration struct {
	sealing.Ref
	Version int64 // 0: the newest one of a key in the trash, the previous one of an existing key
	If      precondition.Conditions
}

// Restore stores the value and the metadata of an earlier version as a new version, also of a key
// in the trash, and returns it. The quota of limit bytes applies. The error is 404
// VAULT_KEY_NOT_FOUND when the key neither exists nor is in the trash, 404 VAULT_VERSION_NOT_FOUND,
// 412 PRECONDITION_FAILED or 413 VAULT_LIMIT_EXCEEDED. It reserves memory in reserved before it
// reads a large value.
func (v *Vault) Restore(ctx context.Context, r Restoration, limit int64,
	reserved *memory.Reservation) (Info, []byte, error) {
	key, err := v.keys.Find(ctx, r.User)
	if err == nil && key == nil {
		err = v.evaluateAbsent(r.If)
	}
	if err != nil {
		return Info{}, nil, err
	}
	p := &pendingWrite{key: key, Write: store.Write{Ref: r.Ref, Restore: true, Limits: v.limits(limit)}}
	v.metrics.writes.Inc()
	// The lock of the account must not wait for memory. A version that turns out to be larger ends
	// the transaction, and it runs again when there is memory.
	for need := int64(0); ; {
		if need > 0 {
			if err := reserved.Grow(ctx, memoryCopies*need); err != nil {
				return Info{}, nil, err
			}
		}
		inline := max(need, smallBody)
		err := v.locked(ctx, r.User, func(ctx context.Context, t *store.Transaction) (err error) {
			need, err = v.restoreIn(ctx, t, r, p, inline)
			return err
		})
		if err != nil {
			return Info{}, nil, err
		}
		if need == 0 {
			break
		}
	}
	info, _, err := v.written(p)
	return info, p.request.Value, err
}

// evaluateAbsent returns the error of a request about a key that does not exist.
func (v *Vault) evaluateAbsent(c precondition.Conditions) error {
	if err := evaluate(c, nil, false); err != nil {
		return err
	}
	return keyNotFound()
}

// restoreIn restores a version in a transaction. When it returns a size, it changed nothing, because
// the value is larger than inline bytes, and must run again with that many.
func (v *Vault) restoreIn(ctx context.Context, t *store.Transaction, r Restoration, p *pendingWrite,
	inline int64) (need int64, err error) {
	current, err := t.Current(ctx, r.Ref)
	if err != nil {
		return 0, err
	}
	if !current.Exists && current.Trashed == nil {
		return 0, v.evaluateAbsent(r.If)
	}
	if err := evaluate(r.If, currentInfo(r.Ref, current), false); err != nil {
		return 0, err
	}
	below := current.Next() // the newest version before this number is the default
	if current.Exists {
		below = current.Number
	}
	from, found, err := t.Version(ctx, r.Ref, r.Version, below, inline)
	switch {
	case err != nil:
		return 0, err
	case !found:
		return 0, versionNotFound()
	case from.Sealed == nil:
		return from.Size, nil
	}
	value, metadata, err := openRow(p.key, r.Ref, from)
	if err != nil {
		return 0, v.countOpenError(err)
	}
	p.request = Write{Ref: r.Ref, Value: value, Metadata: metadata}
	p.ValueBytes, p.MetadataBytes = int64(len(value)), int64(len(metadata))
	p.Expiry.Keep, p.Created = true, nil
	if current.Trashed != nil {
		p.Created = &current.Trashed.Created
	}
	if err := v.seal(p, current.Next()); err != nil {
		return 0, err
	}
	if err := t.Write(ctx, &p.Write); err != nil || p.Outcome != store.OtherNumber {
		return 0, err
	}
	return max(from.Size, 1), nil // the item has expired since current was read: all is read again
}

// Trash calls each for the keys in a realm's trash that a caller with the scope s may use, ordered
// by the bytes of the keys.
func (v *Vault) Trash(ctx context.Context, s scope, each func(store.TrashEntry) error) error {
	return v.items.Trash(ctx, s.user, s.realm, keyrange.Of(s.keys, ""), each)
}

// EmptyTrash removes all keys from a realm's trash, with their versions, and returns their number.
func (v *Vault) EmptyTrash(ctx context.Context, user, realm string) (int64, error) {
	return v.items.EmptyTrash(ctx, user, realm, "")
}

// DeleteTrashed removes one key from the trash, with its versions. The error is 404
// VAULT_KEY_NOT_FOUND when it is not there.
func (v *Vault) DeleteTrashed(ctx context.Context, ref sealing.Ref) error {
	n, err := v.items.EmptyTrash(ctx, ref.User, ref.Realm, ref.Key)
	if err == nil && n == 0 {
		err = keyNotFound()
	}
	return err
}

// versionNotFound returns 404 VAULT_VERSION_NOT_FOUND.
func versionNotFound() error {
	return apperr.New(apperr.NotFound, "VAULT_VERSION_NOT_FOUND", "Vault key version not found.")
}
