// Package signing provides the Ed25519 keys that sign access tokens: they are made, published,
// rotated and revoked here. It serves /.well-known/jwks.json. Start reading at Keyring.
package signing

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/secrets"
)

// Keyring holds the Ed25519 keys that sign access tokens. They live in PostgreSQL, so that every
// replica has the same; a new key is published for a while before it signs, and an old one until
// the last token that it signed has expired.
type Keyring struct {
	*core.Core
	cfg       Config
	accessTTL time.Duration // of the access tokens
	sealer    *secrets.Sealer
	clock     *db.Clock

	loading  sync.Mutex // held while the keys are read from the database
	mu       sync.RWMutex
	keys     []signingKey // by signsFrom, the oldest first
	loadedAt time.Time    // what keys is as of
	failedAt time.Time    // when they could not be read
	warnings rate.Sometimes
}

// signingKey is a key and the time from which it signs, which ends with the next key's.
type signingKey struct {
	auth.SigningKey
	createdAt, activeFrom time.Time
}

const (
	// how often a replica looks whether a key is due; far less than the default SIGNING_KEY_LEAD
	MaintainEvery = 30 * time.Second
	// maxKeyAge is how old the keys may be that are published or sign: with keysEvery of the
	// gateways and the time that a request takes it stays below the second within which a revoked
	// key must be refused.
	maxKeyAge = 200 * time.Millisecond
	// loadTimeout bounds the wait for the database, which others share.
	loadTimeout  = time.Second
	warnInterval = 10 * time.Second
	// keyMargin is added to the time that an old key is published, for clocks that differ.
	clockMargin = 5 * time.Minute
)

func New(c *core.Core, cfg Config, accessTTL time.Duration, sealer *secrets.Sealer, clock *db.Clock) *Keyring {
	return &Keyring{Core: c, cfg: cfg, accessTTL: accessTTL, sealer: sealer, clock: clock,
		warnings: rate.Sometimes{Interval: warnInterval}}
}

var errNoSigningKey = errors.New("there is no signing key yet")

// Sign makes an access token with the key that signs now.
func (k *Keyring) Sign(ctx context.Context, claims auth.Claims) (string, error) {
	k.refresh(ctx)
	k.mu.RLock()
	defer k.mu.RUnlock()
	active := activeIndex(k.keys, k.Now())
	if active < 0 {
		return "", errNoSigningKey
	}
	return k.keys[active].Sign(claims, k.cfg.Issuer, k.cfg.Audience)
}

// publicKeys returns the public keys, those that do not sign yet or any more included. While the
// database is away it returns what it knows, and fresh is false.
func (k *Keyring) publicKeys(ctx context.Context) (set auth.JWKS, fresh bool) {
	fresh = k.refresh(ctx)
	k.mu.RLock()
	defer k.mu.RUnlock()
	for _, key := range k.keys {
		set.Keys = append(set.Keys, auth.NewJWK(key.ID, key.Private.Public().(ed25519.PublicKey)))
	}
	return set, fresh
}

