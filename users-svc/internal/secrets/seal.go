// Package secrets provides opaque tokens, and encryption of secrets at rest. Start reading at Sealer
// and NewToken.
package secrets

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Sealer keeps secrets unreadable in the database: AES-256-GCM with a random nonce (NIST SP
// 800-38D). The first key seals; all open, so that a key can be replaced without a stop.
type Sealer struct{ keys []cipher.AEAD }

// NewSealer reads a comma-separated list of base64 keys of 32 bytes.
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

// Seal returns plain encrypted; about says what it is (such as "totp:<user id>"), and open needs
// the same, so that a row copied elsewhere does not open.
func (s *Sealer) Seal(plain []byte, associatedData string) []byte {
	return s.keys[0].Seal(nil, nil, plain, []byte(associatedData))
}

// Open is the inverse of seal. It fails when no key fits or about is not what it was sealed with.
func (s *Sealer) Open(sealed []byte, associatedData string) ([]byte, error) {
	for _, key := range s.keys {
		if plain, err := key.Open(nil, nil, sealed, []byte(associatedData)); err == nil {
			return plain, nil
		}
	}
	return nil, fmt.Errorf("%s: sealed under a key that KEY_ENCRYPTION_KEY does not hold", associatedData)
}

// Reseal returns sealed as the first key seals it, nil when it is that already.
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
