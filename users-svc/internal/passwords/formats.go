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

// errFormat means that a stored or imported hash is of no kind that parseHash knows.
var errFormat = errors.New("is not a bcrypt, Argon2id or PBKDF2 hash")

// storedHash is a password hash of any kind. Checking it costs work in the unit of its family.
type storedHash struct {
	family family
	work   uint64
	// matches does the work.
	matches func(password string) bool
	// ambiguous says that the hash may have been made of another password than this one, which
	// matches too. nil: never.
	ambiguous func(password string) bool
}

// parseHash reads $argon2id$ (PHC), $2a$ $2b$ $2y$ (bcrypt), $pbkdf2-sha256$ (passlib) or
// pbkdf2_sha256$ (Django), and their SHA-1 and SHA-512 siblings.
func parseHash(stored string) (storedHash, error) {
	switch {
	case strings.HasPrefix(stored, "$argon2id$"):
		return parseArgon2(stored)
	case strings.HasPrefix(stored, "$2"):
		return parseBcrypt(stored)
	}
	return parsePBKDF2(stored)
}

// parseArgon2 reads a hash whose parameters the algorithm takes; bounds on its cost are not
// checked.
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

// argonMemory returns the KiB of an Argon2id hash that has been parsed.
func argonMemory(stored string) uint32 {
	p, _, _, err := argon2id.DecodeHash(stored)
	if err != nil {
		return 0
	}
	return p.Memory
}

const (
	bcryptLength = 60
	// bcryptBytes are all that bcrypt reads of the password and the NUL that it appends, over and
	// over. So 72 bytes match whatever follows them, and P matches P NUL P.
	bcryptBytes = 72
)

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

// parsePBKDF2 reads passlib's $pbkdf2-sha256$rounds$salt$key, whose base64 has "." for "+" and no
// padding, and Django's pbkdf2_sha256$rounds$salt$key, whose salt is plain text.
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

// newPBKDF2 compares the first block of the key only: the blocks do not depend on one another, so
// those after it would double the cost for us and not for who guesses.
func newPBKDF2(digest string, newHash func() hash.Hash, rounds int, salt, key []byte) storedHash {
	size, block := newHash().Size(), newHash().BlockSize()
	key = key[:min(len(key), size)]
	return storedHash{
		family: family{name: familyPBKDF2, digest: digest}, work: uint64(rounds),
		matches: func(password string) bool {
			got, err := pbkdf2.Key(newHash, password, salt, rounds, len(key))
			return err == nil && subtle.ConstantTimeCompare(got, key) == 1
		},
		// HMAC appends NULs to a shorter key than a block, and replaces a longer one by its digest.
		ambiguous: func(password string) bool {
			return len(password) > block || len(password) == size || strings.HasSuffix(password, "\x00")
		},
	}
}

// pbkdf2Digest returns the hash function that a format names, and our name for it; nil for none.
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
