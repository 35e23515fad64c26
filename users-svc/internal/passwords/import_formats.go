package passwords

import (
	"regexp"
	"strings"
)

// kratosPBKDF2 matches the PBKDF2 hashes of Ory Kratos, with the length of the key beside the
// rounds.
var kratosPBKDF2 = regexp.MustCompile(`^(\$pbkdf2-sha(?:1|256|512)\$)i=([0-9]+),l=[0-9]+(\$.*)$`)

// Normalize returns an imported hash in a format that parseHash knows: Django's Argon2id without
// the name of Django's hasher, and the PBKDF2 of Ory Kratos in passlib's spelling. Any other hash
// stays as it is.
func Normalize(imported string) string {
	if rest, ok := strings.CutPrefix(imported, "argon2$argon2id$"); ok {
		return "$argon2id$" + rest
	}
	return kratosPBKDF2.ReplaceAllString(imported, "${1}${2}${3}")
}
