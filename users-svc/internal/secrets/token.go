package secrets

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

const TokenBytes = 32

// NewToken returns 256 random bits in base64url, for refresh tokens and the like.
func NewToken() string {
	b := make([]byte, TokenBytes)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// HashToken is what the database keeps of a token.
func HashToken(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}
