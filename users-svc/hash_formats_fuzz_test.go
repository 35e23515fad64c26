package users

import (
	"errors"
	"strings"
	"testing"
)

// FuzzPasswordHash: an imported hash that is taken can be checked, at a cost within the bounds; any other is refused with errHashFormat.
func FuzzPasswordHash(f *testing.F) {
	for _, seed := range []string{
		"", "$", "$$$$", "$2a$", "$2b$10$" + strings.Repeat("a", 53), "$2y$31$" + strings.Repeat("a", 53), "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$" + strings.Repeat("A", 22),
		"$argon2id$v=19$m=4294967295,t=4294967295,p=255$c29tZXNhbHQ$" + strings.Repeat("A", 22), "$argon2id$v=19$m=0,t=0,p=0$$",
		"pbkdf2_sha256$1$salt$" + strings.Repeat("A", 43) + "=", "$pbkdf2-sha512$10$c2FsdA$" + strings.Repeat(".", 86), "pbkdf2_sha256$-1$$", "pbkdf2$99999999999999999999$a$b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, stored string) {
		if err := checkHashFormat(stored); err != nil {
			if !errors.Is(err, errHashFormat) {
				t.Fatalf("%q: %v", stored, err)
			}
			return
		}
		if cheap(stored) {
			if _, err := verifyAny("a password", stored); err != nil {
				t.Fatalf("%q was taken, but cannot be checked: %v", stored, err)
			}
		}
	})
}

// cheap says that checking costs a fuzzer little: the bounds of an import allow a second.
func cheap(stored string) bool {
	if strings.HasPrefix(stored, "$2") {
		return strings.HasPrefix(stored[3:], "$04$") || strings.HasPrefix(stored[3:], "$05$")
	}
	if p, err := parsePBKDF2(stored); err == nil {
		return p.rounds <= 1000
	}
	return strings.Contains(stored, "m=8,t=1,p=1$")
}
