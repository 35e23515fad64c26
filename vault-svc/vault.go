package vault

import (
	"context"

	"github.com/realmgate/realmgate/pkg/internalapi"
	"github.com/realmgate/realmgate/pkg/trace"
	"github.com/realmgate/realmgate/vault-svc/internal/memory"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
)

// Vault does what the API offers: it seals and opens, and leaves rows and accounts to its store.
type Vault struct {
	items  *itemStore
	reads  *together[itemRead]
	writes *together[itemWrite]
	// alone are the writes that share no statement. They, too, are done one at a time for a user,
	// so that those who wait for a lock of a user's account hold one connection and not all.
	alone    *together[itemWrite]
	keys     *sealing.Keys
	maxItems int64
	metrics  *metrics
}

// Put stores w within a quota of limit bytes over all realms and returns the item as it is then,
// and whether it is new. The error is 413 VAULT_LIMIT_EXCEEDED, and nothing has changed, when the
// quota does not allow it.
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
	put := &itemWrite{sealedWrite: sealed, max: max}
	switch err := v.write(ctx, put, w.size()); {
	case err != nil:
		return Info{}, false, err
	case put.err != nil:
		return Info{}, false, v.refused(nil)
	}
	info := put.row.info(w.Ref)
	if info.Metadata = w.Metadata; w.KeepMetadata {
		info.Metadata, err = openMetadata(key, w.Ref, put.row)
		err = v.opened(err)
	}
	return info, put.created, err
}

// write stores an item together with what others store, unless it is large or traced: the statement
// of what is traced is in its trace.
func (v *Vault) write(ctx context.Context, put *itemWrite, size int64) error {
	v.metrics.writes.Inc()
	if size > smallBody || trace.Current(ctx).Kept() {
		return v.alone.do(ctx, put)
	}
	err := v.writes.do(ctx, put)
	if err == nil && put.alone {
		err = v.alone.do(ctx, put)
	}
	return err
}

// refused returns err, or the refusal of the quota when there is none.
func (v *Vault) refused(err error) error {
	if err == nil {
		v.metrics.quotaRefusals.Inc()
		err = limitExceeded()
	}
	return err
}

// Get returns an item and its value. Memory for a large one is taken into reserved first. The error
// is 404 VAULT_KEY_NOT_FOUND when there is none; an item that does not open is an internal error,
// never another value.
func (v *Vault) Get(ctx context.Context, ref sealing.Ref, reserved *memory.Reservation) (info Info, value []byte, err error) {
	key, err := v.keys.Find(ctx, ref.User)
	if err != nil {
		return info, nil, err
	}
	if key == nil {
		return info, nil, keyNotFound()
	}
	open := func(row storedItem) error {
		info = row.info(ref)
		if row.sealed == nil {
			return nil
		}
		value, info.Metadata, err = openRow(key, ref, row)
		return v.opened(err)
	}
	v.metrics.reads.Inc()
	found, err := v.readSmall(ctx, ref, open)
	// too large to read without asking; larger yet if it was overwritten meanwhile
	for err == nil && found && value == nil {
		if err = reserved.Grow(ctx, memoryCopies*info.SizeBytes); err == nil {
			found, err = v.readAlone(ctx, ref, info.SizeBytes, open)
		}
	}
	if err == nil && !found {
		err = keyNotFound()
	}
	return info, value, err
}

// readSmall reads an item without a large value together with what others read, unless it is
// traced.
func (v *Vault) readSmall(ctx context.Context, ref sealing.Ref, open func(storedItem) error) (bool, error) {
	if trace.Current(ctx).Kept() {
		return v.readAlone(ctx, ref, smallBody, open)
	}
	r := &itemRead{ref: ref}
	if err := v.reads.do(ctx, r); err != nil || !r.found {
		return false, err
	}
	return true, open(r.storedItem)
}

// readAlone reads an item, without a value larger than inline bytes, by a statement of its own.
func (v *Vault) readAlone(ctx context.Context, ref sealing.Ref, inline int64, open func(storedItem) error) (bool, error) {
	v.reads.statements.Add(1)
	return v.items.read(ctx, ref, inline, open)
}

// opened counts err, when there is one, and returns it.
func (v *Vault) opened(err error) error {
	if err != nil {
		v.metrics.openErrors.Inc()
	}
	return err
}

// List calls each for the items of a realm in the order of their keys, bytewise, with their
// metadata and without their values.
func (v *Vault) List(ctx context.Context, user, realm string, each func(Info) error) error {
	key, err := v.keys.Find(ctx, user)
	if key == nil || err != nil {
		return err
	}
	return v.items.list(ctx, user, realm, func(row sealedInfo) error {
		ref := sealing.Ref{User: user, Realm: realm, Key: row.key}
		info := row.info(ref)
		var err error
		if info.Metadata, err = openMetadata(key, ref, row); err != nil {
			return v.opened(err)
		}
		return each(info)
	})
}

// Delete removes one item; 404 VAULT_KEY_NOT_FOUND when there is none.
func (v *Vault) Delete(ctx context.Context, ref sealing.Ref) error {
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
func (v *Vault) Realms(ctx context.Context, user string) ([]internalapi.RealmUsage, error) {
	return v.items.realms(ctx, user)
}

func (r sealedInfo) info(ref sealing.Ref) Info {
	return Info{Ref: ref, SizeBytes: r.size, CreatedAt: r.created, UpdatedAt: r.updated}
}
