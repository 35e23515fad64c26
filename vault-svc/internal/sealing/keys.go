package sealing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/maypok86/otter/v2/stats"

	"github.com/realmgate/realmgate/pkg/db"
)

// Keys provides the users' data keys. It takes a key from memory, or unwraps the stored key, or
// creates one.
type Keys struct {
	store  *keyStore
	keyset *Keyset
	cache  *otter.Cache[string, *DataKey]
	stats  *stats.Counter
	// unwrapErrors counts data keys that did not unwrap.
	unwrapErrors atomic.Int64
}

// loadTimeout bounds the time to read a data key from the database.
const loadTimeout = 5 * time.Second

// keyIdle is the time after which an unused data key leaves the memory.
const keyIdle = time.Hour

// NewKeys returns the data keys of a database. keyset wraps them; at most size of them are kept in
// memory.
func NewKeys(pool *db.Pool, keyset *Keyset, size int) (*Keys, error) {
	k := &Keys{store: &keyStore{pool}, keyset: keyset, stats: stats.NewCounter()}
	var err error
	k.cache, err = otter.New(&otter.Options[string, *DataKey]{
		MaximumSize: size, ExpiryCalculator: otter.ExpiryAccessing[string, *DataKey](keyIdle), StatsRecorder: k.stats,
	})
	return k, err
}

// Hits returns the number of requests for a data key that memory answered.
func (k *Keys) Hits() uint64 { return k.stats.Snapshot().Hits }

// Misses returns the number of requests for a data key that was not in memory.
func (k *Keys) Misses() uint64 { return k.stats.Snapshot().Misses }

// UnwrapErrors returns the number of data keys that did not unwrap.
func (k *Keys) UnwrapErrors() int64 { return k.unwrapErrors.Load() }

// checkedKeys is the number of data keys that Check tries at a start.
const checkedKeys = 16

// Check returns an error when data keys exist and keyset unwraps none of a few of them. Such a
// keyset is new or belongs to another installation, and the right keyset could not read items that
// are stored under it.
func (k *Keys) Check(ctx context.Context) error {
	rows, err := k.store.some(ctx, checkedKeys)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if _, err = k.keyset.Unwrap(row.user, row.wrapped); err == nil {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("VAULT_KEY_ENCRYPTION_KEY is not the keyset of this database; "+
			"start with the previous keyset, or with one that also contains its keys: %w", err)
	}
	return nil
}

// Find returns the data key of a user, or nil when the user has none because nothing was ever
// stored. A key that does not unwrap is an error.
func (k *Keys) Find(ctx context.Context, user string) (*DataKey, error) {
	d, err := k.cache.Get(ctx, user, otter.LoaderFunc[string, *DataKey](k.load))
	if errors.Is(err, otter.ErrNotFound) {
		return nil, nil
	}
	return d, err
}

// Ensure returns the data key of a user. It creates and stores the key if there is none. Concurrent
// callers get the same key, also in different processes.
func (k *Keys) Ensure(ctx context.Context, user string) (*DataKey, error) {
	d, err := k.Find(ctx, user)
	if d != nil || err != nil {
		return d, err
	}
	if d, err = NewDataKey(user); err != nil {
		return nil, err
	}
	wrapped, err := k.keyset.Wrap(d)
	if err != nil {
		return nil, err
	}
	if err := k.store.add(ctx, user, wrappedKey{wrapped: wrapped, kek: k.keyset.Primary()}); err != nil {
		return nil, err
	}
	// The stored key is the valid one: another process may have stored a key first. It is read
	// directly, because the cache could join a load that began before the key was stored and
	// therefore finds none.
	if d, err = k.load(ctx, user); errors.Is(err, otter.ErrNotFound) {
		return nil, fmt.Errorf("data key of user %s was stored and is not there", user)
	}
	if err == nil {
		k.cache.Set(user, d)
	}
	return d, err
}

func (k *Keys) load(ctx context.Context, user string) (*DataKey, error) {
	// The end of the first request must not cancel this load, because other requests wait for it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
	defer cancel()
	w, ok, err := k.store.get(ctx, user)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, otter.ErrNotFound
	}
	d, err := k.keyset.Unwrap(user, w)
	if err != nil {
		k.unwrapErrors.Add(1)
		return nil, err
	}
	return d, nil
}

// rotateBatch is the number of data keys that one transaction wraps again.
const rotateBatch = 500

// Rotate wraps all data keys with the primary key of the keyset. It may run beside the service,
// because the data keys themselves, and so all items, stay unchanged. It writes its progress to
// out. Data keys that do not unwrap stay unchanged, and the error counts them.
func (k *Keys) Rotate(ctx context.Context, out io.Writer) error {
	total, err := k.store.countOthers(ctx, k.keyset.Primary())
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d data keys to wrap with key %d\n", total, k.keyset.Primary())
	var done, failed int
	for after := ""; ; {
		batch, err := k.store.others(ctx, k.keyset.Primary(), after, rotateBatch)
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			break
		}
		after = batch[len(batch)-1].user
		again, bad := k.rewrap(batch, out)
		failed += bad
		n, err := k.store.replace(ctx, k.keyset.Primary(), again)
		if err != nil {
			return err
		}
		done += n
		fmt.Fprintf(out, "%d of %d wrapped\n", done, total)
	}
	if failed > 0 {
		return fmt.Errorf("%d data keys do not unwrap with any key of VAULT_KEY_ENCRYPTION_KEY", failed)
	}
	return nil
}

// rewrap wraps the data keys of batch with the primary key. It counts the keys that do not unwrap.
func (k *Keys) rewrap(batch []keyRow, out io.Writer) (again []rewrapped, failed int) {
	for _, row := range batch {
		d, err := k.keyset.Unwrap(row.user, row.wrapped)
		var wrapped []byte
		if err == nil {
			wrapped, err = k.keyset.Wrap(d)
		}
		if err != nil {
			fmt.Fprintln(out, err)
			failed++
			continue
		}
		again = append(again, rewrapped{user: row.user, before: row.wrapped, after: wrapped})
	}
	return again, failed
}
