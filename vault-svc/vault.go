package vault

import (
	"context"
	"sync/atomic"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/internalapi"
	"github.com/realmgate/realmgate/vault-svc/internal/batch"
	"github.com/realmgate/realmgate/vault-svc/internal/keyrange"
	"github.com/realmgate/realmgate/vault-svc/internal/memory"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
)

// Vault implements the rules of the vault. It seals and opens items; its store keeps the rows and
// the accounts of their sizes.
type Vault struct {
	items  *itemStore
	reads  *batch.Batcher[itemRead]
	writes *batch.Batcher[itemWrite]
	// unbatched runs each write in a statement of its own: large values, and writes whose batch was
	// rolled back. Writes of one user run one at a time here too, so that writes which wait for the
	// lock of one account occupy a single connection.
	unbatched  *batch.Batcher[itemWrite]
	largeReads atomic.Int64 // statements that read one large value
	keys       *sealing.Keys
	maxItems   int64
	metrics    *metrics
}

// Put stores w if a quota of limit bytes over all realms allows it. It returns the stored item and
// reports whether it is new. When the quota does not allow it, nothing changes and the error is 413
// VAULT_LIMIT_EXCEEDED.
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

// write stores an item in a batch with other users' items. A large item, or one whose batch was
// rolled back, is stored by itself.
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

// quotaExceeded counts a write that the user's quota refuses, and returns its error.
func (v *Vault) quotaExceeded() error {
	v.metrics.quotaRefusals.Inc()
	return limitExceeded()
}

// Get returns an item and its value. It reserves memory in reserved before it reads a large value.
// The error is 404 VAULT_KEY_NOT_FOUND when there is no such item. An item that does not open is an
// internal error; it never yields another value.
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
	// A large value is read after its memory has been reserved. The loop repeats when a larger
	// value has been written in the meantime.
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

// readSmall reads an item in a batch with other reads. It leaves out a large value.
func (v *Vault) readSmall(ctx context.Context, ref sealing.Ref, open func(storedItem) error) (bool, error) {
	r := &itemRead{ref: ref}
	if err := v.reads.Do(ctx, r); err != nil || !r.found {
		return false, err
	}
	return true, open(r.storedItem)
}

// readLarge reads an item in a statement of its own, with its value if that has at most size bytes.
func (v *Vault) readLarge(ctx context.Context, ref sealing.Ref, size int64, open func(storedItem) error) (bool, error) {
	v.largeReads.Add(1)
	return v.items.read(ctx, ref, size, open)
}

// countOpenError counts err unless it is nil, and returns it.
func (v *Vault) countOpenError(err error) error {
	if err != nil {
		v.metrics.openErrors.Inc()
	}
	return err
}

// Page is a part of the items of a realm, ordered by the bytes of their keys.
type Page struct {
	User, Realm string
	Prefix      string // of the keys
	Limit       int    // most items; 0: all
	Cursor      string // Next of the page before; "": the first page
	ranges      keyrange.Ranges
	Next        string // set by List; "" when no items follow
}

// maxPage is the highest limit of a page, and maxCursor the most characters of a cursor.
const (
	maxPage   = 1000
	maxCursor = 1024
)

// List calls each for every item of the page, with its metadata and without its value, and sets
// p.Next. The error is 400 VALIDATION_ERROR when the cursor belongs to another user, realm or
// prefix.
func (v *Vault) List(ctx context.Context, p *Page, each func(Info) error) error {
	key, err := v.keys.Find(ctx, p.User)
	if err != nil {
		return err
	}
	ranges := p.ranges
	if p.Cursor != "" {
		var after string
		ok := key != nil
		if ok {
			after, ok = key.OpenCursor(p.Realm, p.Prefix, p.Cursor)
		}
		if !ok {
			return apperr.InvalidField("/cursor", "must be the next_cursor of a page of the same realm and prefix")
		}
		ranges = ranges.After(after)
	}
	if key == nil || ranges.Empty() {
		return nil
	}
	last, n := "", 0
	return v.items.list(ctx, p.User, p.Realm, ranges, p.Limit, func(row sealedInfo) error {
		if n++; p.Limit > 0 && n > p.Limit { // the row after the page says only that there is one
			p.Next, err = key.SealCursor(p.Realm, p.Prefix, last)
			return err
		}
		last = row.key
		ref := sealing.Ref{User: p.User, Realm: p.Realm, Key: row.key}
		info := row.info(ref)
		var err error
		if info.Metadata, err = openMetadata(key, ref, row); err != nil {
			return v.countOpenError(err)
		}
		return each(info)
	})
}

// Delete removes one item. The error is 404 VAULT_KEY_NOT_FOUND when there is none.
func (v *Vault) Delete(ctx context.Context, ref sealing.Ref) error {
	found, err := v.items.remove(ctx, ref)
	if err == nil && !found {
		err = keyNotFound()
	}
	return err
}

// Clear removes all items of one realm ("" is the global scope) and returns their number.
func (v *Vault) Clear(ctx context.Context, user, realm string) (int64, error) {
	return v.items.clear(ctx, user, realm)
}

// Stats reports the size of the realm, and compares the whole account with the quota. For an auth
// token that is limited to some keys it reports the size of these.
func (v *Vault) Stats(ctx context.Context, s scope) (Stats, error) {
	if len(s.keys.Prefixes) > 0 {
		u, err := v.items.rangeUsage(ctx, s.user, s.realm, keyrange.Of(s.keys, ""))
		return newTotals(u), err
	}
	u, err := v.items.usage(ctx, s.user, s.realm)
	return newStats(u, s.quota), err
}

// Realms lists the realms in which a user has items.
func (v *Vault) Realms(ctx context.Context, user string) ([]internalapi.RealmUsage, error) {
	return v.items.realms(ctx, user)
}

func (r sealedInfo) info(ref sealing.Ref) Info {
	return Info{Ref: ref, SizeBytes: r.size, CreatedAt: r.created, UpdatedAt: r.updated}
}
