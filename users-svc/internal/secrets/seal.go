// Package secrets provides random opaque tokens and their hashes, and the encryption of secrets in
// the database. Start reading at Sealer and NewToken.
package secrets

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Sealer encrypts secrets for the database: AES-256-GCM with a random nonce (NIST SP 800-38D). The
// first key encrypts and all keys decrypt, so that a key can be replaced while the service runs.
type Sealer struct{ keys []cipher.AEAD }

// NewSealer returns a sealer with the keys of a comma-separated list. Each key has 32 bytes in
// base64 (RFC 4648, section 4).
func NewSealer(keys string) (*Sealer, error) {
	sealer := &Sealer{}
	for encoded := range strings.SplitSeq(keys, ",") {
		key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
		if err != nil || len(key) != 32 {
			return nil, errors.New("every key must be 32 bytes in base64, for example from: openssl rand -base64 32")
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, err
		}
		sealer.keys = append(sealer.keys, aead)
	}
	return sealer, nil
}

// Seal encrypts plain with the first key. Open needs the same associatedData, which names the row
// (such as "totp:<user id>"), so that a value copied to another row cannot be decrypted.
func (s *Sealer) Seal(plain []byte, associatedData string) []byte {
	return s.keys[0].Seal(nil, nil, plain, []byte(associatedData))
}

// Open decrypts a value that Seal returned. It fails when none of the keys fits, or associatedData
// differs.
func (s *Sealer) Open(sealed []byte, associatedData string) ([]byte, error) {
	for _, key := range s.keys {
		if plain, err := key.Open(nil, nil, sealed, []byte(associatedData)); err == nil {
			return plain, nil
		}
	}
	return nil, fmt.Errorf("%s: sealed under a key that KEY_ENCRYPTION_KEY does not hold", associatedData)
}

// Reseal encrypts a sealed value again with the first key. It returns nil when the value is
// encrypted with the first key already.
func (s *Sealer) Reseal(sealed []byte, associatedData string) ([]byte, error) {
	if _, err := s.keys[0].Open(nil, nil, sealed, []byte(associatedData)); err == nil {
		return nil, nil
	}
	plain, err := s.Open(sealed, associatedData)
	if err != nil {
		return nil, err
	}
	return s.Seal(plain, associatedData), nil
}
