package vault

import (
	"context"
	"errors"
)

// Vault does what the API offers: it seals and opens, and leaves rows and accounts to its store.
type Vault struct {
	items    *itemStore
	keys     *Keys
	maxItems int64
	metrics  *metrics
}

// Put stores w within a quota of limit bytes over all realms and returns the item as it is then, and whether it is new.
// The error is 413 VAULT_LIMIT_EXCEEDED, and nothing has changed, when the quota does not allow it.
func (v *Vault) Put(ctx context.Context, w Write, limit int64) (Info, bool, error) {
	max := limits{bytes: limit, items: v.maxItems}
	if w.size() > smallBody {
		if fits, err := v.items.fits(ctx, w, max); err != nil || !fits {
			return Info{}, false, v.refused(err)
		}
	}
	key, err := v.keys.Ensure(ctx, w.User)
	if err != nil {
		return Info{}, false, err
	}
	sealed, err := seal(key, w)
	if err != nil {
		v.metrics.sealErrors.Inc()
		return Info{}, false, err
	}
	row, created, err := v.items.put(ctx, sealed, max)
	switch {
	case errors.Is(err, errOverQuota):
		return Info{}, false, v.refused(nil)
	case err != nil:
		return Info{}, false, err
	}
	info := row.info(w.Ref)
	if info.Metadata = w.Metadata; w.KeepMetadata {
		info.Metadata, err = key.openMetadata(w.Ref, row)
		err = v.opened(err)
	}
	return info, created, err
}

// refused returns err, or the refusal of the quota when there is none.
func (v *Vault) refused(err error) error {
	if err == nil {
		v.metrics.quotaRefusals.Inc()
		err = limitExceeded()
	}
	return err
}

func seal(key *DataKey, w Write) (s sealedWrite, err error) {
	s = sealedWrite{
		Ref: w.Ref, version: newVersion(), keepMetadata: w.KeepMetadata, valueBytes: int64(len(w.Value)), metadataBytes: int64(len(w.Metadata)),
	}
	if s.value, err = key.Seal(valuePart, w.Ref, s.version, w.Value); err != nil || w.Metadata == nil {
		return s, err
	}
	v := newVersion()
	s.metadataVersion = &v
	s.metadata, err = key.Seal(metadataPart, w.Ref, v, w.Metadata)
	return s, err
}

// Get returns an item and its value. Memory for a large one is taken from hold first. The error is 404 VAULT_KEY_NOT_FOUND when there is none;
// an item that does not open is an internal error, never another value.
func (v *Vault) Get(ctx context.Context, ref Ref, hold *Hold) (info Info, value []byte, err error) {
	key, err := v.keys.Find(ctx, ref.User)
	if err != nil {
		return info, nil, err
	}
	if key == nil {
		return info, nil, keyNotFound()
	}
	for room := int64(smallBody); value == nil; {
		found, err := v.items.get(ctx, ref, room, func(row sealedInfo, version Version, sealed []byte) error {
			info = row.info(ref)
			if sealed == nil {
				return nil
			}
			value, info.Metadata, err = key.openRow(ref, row, version, sealed)
			return v.opened(err)
		})
		switch {
		case err != nil:
			return info, nil, err
		case !found:
			return info, nil, keyNotFound()
		}
		if value == nil { // too large to read without asking; larger yet if it was overwritten meanwhile
			room = info.SizeBytes
			if err := hold.Take(ctx, copies*room); err != nil {
				return info, nil, err
			}
		}
	}
	return info, value, nil
}

// opened counts err, when there is one, and returns it.
func (v *Vault) opened(err error) error {
	if err != nil {
		v.metrics.openErrors.Inc()
	}
	return err
}

// List calls each for the items of a realm in the order of their keys, bytewise, with their metadata and without their values.
func (v *Vault) List(ctx context.Context, user, realm string, each func(Info) error) error {
	key, err := v.keys.Find(ctx, user)
	if key == nil || err != nil {
		return err
	}
	return v.items.list(ctx, user, realm, func(row sealedInfo) error {
		ref := Ref{User: user, Realm: realm, Key: row.key}
		info := row.info(ref)
		var err error
		if info.Metadata, err = key.openMetadata(ref, row); err != nil {
			return v.opened(err)
		}
		return each(info)
	})
}

// Delete removes one item; 404 VAULT_KEY_NOT_FOUND when there is none.
func (v *Vault) Delete(ctx context.Context, ref Ref) error {
	found, err := v.items.remove(ctx, ref)
	if err == nil && !found {
		err = keyNotFound()
	}
	return err
}

// Clear removes all items of one realm scope and returns how many there were.
func (v *Vault) Clear(ctx context.Context, user, realm string) (int64, error) {
	return v.items.clear(ctx, user, realm)
}

// Stats reports what a realm holds, and the whole account against a quota of limit bytes.
func (v *Vault) Stats(ctx context.Context, user, realm string, limit int64) (Stats, error) {
	u, err := v.items.usage(ctx, user, realm)
	return newStats(u, limit), err
}

// Realms lists the realms in which a user has items.
func (v *Vault) Realms(ctx context.Context, user string) ([]RealmUsage, error) {
	return v.items.realms(ctx, user)
}

func (r sealedInfo) info(ref Ref) Info {
	return Info{Ref: ref, SizeBytes: r.size, CreatedAt: r.created, UpdatedAt: r.updated}
}
