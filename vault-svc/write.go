package vault

import (
	"context"
	"errors"

	"github.com/maypok86/otter/v2"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
	"github.com/realmgate/realmgate/vault-svc/internal/store"
)

// pendingWrite is a write with the data key that seals it.
type pendingWrite struct {
	store.Write
	request Write
	key     *sealing.DataKey
	err     error // of sealing
}

// Put stores w if its conditions hold and a quota of limit bytes over all realms allows it. It
// returns the stored item and reports whether it is new. When the quota does not allow it, nothing
// changes and the error is 413 VAULT_LIMIT_EXCEEDED; when a condition fails, it is 412
// PRECONDITION_FAILED.
//
// A value is sealed for the number of its version before the SQL runs, so that a write takes one
// round trip. The number is predicted from the last known one. If the prediction is wrong, nothing
// is stored, and the write runs again under the lock of the account.
func (v *Vault) Put(ctx context.Context, w Write, limit int64) (Info, bool, error) {
	p, err := v.newWrite(ctx, w, limit)
	if err != nil {
		return Info{}, false, err
	}
	v.metrics.writes.Inc()
	locked := !w.If.IsZero()
	switch {
	case locked:
	case w.size() > smallBody:
		err = v.putLarge(ctx, p)
	default:
		err = v.writes.Do(ctx, p)
	}
	if err == nil && (locked || p.RolledBack || p.Outcome == store.OtherNumber) {
		err = v.locked(ctx, w.User, func(ctx context.Context, t *store.Transaction) error { return v.putIn(ctx, t, p) })
	}
	if err != nil {
		return Info{}, false, err
	}
	return v.written(p)
}

// newWrite returns w with the data key of its user.
func (v *Vault) newWrite(ctx context.Context, w Write, limit int64) (*pendingWrite, error) {
	key, err := v.keys.Ensure(ctx, w.User)
	return newPendingWrite(w, v.limits(limit), key), err
}

func newPendingWrite(w Write, limits store.Limits, key *sealing.DataKey) *pendingWrite {
	return &pendingWrite{request: w, key: key, Write: store.Write{
		Ref: w.Ref, KeepMetadata: w.KeepMetadata, ValueBytes: int64(len(w.Value)), MetadataBytes: int64(len(w.Metadata)),
		Expiry: w.Expiry, Limits: limits,
	}}
}

// limits returns the limits of an account with a quota of quota bytes.
func (v *Vault) limits(quota int64) store.Limits {
	return store.Limits{Bytes: quota, Items: v.maxItems, Versions: v.maxVersions}
}

// seal seals p for a version number.
func (v *Vault) seal(p *pendingWrite, number int64) (err error) {
	p.Sealed = store.Sealed{} // the memory of an earlier attempt
	if p.Sealed, err = seal(p.key, p.Ref, number, p.request.Value, p.request.Metadata); err != nil {
		v.metrics.sealErrors.Inc()
	}
	return err
}

// writeBatch seals the writes of batch for their predicted numbers, and stores them in one
// statement.
func (v *Vault) writeBatch(ctx context.Context, batch []*pendingWrite) error {
	writes := make([]*store.Write, 0, len(batch))
	for _, p := range batch {
		if p.err = v.seal(p, v.numbers.next(p.Ref)); p.err == nil {
			writes = append(writes, &p.Write)
		}
	}
	if len(writes) == 0 {
		return nil
	}
	return v.items.WriteBatch(ctx, writes)
}

// putLarge stores a large value in a statement of its own, after it has asked whether the quota
// allows it.
func (v *Vault) putLarge(ctx context.Context, p *pendingWrite) error {
	fits, next, err := v.items.Fits(ctx, &p.Write)
	switch {
	case err != nil:
		return err
	case !fits:
		return v.quotaExceeded()
	}
	if err := v.seal(p, next); err != nil {
		return err
	}
	return v.unbatched.Do(ctx, &lockedOp{user: p.User, run: func(ctx context.Context) error {
		return v.items.Write(ctx, &p.Write)
	}})
}

