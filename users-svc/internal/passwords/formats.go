package passwords

import (
	"bytes"
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
	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// errFormat reports that parseHash does not know the format of a stored or imported hash.
var errFormat = errors.New("is not a bcrypt, Argon2id or PBKDF2 hash")

// storedHash is a parsed password hash of any family.
type storedHash struct {
	family family
	work   uint64 // the cost of matches, in the unit of the family
	// matches reports whether the hash fits the password.
	matches func(password string) bool
	// ambiguous reports whether the hash fits other passwords besides this one too, so that the
	// true password is not known. It is nil for families without such passwords.
	ambiguous func(password string) bool
}

// parseHash parses a hash with the prefix $argon2id$ (PHC string format), $2a$, $2b$, $2y$
// (bcrypt), $pbkdf2-sha256$ (passlib) or pbkdf2_sha256$ (Django); PBKDF2 (RFC 8018) also with SHA-1
// and SHA-512. The error is errFormat.
func parseHash(stored string) (storedHash, error) {
	switch {
	case strings.HasPrefix(stored, "$argon2id$"):
		return parseArgon2(stored)
	case strings.HasPrefix(stored, "$2"):
		return parseBcrypt(stored)
	}
	return parsePBKDF2(stored)
}

// parseArgon2 parses a PHC string. It checks that the parameters are valid, but not their cost.
func parseArgon2(stored string) (storedHash, error) {
	p, salt, key, err := argon2id.DecodeHash(stored)
	if err != nil || len(salt) < 8 || len(key) < 16 || len(key) > 128 || p.Iterations < 1 || p.Parallelism < 1 {
		return storedHash{}, errFormat
	}
	return storedHash{
		family: family{name: familyArgon2, lanes: p.Parallelism}, work: uint64(p.Memory) * uint64(p.Iterations),
		matches: func(password string) bool {
			got := argon2.IDKey([]byte(password), salt, p.Iterations, p.Memory, p.Parallelism, p.KeyLength)
			return subtle.ConstantTimeCompare(got, key) == 1
		},
	}, nil
}

// argonMemory returns the memory of a valid Argon2id hash in KiB.
func argonMemory(stored string) uint32 {
	p, _, _, err := argon2id.DecodeHash(stored)
	if err != nil {
		return 0
	}
	return p.Memory
}

const (
	bcryptLength = 60
	// bcryptBytes is the length of bcrypt's input: the password and a NUL byte, repeated or cut to
	// this length. So bytes after the 72nd do not count, and the password P matches P NUL P.
	bcryptBytes = 72
)

// parseBcrypt parses a hash such as $2b$10$ with 22 digits of salt and 31 of key.
func parseBcrypt(stored string) (storedHash, error) {
	if len(stored) != bcryptLength || !strings.Contains("aby", stored[2:3]) || stored[3] != '$' {
		return storedHash{}, errFormat
	}
	cost, err := bcrypt.Cost([]byte(stored))
	if err != nil || bytes.ContainsFunc([]byte(stored[7:]), notBcryptDigit) {
		return storedHash{}, errFormat
	}
	return storedHash{
		family: family{name: familyBcrypt}, work: 1 << cost,
		matches: func(password string) bool {
			return bcrypt.CompareHashAndPassword([]byte(stored), []byte(password)) == nil
		},
		ambiguous: func(password string) bool {
			return len(password) >= bcryptBytes || strings.Contains(password, "\x00")
		},
	}, nil
}

func notBcryptDigit(r rune) bool {
	return !(r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r == '.' || r == '/')
}

// parsePBKDF2 parses passlib's $pbkdf2-sha256$rounds$salt$key, in base64 with "." for "+" and
// without padding, and Django's pbkdf2_sha256$rounds$salt$key, with the salt in plain text.
func parsePBKDF2(stored string) (storedHash, error) {
	passlib := strings.HasPrefix(stored, "$pbkdf2")
	parts := strings.Split(strings.TrimPrefix(stored, "$"), "$")
	if len(parts) != 4 || !strings.HasPrefix(parts[0], "pbkdf2") {
		return storedHash{}, errFormat
	}
	digest, newHash := pbkdf2Digest(strings.TrimLeft(strings.TrimPrefix(parts[0], "pbkdf2"), "-_"))
	rounds, err := strconv.ParseUint(parts[1], 10, 31)
	if newHash == nil || err != nil || rounds < 1 {
		return storedHash{}, errFormat
	}
	decode := func(s string) ([]byte, error) {
		return base64.RawStdEncoding.DecodeString(strings.ReplaceAll(strings.TrimRight(s, "="), ".", "+"))
	}
	salt := []byte(parts[2])
	if passlib {
		if salt, err = decode(parts[2]); err != nil {
			return storedHash{}, fmt.Errorf("%w: its salt is not base64", errFormat)
		}
	}
	key, err := decode(parts[3])
	if err != nil || len(key) < 16 || len(key) > 64 {
		return storedHash{}, errFormat
	}
	return newPBKDF2(digest, newHash, int(rounds), salt, key), nil
}

// newPBKDF2 returns a hash that compares only the first block of the key. Blocks are independent of
// each other, so an attacker needs only one, and more would raise only our cost.
func newPBKDF2(digest string, newHash func() hash.Hash, rounds int, salt, key []byte) storedHash {
	size, block := newHash().Size(), newHash().BlockSize()
	key = key[:min(len(key), size)]
	return storedHash{
		family: family{name: familyPBKDF2, digest: digest}, work: uint64(rounds),
		matches: func(password string) bool {
			got, err := pbkdf2.Key(newHash, password, salt, rounds, len(key))
			return err == nil && subtle.ConstantTimeCompare(got, key) == 1
		},
		// HMAC (RFC 2104) pads a key shorter than a block with NULs and replaces a longer one by
		// its digest.
		ambiguous: func(password string) bool {
			return len(password) > block || len(password) == size || strings.HasSuffix(password, "\x00")
		},
	}
}

// pbkdf2Digest returns the canonical name and the constructor of a hash function by its name in a
// hash; the constructor is nil for an unknown name.
func pbkdf2Digest(name string) (string, func() hash.Hash) {
	switch name {
	case "", "sha1":
		return "sha1", sha1.New
	case "sha256":
		return "sha256", sha256.New
	case "sha512":
		return "sha512", sha512.New
	}
	return "", nil
}
