package vault

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/internalapi"
	"github.com/realmgate/realmgate/vault-svc/internal/batch"
	"github.com/realmgate/realmgate/vault-svc/internal/keyrange"
	"github.com/realmgate/realmgate/vault-svc/internal/memory"
	"github.com/realmgate/realmgate/vault-svc/internal/precondition"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
	"github.com/realmgate/realmgate/vault-svc/internal/store"
)

// Vault implements the rules of the vault. It seals and opens items; its store keeps the rows and
// the accounts of their sizes.
type Vault struct {
	items  *store.Store
	reads  *batch.Batcher[store.Read]
	writes *batch.Batcher[pendingWrite]
	// unbatched runs each operation by itself: large values, transactions, and writes whose batch
	// was rolled back. Operations of one user run one at a time here too, so that those which wait
	// for the lock of one account occupy a single connection.
	unbatched   *batch.Batcher[lockedOp]
	largeReads  atomic.Int64 // statements that read one large value or an earlier version
	keys        *sealing.Keys
	numbers     numbers
	maxItems    int64
	maxVersions int64         // VAULT_VERSIONS
	retention   time.Duration // VAULT_TRASH_RETENTION; 0: no trash
	metrics     *metrics
	// onChange is called after each commit that added rows to vault_changes for the user. It may be
	// nil and must not block.
	onChange func(user string)
}

// changed tells that the user's items changed.
func (v *Vault) changed(user string) {
	if v.onChange != nil {
		v.onChange(user)
	}
}

// Read is a request for one item.
type Read struct {
	sealing.Ref
	Version int64 // 0: the current one
	If      precondition.Conditions
}

// Get returns an item and its value. It reserves memory in reserved before it reads a large value.
// The error is 404 VAULT_KEY_NOT_FOUND when there is no such item, 404 VAULT_VERSION_NOT_FOUND when
// r names a version that does not exist, errNotModified or 412 PRECONDITION_FAILED by the
// conditions. An item that does not open is an internal error; it never yields another value.
func (v *Vault) Get(ctx context.Context, r Read, reserved *memory.Reservation) (info Info, value []byte, err error) {
	missing := keyNotFound
	if r.Version > 0 {
		missing = versionNotFound
	}
	key, err := v.keys.Find(ctx, r.User)
	if err != nil {
		return info, nil, err
	}
	if key == nil {
		return info, nil, missing()
	}
	if r.Version > 0 && !r.If.IsZero() {
		if r, err = v.currentIfNamed(ctx, r); err != nil {
			return info, nil, err
		}
	}
	open := func(row store.Item) error {
		info = newInfo(r.Ref, row.Info)
		if r.Version == 0 {
			v.numbers.learn(r.Ref, info.Number)
			if err := evaluate(r.If, &info, true); err != nil {
				return err
			}
		}
		if row.Sealed == nil {
			return nil
		}
		value, info.Metadata, err = openRow(key, r.Ref, row)
		return v.countOpenError(err)
	}
	v.metrics.reads.Inc()
	var found bool
	if r.Version > 0 {
		found, err = v.readLarge(ctx, r, smallBody, open)
	} else {
		found, err = v.readSmall(ctx, r.Ref, open)
	}
	// A large value is read after its memory has been reserved. The loop repeats when a larger
	// value has been written in the meantime.
	for err == nil && found && value == nil {
		if err = reserved.Grow(ctx, memoryCopies*info.SizeBytes); err == nil {
			found, err = v.readLarge(ctx, r, info.SizeBytes, open)
		}
	}
	if err == nil && !found {
		err = missing()
	}
	return info, value, err
}

// currentIfNamed returns r as a read of the current version when r names that one. Conditions do
// not apply to earlier versions.
func (v *Vault) currentIfNamed(ctx context.Context, r Read) (Read, error) {
	_, err := v.readSmall(ctx, r.Ref, func(row store.Item) error {
		if row.Number == r.Version {
			r.Version = 0
		}
		return nil
	})
	return r, err
}

// readSmall reads an item in a batch with other reads. It leaves out a large value.
func (v *Vault) readSmall(ctx context.Context, ref sealing.Ref, open func(store.Item) error) (bool, error) {
	r := &store.Read{Ref: ref, Inline: smallBody}
	if err := v.reads.Do(ctx, r); err != nil || !r.Found {
		return false, err
	}
	return true, open(r.Item)
}