// lockedOp is an operation that locks the account of a user, which may take a while.
type lockedOp struct {
	user string
	run  func(context.Context) error
}

func (o *lockedOp) userOf() string { return o.user }

// locked runs f in a transaction that holds the lock of the user's account. Transactions of one
// user run one at a time here, so that those that wait for one lock occupy a single connection.
func (v *Vault) locked(ctx context.Context, user string,
	f func(context.Context, *store.Transaction) error) error {
	return v.unbatched.Do(ctx, &lockedOp{user: user, run: func(ctx context.Context) error {
		return v.items.InTransaction(ctx, user, func(t *store.Transaction) error { return f(ctx, t) })
	}})
}

// maxSealings bounds how often putIn seals a value. The lock keeps the number, but an item may
// expire between two statements.
const maxSealings = 3

// putIn stores p in a transaction if its conditions hold. Its outcome says whether it was stored.
func (v *Vault) putIn(ctx context.Context, t *store.Transaction, p *pendingWrite) error {
	for range maxSealings {
		current, err := t.Current(ctx, p.Ref)
		if err != nil {
			return err
		}
		if err := evaluate(p.request.If, currentInfo(p.Ref, current), false); err != nil {
			return err
		}
		if err := v.seal(p, current.Next()); err != nil {
			return err
		}
		if err := t.Write(ctx, &p.Write); err != nil || p.Outcome != store.OtherNumber {
			return err
		}
	}
	return errors.New("the number of the item changed under its lock")
}

// currentInfo returns the item in c, nil when it is absent.
func currentInfo(ref sealing.Ref, c store.Current) *Info {
	if !c.Exists {
		return nil
	}
	i := newInfo(ref, c.Info)
	return &i
}

// written returns the result of a write that ran and was committed.
func (v *Vault) written(p *pendingWrite) (Info, bool, error) {
	info, fresh, err := v.stored(p)
	if p.err == nil && p.Outcome == store.Stored {
		v.numbers.learn(p.Ref, p.Stored.Number)
		v.changed(p.User)
	}
	return info, fresh, err
}

// stored returns the result of a write that ran.
func (v *Vault) stored(p *pendingWrite) (Info, bool, error) {
	switch {
	case p.err != nil:
		return Info{}, false, p.err
	case p.Outcome == store.OverQuota:
		return Info{}, false, v.quotaExceeded()
	case p.Outcome == store.Expired:
		return Info{}, false, apperr.InvalidField("/expires_at", "must be in the future")
	}
	info := newInfo(p.Ref, p.Stored)
	var err error
	if info.Metadata = p.request.Metadata; p.KeepMetadata {
		info.Metadata, err = openMetadata(p.key, p.Ref, p.Stored)
		err = v.countOpenError(err)
	}
	return info, p.Fresh, err
}

// quotaExceeded counts a write that the user's quota refuses, and returns its error.
func (v *Vault) quotaExceeded() error {
	v.metrics.quotaRefusals.Inc()
	return limitExceeded()
}

// numbers remembers the version numbers of items that were read or written last, to predict the
// next ones.
type numbers struct {
	cache *otter.Cache[sealing.Ref, int64]
}

// maxNumbers is the number of items in it, of about 300 bytes each.
const maxNumbers = 1 << 15

func newNumbers() (numbers, error) {
	cache, err := otter.New(&otter.Options[sealing.Ref, int64]{MaximumSize: maxNumbers})
	return numbers{cache}, err
}

// next returns the predicted number of an item's next version: 1 when nothing is known.
func (n numbers) next(ref sealing.Ref) int64 {
	last, _ := n.cache.GetIfPresent(ref)
	return last + 1
}

// learn remembers the current number of an item.
func (n numbers) learn(ref sealing.Ref, number int64) {
	if last, ok := n.cache.GetIfPresent(ref); !ok || last != number {
		n.cache.Set(ref, number)
	}
}

// forget removes an item that was deleted.
func (n numbers) forget(ref sealing.Ref) { n.cache.Invalidate(ref) }
