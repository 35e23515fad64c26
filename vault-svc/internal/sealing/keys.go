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

// Keys returns the users' data keys: from memory, else unwrapped from the store, else new.
type Keys struct {
	store  *keyStore
	keyset *Keyset
	cache  *otter.Cache[string, *DataKey]
	stats  *stats.Counter
	// unwrapErrors counts data keys that did not open.
	unwrapErrors atomic.Int64
}

// loadTimeout bounds the load of a data key.
const loadTimeout = 5 * time.Second

// keyIdle is how long an unused data key stays in memory.
const keyIdle = time.Hour

// NewKeys returns the data keys of a database that keyset wraps, at most size of them in memory.
func NewKeys(pool *db.Pool, keyset *Keyset, size int) (*Keys, error) {
	k := &Keys{store: &keyStore{pool}, keyset: keyset, stats: stats.NewCounter()}
	var err error
	k.cache, err = otter.New(&otter.Options[string, *DataKey]{
		MaximumSize: size, ExpiryCalculator: otter.ExpiryAccessing[string, *DataKey](keyIdle), StatsRecorder: k.stats,
	})
	return k, err
}

// Hits returns how often a data key was found unwrapped in memory.
func (k *Keys) Hits() uint64 { return k.stats.Snapshot().Hits }

// Misses returns how often a data key was not in memory.
func (k *Keys) Misses() uint64 { return k.stats.Snapshot().Misses }

// UnwrapErrors returns how many data keys did not unwrap.
func (k *Keys) UnwrapErrors() int64 { return k.unwrapErrors.Load() }

// checkedKeys is how many data keys a start tries.
const checkedKeys = 16

// Check fails when there are data keys and none of a few unwraps: the keyset belongs to another
// installation, or is new, and items stored under it could not be read with the right one.
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
		return fmt.Errorf("VAULT_KEY_ENCRYPTION_KEY is not the keyset of this database; start with the one of before, or one that holds its keys too: %w", err)
	}
	return nil
}

// Find returns the data key of a user, nil when the user has none and so has never stored anything.
// A key that does not unwrap is an error.
func (k *Keys) Find(ctx context.Context, user string) (*DataKey, error) {
	d, err := k.cache.Get(ctx, user, otter.LoaderFunc[string, *DataKey](k.load))
	if errors.Is(err, otter.ErrNotFound) {
		return nil, nil
	}
	return d, err
}

// Ensure returns the data key of a user, made and stored when there is none. Any number of callers,
// in any number of processes, get the same.
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
	// Another process may have stored a key first, and the stored key counts. It is read here and
	// not through the cache, which could join a load that began before the key was stored and finds
	// none.
	if d, err = k.load(ctx, user); errors.Is(err, otter.ErrNotFound) {
		return nil, fmt.Errorf("data key of user %s was stored and is not there", user)
	}
	if err == nil {
		k.cache.Set(user, d)
	}
	return d, err
}

func (k *Keys) load(ctx context.Context, user string) (*DataKey, error) {
	// Other requests wait for this load too: it must not end with the one that began it.
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

// rotateBatch is how many data keys are wrapped again in one transaction.
const rotateBatch = 500

// Rotate wraps every data key that another key than the primary one wraps, while the service runs:
// the data keys themselves, and so every item, stay as they are. It writes its progress to out. The
// error counts the keys that could not be unwrapped; they are left as they are.
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

// rewrap wraps the data keys of batch again, and counts those that do not unwrap.
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
