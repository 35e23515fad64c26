package vault

import (
	"context"
	"sync/atomic"

	"github.com/realmgate/realmgate/pkg/internalapi"
	"github.com/realmgate/realmgate/vault-svc/internal/batch"
	"github.com/realmgate/realmgate/vault-svc/internal/memory"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
)

// Vault has the rules of the vault: it seals and opens items, and leaves rows and accounts to its
// store.
type Vault struct {
	items  *itemStore
	reads  *batch.Batcher[itemRead]
	writes *batch.Batcher[itemWrite]
	// unbatched are the writes that share no statement. They, too, run one at a time for a user, so
	// that writes that wait for the lock of one account hold one connection and not all.
	unbatched  *batch.Batcher[itemWrite]
	largeReads atomic.Int64 // statements that read one large value
	keys       *sealing.Keys
	maxItems   int64
	metrics    *metrics
}

// Put stores w within a quota of limit bytes over all realms and returns the item as it is then,
// and whether it is new. The error is 413 VAULT_LIMIT_EXCEEDED, and nothing has changed, when the
// quota does not allow it.
func (v *Vault) Put(ctx context.Context, w Write, limit int64) (Info, bool, error) {
	max := limits{bytes: limit, items: v.maxItems}
	if w.size() > smallBody {
		fits, err := v.items.fits(ctx, w, max)
		if err != nil {
			return Info{}, false, err
		}
		if !fits {
			return Info{}, false, v.quotaExceeded()
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
		return Info{}, false, v.quotaExceeded()
	}
	info := put.row.info(w.Ref)
	if info.Metadata = w.Metadata; w.KeepMetadata {
		info.Metadata, err = openMetadata(key, w.Ref, put.row)
		err = v.countOpenError(err)
	}
	return info, put.created, err
}

// write stores an item in a batch with other users' items, unless it is large.
func (v *Vault) write(ctx context.Context, put *itemWrite, size int64) error {
	v.metrics.writes.Inc()
	if size > smallBody {
		return v.unbatched.Do(ctx, put)
	}
	err := v.writes.Do(ctx, put)
	if err == nil && put.retryUnbatched {
		err = v.unbatched.Do(ctx, put)
	}
	return err
}

// quotaExceeded counts and returns the refusal of a write by the user's quota.
func (v *Vault) quotaExceeded() error {
	v.metrics.quotaRefusals.Inc()
	return limitExceeded()
}

// Get returns an item and its value. Memory for a large one is taken into reserved first. The error
// is 404 VAULT_KEY_NOT_FOUND when there is none; an item that does not open is an internal error,
// never another value.
func (v *Vault) Get(ctx context.Context, ref sealing.Ref,
	reserved *memory.Reservation) (info Info, value []byte, err error) {
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
		return v.countOpenError(err)
	}
	v.metrics.reads.Inc()
	found, err := v.readSmall(ctx, ref, open)
	// A large value needs memory before it is read. It may have been overwritten by a larger one
	// meanwhile.
	for err == nil && found && value == nil {
		if err = reserved.Grow(ctx, memoryCopies*info.SizeBytes); err == nil {
			found, err = v.readLarge(ctx, ref, info.SizeBytes, open)
		}
	}
	if err == nil && !found {
		err = keyNotFound()
	}
	return info, value, err
}

// readSmall reads an item, without a large value, in a batch with other reads.
func (v *Vault) readSmall(ctx context.Context, ref sealing.Ref, open func(storedItem) error) (bool, error) {
	r := &itemRead{ref: ref}
	if err := v.reads.Do(ctx, r); err != nil || !r.found {
		return false, err
	}
	return true, open(r.storedItem)
}

// readLarge reads an item whose value has at most size bytes by a statement of its own.
func (v *Vault) readLarge(ctx context.Context, ref sealing.Ref, size int64, open func(storedItem) error) (bool, error) {
	v.largeReads.Add(1)
	return v.items.read(ctx, ref, size, open)
}

// countOpenError counts err, when there is one, and returns it.
func (v *Vault) countOpenError(err error) error {
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
			return v.countOpenError(err)
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

// Stats reports the size of a realm, and of the whole account against a quota of limit bytes.
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
