package secrets

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

// TokenBytes is the number of random bytes in a token.
const TokenBytes = 32

// NewToken returns TokenBytes random bytes in base64url (RFC 4648, section 5), for refresh tokens,
// mailed tokens and pending sign-ins.
func NewToken() string {
	b := make([]byte, TokenBytes)
	_, _ = rand.Read(b) // crypto/rand.Read never returns an error
	return base64.RawURLEncoding.EncodeToString(b)
}

// HashToken returns the SHA-256 of a token, which the database stores in place of the token. A
// plain hash is enough, because a token cannot be guessed.
func HashToken(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}
