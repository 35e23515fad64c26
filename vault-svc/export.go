package vault

import (
	"context"
	"errors"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/vault-svc/internal/keyrange"
	"github.com/realmgate/realmgate/vault-svc/internal/memory"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
	"github.com/realmgate/realmgate/vault-svc/internal/store"
)

// An export reads keysPerPage keys with their sizes, and then their items in chunks of at most
// itemsPerChunk small items and bytesPerChunk bytes, or of one large item. No transaction spans
// two of these statements.
const (
	keysPerPage   = 1000
	itemsPerChunk = maxBatch
	bytesPerChunk = 1 << 20
)

// Export calls each for every item in the ranges, ordered by key, with its value as it is at that
// moment. It reserves memory in reserved for the values of one chunk, and waits for it.
func (v *Vault) Export(ctx context.Context, s scope, in keyrange.Ranges, reserved *memory.Reservation,
	each func(Info, []byte) error) error {
	key, err := v.keys.Find(ctx, s.user)
	if key == nil || err != nil {
		return err
	}
	for !in.Empty() {
		page, err := v.items.Keys(ctx, s.user, s.realm, in, keysPerPage)
		if err != nil || len(page) == 0 {
			return err
		}
		in = in.After(page[len(page)-1].Key)
		for len(page) > 0 {
			n, size := chunk(page)
			if err := v.exportChunk(ctx, s, key, page[:n], size, reserved, each); err != nil {
				return err
			}
			page = page[n:]
		}
	}
	return nil
}

// chunk returns how many items at the start of the page are read together, and their bytes.
func chunk(page []store.KeySize) (n int, size int64) {
	for n < len(page) && n < itemsPerChunk {
		next := page[n].Size
		if n > 0 && (next > smallBody || size+next > bytesPerChunk) {
			break
		}
		n, size = n+1, size+next
		if next > smallBody {
			break
		}
	}
	return n, size
}

// exportChunk reads the items of a chunk. An item that was deleted meanwhile is left out.
func (v *Vault) exportChunk(ctx context.Context, s scope, key *sealing.DataKey, keys []store.KeySize, size int64,
	reserved *memory.Reservation, each func(Info, []byte) error) error {
	defer reserved.Release()
	if err := waitFor(ctx, reserved, memoryCopies*size); err != nil {
		return err
	}
	reads := make([]*store.Read, len(keys))
	for i, k := range keys {
		reads[i] = &store.Read{Ref: sealing.Ref{User: s.user, Realm: s.realm, Key: k.Key}, Inline: smallBody}
	}
	if err := v.items.ReadBatch(ctx, reads); err != nil {
		return err
	}
	for _, r := range reads {
		if !r.Found {
			continue
		}
		info, value, err := newInfo(r.Ref, r.Info), []byte(nil), error(nil)
		if r.Sealed == nil {
			info, value, err = v.exportLarge(ctx, r.Ref, reserved)
		} else {
			value, info.Metadata, err = openRow(key, r.Ref, r.Item)
			err = v.countOpenError(err)
		}
		switch {
		case apperr.Is(err, "VAULT_KEY_NOT_FOUND"):
			continue
		case err == nil:
			err = each(info, value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// exportLarge reads one item like Get, as often as there is no memory for it.
func (v *Vault) exportLarge(ctx context.Context, ref sealing.Ref,
	reserved *memory.Reservation) (info Info, value []byte, err error) {
	for {
		info, value, err = v.Get(ctx, Read{Ref: ref}, reserved)
		if !errors.Is(err, memory.ErrBusy) || ctx.Err() != nil {
			return info, value, err
		}
	}
}

// waitFor reserves n bytes, as long as it takes: an export that waits occupies nothing.
func waitFor(ctx context.Context, reserved *memory.Reservation, n int64) error {
	for {
		if err := reserved.Grow(ctx, n); err == nil || ctx.Err() != nil {
			return err
		}
	}
}