// readLarge reads an item, or an earlier version of one, in a statement of its own, with its value
// if that has at most size bytes.
func (v *Vault) readLarge(ctx context.Context, r Read, size int64, open func(store.Item) error) (bool, error) {
	v.largeReads.Add(1)
	if r.Version > 0 {
		return v.items.Version(ctx, r.Ref, r.Version, size, open)
	}
	return v.items.Item(ctx, r.Ref, size, open)
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
	return v.items.List(ctx, p.User, p.Realm, ranges, p.Limit, func(row store.Info) error {
		if n++; p.Limit > 0 && n > p.Limit { // the row after the page says only that there is one
			p.Next, err = key.SealCursor(p.Realm, p.Prefix, last)
			return err
		}
		last = row.Key
		ref := sealing.Ref{User: p.User, Realm: p.Realm, Key: row.Key}
		info := newInfo(ref, row)
		var err error
		if info.Metadata, err = openMetadata(key, ref, row); err != nil {
			return v.countOpenError(err)
		}
		return each(info)
	})
}

// Deletion is a request to delete an item, or all items of a realm.
type Deletion struct {
	sealing.Ref      // no Key: all items of the realm
	Recoverable bool // move them to the trash
	If          precondition.Conditions
}

// Delete removes one item. A recoverable item goes to the trash, until the returned time at the
// latest; limit is the user's quota in bytes, and the allowance of the trash. The error is 404
// VAULT_KEY_NOT_FOUND when there is no such item, and 412 PRECONDITION_FAILED by the conditions.
func (v *Vault) Delete(ctx context.Context, d Deletion, limit int64) (until *time.Time, err error) {
	r, err := v.remove(ctx, d, limit)
	if err == nil && r.Count == 0 {
		err = keyNotFound()
	}
	return r.Until, err
}

// Clear removes all items of a realm as Delete removes one, and returns their number.
func (v *Vault) Clear(ctx context.Context, d Deletion, limit int64) (n int64, until *time.Time, err error) {
	d.Key = ""
	r, err := v.remove(ctx, d, limit)
	return r.Count, r.Until, err
}

func (v *Vault) remove(ctx context.Context, d Deletion, limit int64) (r store.Removal, err error) {
	if r, err = v.newRemoval(d, limit); err != nil {
		return r, err
	}
	if d.If.IsZero() {
		err = v.items.Remove(ctx, &r)
	} else {
		err = v.locked(ctx, d.User, func(ctx context.Context, t *store.Transaction) error {
			return v.removeIn(ctx, t, d, &r)
		})
	}
	if err != nil {
		return r, err
	}
	return r, v.removed(d, r)
}

// newRemoval returns the statement for d.
func (v *Vault) newRemoval(d Deletion, limit int64) (store.Removal, error) {
	r := store.Removal{User: d.User, Realm: d.Realm, Key: d.Key, Limits: v.limits(limit)}
	if d.Recoverable {
		if r.Retention = v.retention; r.Retention == 0 {
			return r, apperr.InvalidField("/recoverable", "the trash is disabled")
		}
	}
	return r, nil
}

// removeIn deletes an item in a transaction if its conditions hold.
func (v *Vault) removeIn(ctx context.Context, t *store.Transaction, d Deletion, r *store.Removal) error {
	current, err := t.Current(ctx, d.Ref)
	if err != nil {
		return err
	}
	if err := evaluate(d.If, currentInfo(d.Ref, current), false); err != nil {
		return err
	}
	return t.Remove(ctx, r)
}

// removalError returns why a deletion that ran changed nothing.
func removalError(r store.Removal) error {
	if r.TooLarge {
		return apperr.InvalidField("/recoverable", "the trash has no room for so much: delete without it")
	}
	return nil
}

// removed takes note of a deletion that ran and was committed.
func (v *Vault) removed(d Deletion, r store.Removal) error {
	if err := removalError(r); err != nil || r.Count == 0 {
		return err
	}
	if d.Key != "" && !d.Recoverable {
		v.numbers.forget(d.Ref)
	}
	v.changed(d.User)
	return nil
}

// Stats reports the size of the realm, and compares the whole account with the quota. For an auth
// token that is limited to some keys it reports the size of these.
func (v *Vault) Stats(ctx context.Context, s scope) (Stats, error) {
	if len(s.keys.Prefixes) > 0 {
		u, err := v.items.RangeUsage(ctx, s.user, s.realm, keyrange.Of(s.keys, ""))
		return newTotals(u), err
	}
	u, err := v.items.Usage(ctx, s.user, s.realm)
	return newStats(u, s.quota), err
}

// Realms lists the realms in which a user has items, counting those in part.
func (v *Vault) Realms(ctx context.Context, user string, part auth.VaultScope) ([]internalapi.RealmUsage, error) {
	if len(part.Prefixes) > 0 {
		return v.items.RangeRealms(ctx, user, keyrange.Of(part, ""))
	}
	return v.items.Realms(ctx, user)
}
