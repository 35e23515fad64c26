// Package auth provides the two kinds of signed token in Realmgate: the access token of a client (a
// JWT signed with Ed25519, RFC 7519 and RFC 8037) and the internal identity that the gateway adds
// for the services. It does no I/O. Start reading at Claims for the first, at Identity for the
// second.
package auth

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Claims are the claims of an access token.
type Claims struct {
	UserID    string    // sub
	SessionID string    // sid
	TokenID   string    // jti
	IssuedAt  time.Time // iat
	ExpiresAt time.Time // exp
}

// ErrExpired and ErrInvalid are the reasons to refuse a token: it was valid once, or it never was.
var (
	ErrExpired = errors.New("token expired")
	ErrInvalid = errors.New("token invalid")
)

type jwtClaims struct {
	jwt.RegisteredClaims
	SessionID string `json:"sid"`
}

// SigningKey is a private key and its id.
type SigningKey struct {
	ID      string // kid
	Private ed25519.PrivateKey
}

// Sign makes the access token for c (EdDSA, RFC 8037).
func (k SigningKey) Sign(c Claims, issuer, audience string) (string, error) {
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwtClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: issuer, Audience: jwt.ClaimStrings{audience}, Subject: c.UserID, ID: c.TokenID,
			IssuedAt: jwt.NewNumericDate(c.IssuedAt), ExpiresAt: jwt.NewNumericDate(c.ExpiresAt),
		},
		SessionID: c.SessionID,
	})
	t.Header["kid"] = k.ID
	return t.SignedString(k.Private)
}

// maxSkew is how far the clock of users-svc may be ahead of a gateway's.
const maxSkew = 5 * time.Minute

// LivesFor reports whether the token's lifetime is at most longest, as for the tokens of users-svc,
// so that a leaked key cannot make tokens that last for years. It is false for a token without a
// time of issue, or with one in the future.
func (c Claims) LivesFor(longest time.Duration, now time.Time) bool {
	// Both times are whole seconds and are rounded independently.
	return !c.IssuedAt.After(now.Add(maxSkew)) && c.ExpiresAt.Sub(c.IssuedAt) <= longest+time.Second
}

// Parse checks token against keys (by kid), the issuer and the audience. The error is ErrExpired,
// or ErrInvalid with the reason; a kid that keys does not hold is also ErrUnknownKey. There is no
// leeway: the issuer's clock and ours are expected to be synchronised.
func Parse(token string, keys map[string]ed25519.PublicKey, issuer, audience string, now func() time.Time) (Claims,
	error) {
	var c jwtClaims
	_, err := jwt.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		key, ok := keys[kid]
		if !ok {
			return nil, ErrUnknownKey
		}
		return key, nil
	}, jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithExpirationRequired(),
		jwt.WithIssuer(issuer),
		jwt.WithAudience(audience), jwt.WithTimeFunc(now), jwt.WithStrictDecoding())
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return Claims{}, ErrExpired
	case err != nil:
		return Claims{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	case c.Subject == "" || c.SessionID == "":
		return Claims{}, fmt.Errorf("%w: sub and sid are required", ErrInvalid)
	}
	out := Claims{UserID: c.Subject, SessionID: c.SessionID, TokenID: c.ID, ExpiresAt: c.ExpiresAt.Time}
	if c.IssuedAt != nil {
		out.IssuedAt = c.IssuedAt.Time
	}
	return out, nil
}

// ErrUnknownKey means that the key set may be out of date: the caller fetches it again before it
// refuses the token.
var ErrUnknownKey = errors.New("unknown key id")

// JWKS is a JSON Web Key Set of Ed25519 public keys (RFC 7517, RFC 8037).
type JWKS struct {
	Keys []JWK `json:"keys"`
}

// Published is the document about access tokens that users-svc serves to the gateways.
type Published struct {
	JWKS
	// MaxSeconds is the longest lifetime of an access token; 0 from a users-svc of an earlier
	// release.
	MaxSeconds int64 `json:"max_seconds"`
	// Stale means that users-svc could not read its database: a key may have been revoked since.
	Stale bool `json:"stale,omitempty"`
}

// JWK is one public key of a JWKS.
type JWK struct {
	KeyType   string `json:"kty"`
	Curve     string `json:"crv"`
	X         string `json:"x"`
	ID        string `json:"kid"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
}

// NewJWK describes a public key.
func NewJWK(kid string, key ed25519.PublicKey) JWK {
	return JWK{KeyType: "OKP", Curve: "Ed25519", X: base64.RawURLEncoding.EncodeToString(key), ID: kid, Use: "sig",
		Algorithm: "EdDSA"}
}

// PublicKeys returns the Ed25519 signing keys of the set by kid, and no other keys.
func (s JWKS) PublicKeys() map[string]ed25519.PublicKey {
	out := make(map[string]ed25519.PublicKey, len(s.Keys))
	for _, k := range s.Keys {
		x, err := base64.RawURLEncoding.DecodeString(k.X)
		if err == nil && k.KeyType == "OKP" && k.Curve == "Ed25519" && len(x) == ed25519.PublicKeySize {
			out[k.ID] = x
		}
	}
	return out
}
