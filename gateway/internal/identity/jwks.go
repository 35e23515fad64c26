package identity

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

// jwksCache has the public keys of users-svc. While users-svc is away the last ones stay in use.
type jwksCache struct {
	fetch   func(context.Context) (auth.Published, error)
	log     *slog.Logger
	current atomic.Pointer[jwks]

	mu         sync.Mutex
	lastWanted time.Time // by a request
	lastErr    error
	tooLongLog rate.Sometimes
}

// jwks is a published set of keys.
type jwks struct {
	byID        map[string]ed25519.PublicKey
	maxLifetime time.Duration // of a token; 0: not known
	// generation grows with every set that lacks a key of the one before, or has a shorter
	// maxLifetime: a token that was verified in an earlier generation must be verified again. It is
	// compared whenever a token is used, because a token may be verified with the old keys and
	// remembered when the new ones are in use already.
	generation int64
}

// The keys are fetched every refreshEvery, and for tokens of unknown keys at most every retryEvery.
// The gateway polls instead of waiting for an announcement, because a revoked key must be refused
// within a second even when NATS is away.
const (
	refreshEvery   = 500 * time.Millisecond
	retryEvery     = time.Second
	firstRetry     = 50 * time.Millisecond // until the keys are known
	refreshTimeout = time.Second           // of a regular fetch: the next one may reach another replica
	requestTimeout = 5 * time.Second       // of a fetch that a request waits for
	logEvery       = 30 * time.Second
)

// errNoKeys says that the keys could not be fetched, so that no token can be verified.
var errNoKeys = errors.New("the keys of users-svc are not known")

func newJWKSCache(log *slog.Logger, fetch func(context.Context) (auth.Published, error)) *jwksCache {
	return &jwksCache{log: log, fetch: fetch, tooLongLog: rate.Sometimes{Interval: logEvery}}
}

// run fetches the keys until ctx ends.
func (k *jwksCache) run(ctx context.Context) error {
	failureLog := rate.Sometimes{Interval: logEvery}
	for {
		pause := refreshEvery
		if err := k.refreshWithin(ctx, refreshTimeout); err != nil {
			if k.current.Load() == nil {
				pause = firstRetry
			} else if ctx.Err() == nil {
				failureLog.Do(func() { k.log.Warn("public keys not refreshed; the last ones stay in use", "error", err.Error()) })
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// refreshWithin is refresh with a shorter timeout.
func (k *jwksCache) refreshWithin(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return k.refresh(ctx, 0)
}

// refresh fetches the keys. A minInterval above 0 is for requests: when another request wanted the
// keys less than minInterval ago, refresh returns the result of the last fetch instead.
func (k *jwksCache) refresh(ctx context.Context, minInterval time.Duration) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if minInterval > 0 {
		if time.Since(k.lastWanted) < minInterval {
			return k.lastErr
		}
		k.lastWanted = time.Now()
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	set, err := k.fetch(ctx)
	if err == nil {
		err = k.store(set)
	}
	k.lastErr = err
	return err
}

// store puts a published set into use.
func (k *jwksCache) store(set auth.Published) error {
	next, old := &jwks{byID: set.PublicKeys(), maxLifetime: time.Duration(set.MaxSeconds) * time.Second}, k.current.Load()
	switch {
	case len(next.byID) == 0:
		return errors.New("users-svc publishes no key")
	case old == nil:
		k.current.Store(next)
		return nil
	case set.Stale: // it may have a key that was revoked meanwhile
		return errors.New("users-svc cannot read its keys")
	case next.maxLifetime == 0:
		next.maxLifetime = old.maxLifetime
	}
	next.generation = old.generation
	if old.maxLifetime == 0 && next.maxLifetime > 0 || next.maxLifetime < old.maxLifetime {
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

// parse verifies a JWT and returns the generation of the keys that did. An unknown key is fetched,
// at most every retryEvery. The error is auth.ErrExpired, auth.ErrInvalid or errNoKeys.
func (k *jwksCache) parse(ctx context.Context, token, issuer, audience string, now func() time.Time) (auth.Claims,
	int64,
	error) {
	for attempt := 0; ; attempt++ {
		keys := k.current.Load()
		if keys == nil {
			if err := k.refresh(ctx, retryEvery); err != nil || k.current.Load() == nil {
				return auth.Claims{}, 0, errors.Join(errNoKeys, err)
			}
			continue
		}
		claims, err := auth.Parse(token, keys.byID, issuer, audience, now)
		if err == nil && keys.maxLifetime > 0 && !claims.LivesFor(keys.maxLifetime, now()) {
			k.tooLongLog.Do(func() {
				k.log.Warn("refused a signed access token that lives for longer than users-svc makes them: its key may have leaked (users-svc keys revoke)",
					"issued_at", claims.IssuedAt, "expires_at", claims.ExpiresAt)
			})
			return auth.Claims{}, 0, fmt.Errorf("%w: it lives for too long", auth.ErrInvalid)
		}
		if err == nil || !errors.Is(err, auth.ErrUnknownKey) || attempt > 0 {
			return claims, keys.generation, err
		}
		if err := k.refresh(ctx, retryEvery); err != nil {
			return auth.Claims{}, 0, errors.Join(errNoKeys, err)
		}
	}
}
