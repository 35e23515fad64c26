package gateway

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
)

// keySet holds the public keys of users-svc. It goes on with the last ones it got while users-svc is away.
type keySet struct {
	fetch   func(context.Context) (auth.JWKS, error)
	log     *slog.Logger
	current atomic.Pointer[keyring]

	mu      sync.Mutex
	lastTry time.Time
	lastErr error
}

// keyring is the keys that were published at one time.
type keyring struct {
	byID map[string]ed25519.PublicKey
	// generation grows with every keyring that lacks a key of the one before: what was verified in an earlier generation must be verified again. It is
	// compared whenever a token is used, because a token may be verified with the old keys and remembered when the new ones are in use already.
	generation int64
}

// How often the keys are fetched, and at most how often because of a token whose key is not known.
const (
	keysEvery      = time.Minute
	keysRetryEvery = time.Second
	keysTimeout    = 5 * time.Second // of one fetch, for which all wait whose key is not known
)

// errNoKeys says that the keys could not be fetched, so that nothing can be said about a token.
var errNoKeys = errors.New("the keys of users-svc are not known")

// run fetches the keys until ctx ends: quickly until it has them the first time.
func (k *keySet) run(ctx context.Context) error {
	for {
		pause := keysEvery
		if err := k.refresh(ctx, 0); err != nil {
			pause = keysRetryEvery
			if k.current.Load() == nil {
				pause = 50 * time.Millisecond
			} else if ctx.Err() == nil {
				k.log.Warn("public keys not refreshed; the last ones stay in use", "error", err.Error())
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// refresh fetches the keys unless that was tried less than notWithin ago; then it returns the outcome of that try.
func (k *keySet) refresh(ctx context.Context, notWithin time.Duration) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if notWithin > 0 && time.Since(k.lastTry) < notWithin {
		return k.lastErr
	}
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	set, err := k.fetch(ctx)
	k.lastTry, k.lastErr = time.Now(), err
	if err != nil {
		return err
	}
	next := &keyring{byID: set.PublicKeys()}
	if len(next.byID) == 0 {
		k.lastErr = errors.New("users-svc publishes no key")
		return k.lastErr
	}
	if old := k.current.Load(); old != nil {
		next.generation = old.generation
		for kid, key := range old.byID {
			if !key.Equal(next.byID[kid]) {
				next.generation++
				break
			}
		}
	}
	k.current.Store(next)
	return nil
}

// parse verifies a JWT and says with which generation of keys. A key that is not known is asked for once a second at most. The error is
// auth.ErrExpired, auth.ErrInvalid or errNoKeys.
func (k *keySet) parse(ctx context.Context, token, issuer, audience string, now func() time.Time) (auth.Claims, int64, error) {
	for try := 0; ; try++ {
		keys := k.current.Load()
		if keys == nil {
			if err := k.refresh(ctx, keysRetryEvery); err != nil || k.current.Load() == nil {
				return auth.Claims{}, 0, errors.Join(errNoKeys, err)
			}
			continue
		}
		claims, err := auth.Parse(token, keys.byID, issuer, audience, now)
		if err == nil || !errors.Is(err, auth.ErrUnknownKey) || try > 0 {
			return claims, keys.generation, err
		}
		if err := k.refresh(ctx, keysRetryEvery); err != nil {
			return auth.Claims{}, 0, errors.Join(errNoKeys, err)
		}
	}
}
