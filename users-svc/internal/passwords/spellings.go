package passwords

import (
	"golang.org/x/text/unicode/norm"

	"github.com/realmgate/realmgate/users-svc/internal/field"
)

// spellings returns the Unicode forms of the password of which a stored hash may be made, form C
// first. Earlier releases hashed the password as sent, so that form is the second; if both are
// equal, form D is. There are at most two, because each costs a hash.
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
