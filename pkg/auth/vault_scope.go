package auth

import (
	"slices"
	"strings"
)

// The bounds of a list of key prefixes. The list is in a header of each request from the gateway to
// vault-svc, which accepts headers of MaxVaultHeaders.
const (
	MaxVaultPrefixes = 64
	MaxVaultPrefix   = 255      // characters of one prefix, as of a key
	MaxVaultHeaders  = 48 << 10 // bytes of a request's line and headers
	maxPrefixText    = MaxVaultPrefixes * MaxVaultPrefix
)

// VaultScope is the part of the vault that an auth token may use.
type VaultScope struct {
	ReadOnly bool     `json:"ro,omitempty"`
	Prefixes []string `json:"pre,omitempty"` // of keys, as NormalPrefixes returns them; empty: all keys
}

// Vault returns the part of the vault that the token may use, which is the zero VaultScope for the
// whole vault. It returns false for a token that may not use the vault.
func (g *Grant) Vault() (VaultScope, bool) {
	switch {
	case g == nil || !g.Allows(PermVault):
		return VaultScope{}, false
	case g.VaultScope != nil:
		return *g.VaultScope, true
	}
	return VaultScope{}, g.VaultAccess
}

// WithoutVaultScope returns the grant for a service other than the vault: a long list of prefixes
// does not fit into its headers.
func (g *Grant) WithoutVaultScope() *Grant {
	if g == nil || g.VaultScope == nil {
		return g
	}
	short := *g
	short.VaultScope = nil
	return &short
}

// Covers reports whether the key is in the scope.
func (s VaultScope) Covers(key string) bool {
	return len(s.Prefixes) == 0 ||
		slices.ContainsFunc(s.Prefixes, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
}

// Within returns the prefixes of the keys in the scope that begin with prefix, sorted; false when
// there are none.
func (s VaultScope) Within(prefix string) ([]string, bool) {
	if len(s.Prefixes) == 0 {
		return []string{prefix}, true
	}
	both := CommonPrefixes(s.Prefixes, []string{prefix})
	return both, len(both) > 0
}

// ValidPrefix reports whether prefix consists of 1 to MaxVaultPrefix characters of a vault key,
// [A-Za-z0-9._-].
func ValidPrefix(prefix string) bool {
	return len(prefix) >= 1 && len(prefix) <= MaxVaultPrefix && ValidKeyCharacters(prefix)
}

// ValidKeyCharacters reports whether s consists of characters that a vault key may have.
func ValidKeyCharacters(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

// NormalPrefixes returns the shortest sorted list that covers the same keys: without prefixes that
// another one covers.
func NormalPrefixes(prefixes []string) []string {
	var normal []string
	for _, p := range slices.Sorted(slices.Values(prefixes)) {
		// A prefix sorts directly before everything that it covers.
		if n := len(normal); n == 0 || !strings.HasPrefix(p, normal[n-1]) {
			normal = append(normal, p)
		}
	}
	return normal
}

// CommonPrefixes returns the normal list of the keys that both non-empty lists cover.
func CommonPrefixes(a, b []string) []string {
	var both []string
	for _, p := range a {
		for _, q := range b {
			switch {
			case strings.HasPrefix(p, q):
				both = append(both, p)
			case strings.HasPrefix(q, p):
				both = append(both, q)
			}
		}
	}
	return NormalPrefixes(both)
}

// PrefixesFit reports whether a request to vault-svc can carry the prefixes.
func PrefixesFit(prefixes []string) bool {
	size := 0
	for _, p := range prefixes {
		size += len(p)
	}
	return len(prefixes) <= 4*MaxVaultPrefixes && size <= maxPrefixText
}
