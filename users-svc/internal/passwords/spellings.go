package passwords

import (
	"golang.org/x/text/unicode/norm"

	"github.com/realmgate/realmgate/users-svc/internal/field"
)

// spellings returns the forms of the password that a stored hash may be made of, form C first.
// Releases before NFC hashed what was typed, so the form as sent is the second, and form D when
// that is the same. Two at most: each costs a hash.
func spellings(password string) []string {
	first, second := field.NFC(password), password
	if second == first {
		second = norm.NFD.String(password)
	}
	if second == first {
		return []string{first}
	}
	return []string{first, second}
}
