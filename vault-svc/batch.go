package vault

import (
	"context"
	"errors"
	"net/http"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/vault-svc/internal/memory"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
	"github.com/realmgate/realmgate/vault-svc/internal/store"
)

// Batch is a list of operations on one user's items that run in one transaction.
type Batch struct {
	User       string
	Operations []*Operation
	Atomic     bool  // all operations take effect, or none
	Quota      int64 // of the user, in bytes
}

// opKind says what an operation does.
type opKind string

const (
	opGet    opKind = "get"
	opPut    opKind = "put"
	opDelete opKind = "delete"
)

// Operation is one operation of a batch, and its result.
type Operation struct {
	Kind        opKind
	Write       // of a put; a get or a delete has only a Ref and conditions
	Recoverable bool
	Forbidden   bool   // the auth token may not do it
	Quoted      []byte // the value as a JSON string: of a put, or the result of a get

	Status int           // of the single request that it stands for; 424 when it was not applied
	Err    *apperr.Error // why it failed; nil otherwise
	Info   *Info         // the item of a put or a get
}

// errBatchFailed ends the transaction of an atomic batch.
var errBatchFailed = errors.New("an operation of an atomic batch failed")

// failedDependency is the result of an operation that was not applied because another one failed
// (RFC 4918, section 11.4).
var failedDependency = apperr.New(apperr.Conflict, "FAILED_DEPENDENCY",
	"Not applied, because another operation of the batch failed")

// RunBatch runs the operations in order, under the lock of the user's account, and sets their
// results. It reports whether the batch took effect: false for an atomic batch that changed nothing
// because an operation failed. It reserves memory in reserved for the values that it reads.
func (v *Vault) RunBatch(ctx context.Context, b *Batch, reserved *memory.Reservation) (bool, error) {
	r := batchRun{Vault: v, Batch: b, reserved: reserved, base: reserved.Size()}
	err := r.prepare(ctx)
	if err == nil {
		err = v.locked(ctx, b.User, func(ctx context.Context, t *store.Transaction) error { return r.all(ctx, t) })
	}
	switch {
	case errors.Is(err, errBatchFailed):
		b.notApplied()
		return false, nil
	case err != nil:
		return false, err
	}
	r.committed()
	return true, nil
}

// notApplied sets the results of the operations that did not fail themselves.
func (b *Batch) notApplied() {
	for _, o := range b.Operations {
		if o.Err == nil {
			o.Status, o.Err, o.Info = http.StatusFailedDependency, failedDependency, nil
		}
	}
}

// batchRun is a batch while it runs.
type batchRun struct {
	*Vault
	*Batch
	key      *sealing.DataKey // nil: the user has none, and so no items
	reserved *memory.Reservation
	base     int64 // bytes that were reserved for the body
	read     int64 // bytes of the values that were read
	values   map[sealing.Ref]readValue
}

// readValue is the value of an item as the batch last wrote or read it. A value that is read twice
// is in memory once.
type readValue struct {
	etag   string
	quoted []byte
}

// prepare finds the user's data key and waits for the memory of what the gets will probably read:
// nothing waits for memory under the lock.
func (r *batchRun) prepare(ctx context.Context) (err error) {
	var gets []*store.Read
	puts := false
	for _, o := range r.Operations {
		puts = puts || o.Kind == opPut
		if o.Kind == opGet && !o.Forbidden {
			gets = append(gets, &store.Read{Ref: o.Ref})
		}
	}
	if puts {
		r.key, err = r.keys.Ensure(ctx, r.User)
	} else {
		r.key, err = r.keys.Find(ctx, r.User)
	}
	if err != nil || len(gets) == 0 {
		return err
	}
	if err := r.items.ReadBatch(ctx, gets); err != nil {
		return err
	}
	total, counted := int64(0), map[sealing.Ref]bool{}
	for _, get := range gets {
		if get.Found && !counted[get.Ref] {
			counted[get.Ref], total = true, total+get.Size
		}
	}
	if total <= smallBody {
		return nil
	}
	return r.reserved.Grow(ctx, r.base+memoryCopies*total)
}

