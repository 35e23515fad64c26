// Package signing provides the Ed25519 keys that sign access tokens: it creates, publishes, rotates
// and revokes them. It serves /.well-known/jwks.json. Start reading at Keyring.
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

// Keyring holds the Ed25519 keys that sign access tokens. They are stored in PostgreSQL, so that
// all replicas have the same keys. A new key is published for Config.Lead before it signs, and an
// old key is published until the last token that it signed has expired.
type Keyring struct {
	*core.Core
	cfg       Config
	accessTTL time.Duration // lifetime of the access tokens
	sealer    *secrets.Sealer
	clock     *db.Clock

	loading  sync.Mutex // held while the keys are loaded from the database
	mu       sync.RWMutex
	keys     []signingKey // by activeFrom, oldest first
	loadedAt time.Time    // start of the load that keys comes from
	failedAt time.Time    // time of the last load that failed
	warnings rate.Sometimes
}

// signingKey is a key and the time from which it signs. It signs until the activeFrom of the next
// key.
type signingKey struct {
	auth.SigningKey
	createdAt, activeFrom time.Time
}

const (
	// MaintainEvery is the pause between two calls of Keyring.Maintain. It is much shorter than the
	// default of Config.Lead, so that replicas know a new key before it signs.
	MaintainEvery = 30 * time.Second
	// maxKeyAge is the time for which loaded keys are used. A revoked key must be refused within
	// one second; maxKeyAge, the pause between two requests of a gateway for the keys and the time
	// of such a request add up to less.
	maxKeyAge = 200 * time.Millisecond
	// loadTimeout bounds the wait for the database, because further requests wait for the same
	// load.
	loadTimeout  = time.Second
	warnInterval = 10 * time.Second
	// clockMargin is added to the time for which an old key is published, because clocks differ.
	clockMargin = 5 * time.Minute
)

// New returns a keyring without keys; call Maintain before it signs. accessTTL is the lifetime of
// access tokens, and clock judges the age of keys.
func New(c *core.Core, cfg Config, accessTTL time.Duration, sealer *secrets.Sealer, clock *db.Clock) *Keyring {
	return &Keyring{Core: c, cfg: cfg, accessTTL: accessTTL, sealer: sealer, clock: clock,
		warnings: rate.Sometimes{Interval: warnInterval}}
}

var errNoSigningKey = errors.New("there is no signing key yet")

// Sign returns an access token (a JWT, RFC 7519) with the claims, the configured issuer and
// audience, signed with the active key.
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

// publicKeys returns all public keys, including those that do not sign yet or no longer sign. While
// the database is unavailable it returns the keys of the last load, and fresh is false.
func (k *Keyring) publicKeys(ctx context.Context) (set auth.JWKS, fresh bool) {
	fresh = k.refresh(ctx)
	k.mu.RLock()
	defer k.mu.RUnlock()
	for _, key := range k.keys {
		set.Keys = append(set.Keys, auth.NewJWK(key.ID, key.Private.Public().(ed25519.PublicKey)))
	}
	return set, fresh
}

// refresh loads the keys when they are older than maxKeyAge. It returns false if that fails, or
// failed within the last maxKeyAge; the keys of the last load stay in use.
func (k *Keyring) refresh(ctx context.Context) bool {
	if tried, ok := k.recentLoad(); tried {
		return ok
	}
	k.loading.Lock()
	defer k.loading.Unlock()
	if tried, ok := k.recentLoad(); tried { // by another request meanwhile
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

// recentLoad reports whether a load was tried within the last maxKeyAge, and whether it succeeded.
func (k *Keyring) recentLoad() (tried, ok bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	now := k.Now()
	ok = now.Sub(k.loadedAt) <= maxKeyAge
	return ok || now.Sub(k.failedAt) <= maxKeyAge, ok
}

// load reads the keys from the database. It keeps the present keys if they come from a later load.
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

// Maintain creates a key if there is none or the newest is older than Config.MaxAge, deletes the
// keys whose tokens have all expired, and loads the keys. While the clock is doubted
// (db.ErrClockDoubted) it deletes none, and creates one only if there is none.
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

// Rotate creates a signing key, regardless of the age of the newest, and returns the time from which it
// signs: now if atOnce is true or there is no key, else Config.Lead from now.
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

// nextKey reports whether a key must be created, and from when it signs.
func (k *Keyring) nextKey(keys []signingKey, now time.Time) (activeFrom time.Time, wanted bool) {
	if len(keys) == 0 {
		return now, true
	}
	newest := keys[len(keys)-1]
	return now.Add(k.cfg.Lead), now.Sub(newest.createdAt) > k.cfg.MaxAge
}

// expired returns the ids of the keys whose tokens have all expired by now: another key has signed
// for longer than the lifetime of a token.
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

// unknownKeyError reports that the key to be revoked does not exist. Its text lists the keys.
type unknownKeyError struct {
	keyID string
	keys  []signingKey
	now   time.Time
}

// Error implements error.
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

// activeIndex returns the index of the key that signs at now, -1 for none. keys is sorted by
// activeFrom.
func activeIndex(keys []signingKey, now time.Time) int {
	for i := len(keys) - 1; i >= 0; i-- {
		if !keys[i].activeFrom.After(now) {
			return i
		}
	}
	return -1
}

// replacementFor reports whether the revoked key keys[i] must be replaced, because it signs now or
// is the newest, and from when the replacement signs. A key that has signed is replaced from its
// own activeFrom: with a later time, a replica whose clock is behind would sign with an older key
// again.
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
