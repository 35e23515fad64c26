package gateway

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/realmgate/realmgate/pkg/auth"
)

// keySet holds the public keys of users-svc. It goes on with the last ones it got while users-svc
// is away.
type keySet struct {
	fetch   func(context.Context) (auth.Published, error)
	log     *slog.Logger
	current atomic.Pointer[keyring]

	mu         sync.Mutex
	lastWanted time.Time // when a request wanted them last
	lastErr    error
	tooLong    rate.Sometimes // a line for the log
}

// keyring is the keys that were published at one time.
type keyring struct {
	byID    map[string]ed25519.PublicKey
	longest time.Duration // that a token may live; 0: not known
	// generation grows with every keyring that lacks a key of the one before, or lets tokens live
	// for less: what was verified in an earlier generation must be verified again. It is compared
	// whenever a token is used, because a token may be verified with the old keys and remembered
	// when the new ones are in use already.
	generation int64
}

// How often the keys are fetched, and at most how often because of a token whose key is not known.
// A revoked key must be refused within a second, whatever else is away: so the gateway does not
// wait to be told.
const (
	keysEvery      = 500 * time.Millisecond
	keysRetryEvery = time.Second
	keysPatience   = time.Second     // of one regular fetch: the next one may meet another replica
	keysTimeout    = 5 * time.Second // of one fetch for which a request waits whose key is not known
	keysTellEvery  = 30 * time.Second
)

// errNoKeys says that the keys could not be fetched, so that nothing can be said about a token.
var errNoKeys = errors.New("the keys of users-svc are not known")

func newKeySet(log *slog.Logger, fetch func(context.Context) (auth.Published, error)) *keySet {
	return &keySet{log: log, fetch: fetch, tooLong: rate.Sometimes{Interval: keysTellEvery}}
}

// run fetches the keys until ctx ends: quickly until it has them the first time.
func (k *keySet) run(ctx context.Context) error {
	told := rate.Sometimes{Interval: keysTellEvery}
	for {
		pause := keysEvery
		if err := k.refreshWithin(ctx, keysPatience); err != nil {
			if k.current.Load() == nil {
				pause = 50 * time.Millisecond
			} else if ctx.Err() == nil {
				told.Do(func() { k.log.Warn("public keys not refreshed; the last ones stay in use", "error", err.Error()) })
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// refreshWithin is refresh with less patience.
func (k *keySet) refreshWithin(ctx context.Context, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return k.refresh(ctx, 0)
}

// refresh fetches the keys. With notWithin it is for a request, and does so unless another request
// wanted them less than that ago; then it returns the outcome of the last try.
func (k *keySet) refresh(ctx context.Context, notWithin time.Duration) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if notWithin > 0 {
		if time.Since(k.lastWanted) < notWithin {
			return k.lastErr
		}
		k.lastWanted = time.Now()
	}
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	set, err := k.fetch(ctx)
	if err == nil {
		err = k.take(set)
	}
	k.lastErr = err
	return err
}

// take puts a published set into use.
func (k *keySet) take(set auth.Published) error {
	next, old := &keyring{byID: set.PublicKeys(), longest: time.Duration(set.MaxSeconds) * time.Second}, k.current.Load()
	switch {
	case len(next.byID) == 0:
		return errors.New("users-svc publishes no key")
	case old == nil:
		k.current.Store(next)
		return nil
	case set.Stale: // it may have a key that was revoked meanwhile
		return errors.New("users-svc cannot read its keys")
	case next.longest == 0:
		next.longest = old.longest
	}
	next.generation = old.generation
	if old.longest == 0 && next.longest > 0 || next.longest < old.longest {
		next.generation++
	}
	for kid, key := range old.byID {
		if !key.Equal(next.byID[kid]) {
			next.generation++
			break
		}
	}
	k.current.Store(next)
	return nil
}

// parse verifies a JWT and says with which generation of keys. A key that is not known is asked for
// once a second at most. The error is auth.ErrExpired, auth.ErrInvalid or errNoKeys.
func (k *keySet) parse(ctx context.Context, token, issuer, audience string, now func() time.Time) (auth.Claims, int64,
	error) {
	for try := 0; ; try++ {
		keys := k.current.Load()
		if keys == nil {
			if err := k.refresh(ctx, keysRetryEvery); err != nil || k.current.Load() == nil {
				return auth.Claims{}, 0, errors.Join(errNoKeys, err)
			}
			continue
		}
		claims, err := auth.Parse(token, keys.byID, issuer, audience, now)
		if err == nil && keys.longest > 0 && !claims.LivesFor(keys.longest, now()) {
			k.tooLong.Do(func() {
				k.log.Warn("refused a signed access token that lives for longer than users-svc makes them: its key may have leaked (users-svc keys revoke)",
					"issued_at", claims.IssuedAt, "expires_at", claims.ExpiresAt)
			})
			return auth.Claims{}, 0, fmt.Errorf("%w: it lives for too long", auth.ErrInvalid)
		}
		if err == nil || !errors.Is(err, auth.ErrUnknownKey) || try > 0 {
			return claims, keys.generation, err
		}
		if err := k.refresh(ctx, keysRetryEvery); err != nil {
			return auth.Claims{}, 0, errors.Join(errNoKeys, err)
		}
	}
}
