package users

import (
	"context"
	"crypto/ed25519"
	"errors"
	"sync"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
)

// keyring holds the Ed25519 keys that sign access tokens. They live in PostgreSQL, so that every replica has the same; a new key is published
// for a while before it signs, and an old one until the last token that it signed has expired.
type keyring struct {
	*core

	mu     sync.RWMutex
	keys   []signingKey // by signsFrom, the oldest first
	loaded time.Time
}

// signingKey is a key and the time from which it signs, which ends with the next key's.
type signingKey struct {
	auth.SigningKey
	createdAt, signsFrom time.Time
}

const (
	keyUpkeep = 30 * time.Second // how often a replica looks for new keys; far less than the default SIGNING_KEY_LEAD
	keyFresh  = time.Second      // how old the published set may be
	// keyMargin is added to the time that an old key is published, for clocks that differ.
	keyMargin = 5 * time.Minute
)

var errNoSigningKey = errors.New("there is no signing key yet")

// sign makes an access token with the key that signs now.
func (k *keyring) sign(c auth.Claims) (string, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	now := k.now()
	for i := len(k.keys) - 1; i >= 0; i-- {
		if !k.keys[i].signsFrom.After(now) {
			return k.keys[i].Sign(c, k.cfg.Tokens.Issuer, k.cfg.Tokens.Audience)
		}
	}
	return "", errNoSigningKey
}

// published returns the public keys, those that do not sign yet or any more included. While the database is away it returns what it knows.
func (k *keyring) published(ctx context.Context) auth.JWKS {
	k.mu.RLock()
	old := k.now().Sub(k.loaded) > keyFresh
	k.mu.RUnlock()
	if old {
		if err := k.load(ctx); err != nil {
			k.log.Warn("signing keys could not be read again", "error", err.Error())
		}
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	set := auth.JWKS{}
	for _, key := range k.keys {
		set.Keys = append(set.Keys, auth.NewJWK(key.ID, key.Private.Public().(ed25519.PublicKey)))
	}
	return set
}

// load reads the keys from the database.
func (k *keyring) load(ctx context.Context) error {
	keys, err := k.readKeys(ctx, k.pool)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys, k.loaded = keys, k.now()
	return nil
}

// upkeep makes a key when there is none or the newest is too old, forgets those that no token needs, and loads the rest.
func (k *keyring) upkeep(ctx context.Context) error {
	if err := k.renew(ctx, k.decideNext); err != nil {
		return err
	}
	return k.load(ctx)
}

// decideNext says whether a key is to be made and from when it signs.
func (k *keyring) decideNext(keys []signingKey) (signsFrom time.Time, make bool) {
	now := k.now()
	if len(keys) == 0 {
		return now, true
	}
	newest := keys[len(keys)-1]
	return now.Add(k.cfg.Tokens.KeyLead), now.Sub(newest.createdAt) > k.cfg.Tokens.KeyMaxAge
}

// expired returns the ids of the keys whose last token has expired: another key signs for longer than a token lives.
func (k *keyring) expired(keys []signingKey) []string {
	var out []string
	longest := k.cfg.Tokens.AccessTTL + keyMargin
	for i := range keys[:max(0, len(keys)-1)] {
		if k.now().Sub(keys[i+1].signsFrom) > longest {
			out = append(out, keys[i].ID)
		}
	}
	return out
}