// refresh reads the keys again when they are older than maxKeyAge. While the database is away those
// that are known stay in use, and it returns false.
func (k *Keyring) refresh(ctx context.Context) bool {
	if tried, ok := k.recentLoad(); tried {
		return ok
	}
	k.loading.Lock()
	defer k.loading.Unlock()
	if tried, ok := k.recentLoad(); tried { // while this one waited
		return ok
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
	defer cancel()
	err := k.load(ctx)
	if err != nil {
		k.warnings.Do(func() { k.Log.Warn("signing keys could not be read again", "error", err.Error()) })
		k.mu.Lock()
		k.failedAt = k.Now()
		k.mu.Unlock()
	}
	return err == nil
}

// lastTry says whether the keys were read, or tried to be, a moment ago, and with which outcome.
func (k *Keyring) recentLoad() (tried, ok bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	now := k.Now()
	ok = now.Sub(k.loadedAt) <= maxKeyAge
	return ok || now.Sub(k.failedAt) <= maxKeyAge, ok
}

// load reads the keys from the database.
func (k *Keyring) load(ctx context.Context) error {
	startedAt := k.Now()
	keys, err := k.readKeys(ctx, k.Pool)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !startedAt.Before(k.loadedAt) {
		k.keys, k.loadedAt = keys, startedAt
	}
	return nil
}

// Maintain makes a key when there is none or the newest is too old, forgets those that no token
// needs, and loads the rest. While the clock is doubted it makes and forgets none, unless there is
// none.
func (k *Keyring) Maintain(ctx context.Context) error {
	now, err := k.clock.Read(ctx)
	clockDoubted := errors.Is(err, db.ErrClockDoubted)
	if err != nil && !clockDoubted {
		return err
	}
	expiredBefore := now.Earlier()
	if clockDoubted {
		expiredBefore = time.Time{}
	}
	err = k.rotate(ctx, expiredBefore, func(keys []signingKey) (activeFrom time.Time, wanted bool) {
		if clockDoubted && len(keys) > 0 {
			return time.Time{}, false
		}
		return k.nextKey(keys, now.Earlier())
	})
	if err != nil {
		return err
	}
	return k.load(ctx)
}

// Rotate adds a signing key, however old the newest is, and returns when it begins to sign: at
// once, or SIGNING_KEY_LEAD from now.
func (k *Keyring) Rotate(ctx context.Context, atOnce bool) (time.Time, error) {
	activeFrom := k.Now()
	err := k.rotate(ctx, time.Time{}, func(keys []signingKey) (time.Time, bool) {
		if !atOnce && len(keys) > 0 {
			activeFrom = activeFrom.Add(k.cfg.Lead)
		}
		return activeFrom, true
	})
	return activeFrom, err
}

// nextKey says whether a key is to be made and from when it signs.
func (k *Keyring) nextKey(keys []signingKey, now time.Time) (activeFrom time.Time, wanted bool) {
	if len(keys) == 0 {
		return now, true
	}
	newest := keys[len(keys)-1]
	return now.Add(k.cfg.Lead), now.Sub(newest.createdAt) > k.cfg.MaxAge
}

// expired returns the ids of the keys whose last token has expired: another key signs for longer
// than a token lives.
func (k *Keyring) expired(keys []signingKey, now time.Time) []string {
	var expiredIDs []string
	lifetime := k.accessTTL + clockMargin
	for i := range keys[:max(0, len(keys)-1)] {
		if now.Sub(keys[i+1].activeFrom) > lifetime {
			expiredIDs = append(expiredIDs, keys[i].ID)
		}
	}
	return expiredIDs
}

// unknownKeyError says that there is no key to revoke, and which there are.
type unknownKeyError struct {
	keyID string
	keys  []signingKey
	now   time.Time
}

func (e unknownKeyError) Error() string {
	var ids []string
	active := activeIndex(e.keys, e.now)
	for i, key := range e.keys {
		ids = append(ids, key.ID)
		if i == active {
			ids[i] += " (signs now)"
		}
	}
	return fmt.Sprintf("there is no signing key %q; there are: %s", e.keyID, strings.Join(ids, ", "))
}

// activeIndex returns the index of the key that signs at the time now, -1 for none.
func activeIndex(keys []signingKey, now time.Time) int {
	for i := len(keys) - 1; i >= 0; i-- {
		if !keys[i].activeFrom.After(now) {
			return i
		}
	}
	return -1
}

// replacementFor says whether a key must take the place of keys[i], which is revoked, and from when
// that signs. It takes over the time of the revoked one: by the clock of a replica that is behind,
// a later time would let an older key sign again.
func (k *Keyring) replacementFor(keys []signingKey, i int) (activeFrom time.Time, wanted bool) {
	now := k.Now()
	if i != activeIndex(keys, now) && i != len(keys)-1 {
		return time.Time{}, false
	}
	if from := keys[i].activeFrom; from.Before(now) {
		return from, true
	}
	return now, true
}