// all runs the operations. It may run again after a conflict in the database.
func (r *batchRun) all(ctx context.Context, t *store.Transaction) error {
	r.values, r.read = map[sealing.Ref]readValue{}, 0
	for _, o := range r.Operations {
		o.Status, o.Err, o.Info = 0, nil, nil
	}
	for _, o := range r.Operations {
		err := r.one(ctx, t, o)
		if err == nil {
			continue
		}
		failure, ok := errors.AsType[*apperr.Error](err)
		if !ok || failure.Kind.Status() >= http.StatusInternalServerError {
			return err
		}
		if o.Status, o.Err = failure.Kind.Status(), failure; r.Atomic {
			return errBatchFailed
		}
	}
	return nil
}

// one runs an operation. Its error says why the operation failed and changed nothing; any other
// error ends the batch.
func (r *batchRun) one(ctx context.Context, t *store.Transaction, o *Operation) error {
	switch {
	case o.Forbidden:
		return apperr.InsufficientPermissions()
	case o.Kind == opPut:
		return r.put(ctx, t, o)
	case o.Kind == opDelete:
		return r.delete(ctx, t, o)
	}
	return r.get(ctx, t, o)
}

func (r *batchRun) put(ctx context.Context, t *store.Transaction, o *Operation) error {
	p := newPendingWrite(o.Write, r.limits(r.Quota), r.key)
	r.metrics.writes.Inc()
	if err := r.putIn(ctx, t, p); err != nil {
		return err
	}
	info, fresh, err := r.stored(p)
	if err != nil {
		return err
	}
	if o.Status, o.Info = http.StatusOK, &info; fresh {
		o.Status = http.StatusCreated
	}
	r.values[o.Ref] = readValue{info.ETag, o.Quoted}
	return nil
}

func (r *batchRun) delete(ctx context.Context, t *store.Transaction, o *Operation) error {
	d := Deletion{Ref: o.Ref, Recoverable: o.Recoverable, If: o.If}
	removal, err := r.newRemoval(d, r.Quota)
	if err != nil {
		return err
	}
	if err := r.removeIn(ctx, t, d, &removal); err != nil {
		return err
	}
	o.Status = http.StatusOK
	if err := removalError(removal); err != nil || removal.Count > 0 {
		return err
	}
	return keyNotFound()
}

func (r *batchRun) get(ctx context.Context, t *store.Transaction, o *Operation) error {
	current, err := t.Current(ctx, o.Ref)
	if err != nil {
		return err
	}
	info := currentInfo(o.Ref, current)
	if info == nil || r.key == nil {
		return keyNotFound()
	}
	r.metrics.reads.Inc()
	switch err := evaluate(o.If, info, true); {
	case errors.Is(err, errNotModified):
		o.Status = http.StatusNotModified
		return nil
	case err != nil:
		return err
	}
	if info.Metadata, err = openMetadata(r.key, o.Ref, current.Info); err != nil {
		return r.countOpenError(err)
	}
	known, ok := r.values[o.Ref]
	if !ok || known.etag != info.ETag {
		if known, err = r.readValue(ctx, t, *info); err != nil {
			return err
		}
		r.values[o.Ref] = known
	}
	o.Status, o.Info, o.Quoted = http.StatusOK, info, known.quoted
	return nil
}

// readValue reads the value of an item.
func (r *batchRun) readValue(ctx context.Context, t *store.Transaction, info Info) (readValue, error) {
	if r.read += info.SizeBytes; r.read > smallBody {
		if err := r.reserved.TryGrow(r.base + memoryCopies*r.read); err != nil {
			return readValue{}, err
		}
	}
	read := readValue{etag: info.ETag}
	found, err := t.Item(ctx, info.Ref, info.SizeBytes, func(row store.Item) error {
		value, _, err := openRow(r.key, info.Ref, row)
		if err != nil {
			return r.countOpenError(err)
		}
		read.quoted, err = quote(value)
		return err
	})
	if err == nil && !found {
		err = keyNotFound()
	}
	return read, err
}

// committed takes note of what the batch changed.
func (r *batchRun) committed() {
	changed := false
	for _, o := range r.Operations {
		switch {
		case o.Err != nil || o.Kind == opGet:
			continue
		case o.Kind == opPut:
			r.numbers.learn(o.Ref, o.Info.Number)
		case !o.Recoverable:
			r.numbers.forget(o.Ref)
		}
		changed = true
	}
	if changed {
		r.changed(r.User)
	}
}
