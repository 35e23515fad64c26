package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// InternalKeys are the secret keys that the gateway shares with one service. The gateway signs
// identities with them, the service verifies the signatures. Every key verifies, so that a key can
// be replaced without a stop.
type InternalKeys struct {
	keys    [][]byte
	signing []byte
	now     func() time.Time
}

// minInternalKey is the shortest accepted key: the hash's own length (RFC 7518, section 3.2).
const minInternalKey = 32

// SharedKeysSetting is the setting of earlier releases, one list of keys for all services. This
// release still accepts it, and a process then logs SharedKeysWarning.
const (
	SharedKeysSetting = "INTERNAL_KEYS"
	SharedKeysWarning = "INTERNAL_KEYS is deprecated: whoever reads it from one service can sign as the gateway " +
		"for all. " +
		"Remove it, from the gateways first, once every process runs this release and has keys of its own"
)

// NewInternalKeys reads a comma-separated list of keys of at least 32 characters each. The first
// key signs.
func NewInternalKeys(list string, now func() time.Time) (*InternalKeys, error) {
	k := &InternalKeys{now: now}
	for s := range strings.SplitSeq(list, ",") {
		if s = strings.TrimSpace(s); len(s) < minInternalKey {
			return nil, fmt.Errorf("every internal key must have at least %d characters", minInternalKey)
		}
		k.keys = append(k.keys, []byte(s))
	}
	k.signing = k.keys[0]
	return k, nil
}

// ReadInternalKeys returns the keys of a service from own, the value of the setting called name,
// and from shared, the value of SharedKeysSetting; one of the two may be empty. While there are
// shared keys, the first of them signs, because a service of the previous release knows no others.
// The error names the setting.
func ReadInternalKeys(name, own, shared string, now func() time.Time) (*InternalKeys, error) {
	if own == "" && shared == "" {
		return nil, fmt.Errorf("%s is required and not set", name)
	}
	both := &InternalKeys{now: now}
	for _, s := range []struct{ name, list string }{{name, own}, {SharedKeysSetting, shared}} {
		if s.list == "" {
			continue
		}
		k, err := NewInternalKeys(s.list, now)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		both.keys, both.signing = append(both.keys, k.keys...), k.signing
	}
	return both, nil
}

// Shares reports whether k and the other keys have a key in common.
func (k *InternalKeys) Shares(other *InternalKeys) bool {
	return slices.ContainsFunc(k.keys, func(key []byte) bool {
		return slices.ContainsFunc(other.keys, func(theirs []byte) bool { return hmac.Equal(key, theirs) })
	})
}

type identityClaims struct {
	jwt.RegisteredClaims
	Identity
}

// Sign returns the header value that carries the identity of the caller to audience, the name of a
// service.
func (k *InternalKeys) Sign(i Identity, audience string) (string, error) {
	return jwt.NewWithClaims(jwt.SigningMethodHS256, identityClaims{
		RegisteredClaims: jwt.RegisteredClaims{Audience: jwt.ClaimStrings{audience},
			ExpiresAt: jwt.NewNumericDate(k.now().Add(IdentityTTL))},
		Identity: i,
	}).SignedString(k.signing)
}

// Verify returns the identity in a header value that was signed for audience. The error is
// ErrInvalid or ErrExpired, with the reason.
func (k *InternalKeys) Verify(header, audience string) (Identity, error) {
	var last error
	for _, key := range k.keys {
		var c identityClaims
		_, err := jwt.ParseWithClaims(header, &c, func(*jwt.Token) (any, error) { return key, nil },
			jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithExpirationRequired(),
			jwt.WithAudience(audience),
			jwt.WithTimeFunc(k.now), jwt.WithLeeway(IdentityLeeway), jwt.WithStrictDecoding())
		if err == nil {
			return c.Identity, nil
		}
		last = err
	}
	if errors.Is(last, jwt.ErrTokenExpired) {
		return Identity{}, ErrExpired
	}
	return Identity{}, fmt.Errorf("%w: %w", ErrInvalid, last)
}

// Seal prefixes data with an authentication code (HMAC-SHA-256) that cannot be made without the
// keys. The code also covers about, the name under which data is stored. Seal encrypts nothing.
func (k *InternalKeys) Seal(about string, data []byte) []byte {
	return append(code(k.keys[0], about, data), data...)
}

// Open returns the data that was sealed under the same name; false when no key made the code.
func (k *InternalKeys) Open(about string, sealed []byte) ([]byte, bool) {
	if len(sealed) < sha256.Size {
		return nil, false
	}
	given, data := sealed[:sha256.Size], sealed[sha256.Size:]
	for _, key := range k.keys {
		if hmac.Equal(given, code(key, about, data)) {
			return data, true
		}
	}
	return nil, false
}

// code returns the authentication code of data. The input of a code contains a NUL and a signed
// identity does not, so no code is the signature of an identity.
func code(key []byte, about string, data []byte) []byte {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "sealed\x00%d\x00%s\x00", len(about), about)
	mac.Write(data)
	return mac.Sum(nil)
}
