package passwords

import (
	"errors"
	"strings"
	"testing"
)

// FuzzPasswordHash: a stored hash is either refused with errFormat, or can be checked; one that
// may be imported is within the bounds of its family.
func FuzzPasswordHash(f *testing.F) {
	for _, seed := range []string{
		"", "$", "$$$$", "$2a$", "$2b$10$" + strings.Repeat("a", 53), "$2y$31$" + strings.Repeat("a", 53),
		"$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$" + strings.Repeat("A", 22),
		"$argon2id$v=19$m=4294967295,t=4294967295,p=255$c29tZXNhbHQ$" + strings.Repeat("A", 22),
		"$argon2id$v=19$m=0,t=0,p=0$$",
		"pbkdf2_sha256$1$salt$" + strings.Repeat("A", 43) + "=", "$pbkdf2-sha512$10$c2FsdA$" + strings.Repeat(".", 86),
		"pbkdf2_sha256$-1$$", "pbkdf2$99999999999999999999$a$b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, stored string) {
		h, err := parseHash(stored)
		if err != nil {
			if !errors.Is(err, errFormat) {
				t.Fatalf("%q: %v", stored, err)
			}
			if CheckImportable(stored) == nil {
				t.Fatalf("%q may be imported, but cannot be parsed", stored)
			}
			return
		}
		if b := h.family.bounds(); CheckImportable(stored) == nil && (h.work < b.min || h.work > b.max) {
			t.Fatalf("%q may be imported, and costs %s", stored, h.family.cost(h.work))
		}
		if cheap(h, stored) {
			h.matches("a password")
		}
	})
}

// cheap says that checking costs a fuzzer little.
func cheap(h storedHash, stored string) bool {
	switch h.family.name {
	case familyBcrypt:
		return h.work <= 1<<5
	case familyPBKDF2:
		return h.work <= 1000
	}
	return strings.Contains(stored, "m=8,t=1,p=1$")
}
