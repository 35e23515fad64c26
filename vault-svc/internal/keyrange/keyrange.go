// Package keyrange provides the ranges of vault keys that begin with certain prefixes, as bounds
// for an index whose order is that of the keys' bytes. Start reading at Of.
package keyrange

import (
	"github.com/realmgate/realmgate/pkg/auth"
)

// The key characters lie between these bytes: least is one of them, above is not.
const (
	least = "-"
	above = "\x7f"
)

// Ranges are the lower bounds (inclusive) and the upper bounds (exclusive) of disjoint ranges, in
// ascending order. No bounds contain no key.
type Ranges struct{ Lower, Upper []string }

// Of returns the ranges of the keys in the scope that begin with prefix, which is taken literally
// and may be any text.
func Of(scope auth.VaultScope, prefix string) Ranges {
	if len(prefix) > auth.MaxVaultPrefix || !auth.ValidKeyCharacters(prefix) {
		return Ranges{}
	}
	prefixes, _ := scope.Within(prefix)
	var r Ranges
	for _, p := range prefixes {
		r.Lower, r.Upper = append(r.Lower, p), append(r.Upper, p+above)
	}
	return r
}

// After returns the part of the ranges that follows the key.
func (r Ranges) After(key string) Ranges {
	next := key + least // the least string of key characters that sorts after key
	var rest Ranges
	for i, upper := range r.Upper {
		if upper > next {
			rest.Lower, rest.Upper = append(rest.Lower, max(r.Lower[i], next)), append(rest.Upper, upper)
		}
	}
	return rest
}

// Empty reports whether the ranges contain no key.
func (r Ranges) Empty() bool { return len(r.Lower) == 0 }

// Contain reports whether the key is in one of the ranges.
func (r Ranges) Contain(key string) bool {
	for i, lower := range r.Lower {
		if lower <= key && key < r.Upper[i] {
			return true
		}
	}
	return false
}
