package users

import (
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"

	"github.com/alexedwards/argon2id"
	"golang.org/x/crypto/bcrypt"
)

// errHashFormat means that a stored or imported hash is of no kind that verifyAny knows, or costs more than it may.
var errHashFormat = errors.New("not a bcrypt, Argon2id or PBKDF2 hash within bounds")

// What checking an imported hash may cost at most: an import must not be able to stop the service.
const (
	maxArgonMemoryKiB = 256 << 10
	maxArgonWork      = 4 << 20 // memory in KiB times passes
	maxBcryptCost     = 14
	maxPBKDF2Rounds   = 2_000_000
)

// verifyAny checks password against a hash of any known kind: $argon2id$ (PHC), $2a$ $2b$ $2y$ (bcrypt), $pbkdf2-sha256$ (passlib) or
// pbkdf2_sha256$ (Django), and their SHA-1 and SHA-512 siblings.
func verifyAny(password, stored string) (bool, error) {
	switch {
	case strings.HasPrefix(stored, "$argon2id$"):
		return argon2id.ComparePasswordAndHash(password, stored)
	case strings.HasPrefix(stored, "$2"):
		err := bcrypt.CompareHashAndPassword([]byte(stored), []byte(password))
		if errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
			return false, nil
		}
		return err == nil, err
	default:
		p, err := parsePBKDF2(stored)
		if err != nil {
			return false, err
		}
		key, err := pbkdf2.Key(p.hash, password, p.salt, p.rounds, len(p.key))
		return err == nil && subtle.ConstantTimeCompare(key, p.key) == 1, err
	}
}

// checkHashFormat returns an error for a hash that verifyAny would refuse or that costs too much to check.
func checkHashFormat(stored string) error {
	switch {
	case strings.HasPrefix(stored, "$argon2id$"):
		p, salt, key, err := argon2id.DecodeHash(stored)
		if err != nil || len(salt) < 8 || len(key) < 16 || p.Iterations < 1 || p.Parallelism < 1 || p.Memory > maxArgonMemoryKiB ||
			uint64(p.Memory)*uint64(p.Iterations) > maxArgonWork {
			return errHashFormat
		}
		return nil
	case strings.HasPrefix(stored, "$2"):
		if cost, err := bcrypt.Cost([]byte(stored)); err != nil || cost > maxBcryptCost || len(stored) != 60 {
			return errHashFormat
		}
		return nil
	default:
		_, err := parsePBKDF2(stored)
		return err
	}
}

type pbkdf2Hash struct {
	hash      func() hash.Hash
	rounds    int
	salt, key []byte
}

// parsePBKDF2 reads passlib's $pbkdf2-sha256$rounds$salt$key, whose base64 has "." for "+" and no padding, and Django's
// pbkdf2_sha256$rounds$salt$key, whose salt is plain text.
func parsePBKDF2(stored string) (pbkdf2Hash, error) {
	passlib := strings.HasPrefix(stored, "$pbkdf2")
	parts := strings.Split(strings.TrimPrefix(stored, "$"), "$")
	if len(parts) != 4 || !strings.HasPrefix(parts[0], "pbkdf2") {
		return pbkdf2Hash{}, errHashFormat
	}
	p := pbkdf2Hash{}
	switch strings.TrimLeft(strings.TrimPrefix(parts[0], "pbkdf2"), "-_") {
	case "", "sha1":
		p.hash = sha1.New
	case "sha256":
		p.hash = sha256.New
	case "sha512":
		p.hash = sha512.New
	default:
		return pbkdf2Hash{}, errHashFormat
	}
	var err error
	if p.rounds, err = strconv.Atoi(parts[1]); err != nil || p.rounds < 1 || p.rounds > maxPBKDF2Rounds {
		return pbkdf2Hash{}, errHashFormat
	}
	decode := func(s string) ([]byte, error) {
		return base64.RawStdEncoding.DecodeString(strings.ReplaceAll(strings.TrimRight(s, "="), ".", "+"))
	}
	p.salt = []byte(parts[2])
	if passlib {
		if p.salt, err = decode(parts[2]); err != nil {
			return pbkdf2Hash{}, fmt.Errorf("%w: salt", errHashFormat)
		}
	}
	if p.key, err = decode(parts[3]); err != nil || len(p.key) < 16 || len(p.key) > 64 {
		return pbkdf2Hash{}, errHashFormat
	}
	return p, nil
}
