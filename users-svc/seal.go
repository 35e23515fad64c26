package users

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// sealer keeps secrets unreadable in the database: AES-256-GCM with a random nonce (NIST SP
// 800-38D). The first key seals; all open, so that a key can be replaced without a stop.
type sealer struct{ keys []cipher.AEAD }

// newSealer reads a comma-separated list of base64 keys of 32 bytes.
func newSealer(list string) (*sealer, error) {
	s := &sealer{}
	for text := range strings.SplitSeq(list, ",") {
		key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
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
		s.keys = append(s.keys, aead)
	}
	return s, nil
}

// seal returns plain encrypted; about says what it is (such as "totp:<user id>"), and open needs
// the same, so that a row copied elsewhere does not open.
func (s *sealer) seal(plain []byte, about string) []byte {
	return s.keys[0].Seal(nil, nil, plain, []byte(about))
}

// open is the inverse of seal. It fails when no key fits or about is not what it was sealed with.
func (s *sealer) open(sealed []byte, about string) ([]byte, error) {
	for _, key := range s.keys {
		if plain, err := key.Open(nil, nil, sealed, []byte(about)); err == nil {
			return plain, nil
		}
	}
	return nil, fmt.Errorf("%s: sealed under a key that KEY_ENCRYPTION_KEY does not hold", about)
}

// again returns sealed as the first key seals it, nil when it is that already.
func (s *sealer) again(sealed []byte, about string) ([]byte, error) {
	if _, err := s.keys[0].Open(nil, nil, sealed, []byte(about)); err == nil {
		return nil, nil
	}
	plain, err := s.open(sealed, about)
	if err != nil {
		return nil, err
	}
	return s.seal(plain, about), nil
}
