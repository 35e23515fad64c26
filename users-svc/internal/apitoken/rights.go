package apitoken

import (
	"net/netip"
	"slices"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
)

// rights are what a token may do where, and until when.
type rights struct {
	vault, events, allowNoRealm bool
	permissions                 []string    // of knownPermissions, in their order
	realms                      []string    // empty: any
	addresses                   addressList // empty: any
	expiresAt                   time.Time   // zero: no end
	unusable                    bool        // disabled, expired, or left with no realm or no address
}

// rightsOf returns what the first token of lineage may do. The others are the token that made it,
// the one that made that, and so on: a token never has a right that one of them lacks at this
// moment, so narrowing or disabling a token acts on all that came from it.
func rightsOf(lineage []Token, now time.Time) rights {
	effective := rights{vault: true, events: true, allowNoRealm: true, permissions: auth.KnownPermissions()}
	for _, t := range lineage {
		effective.unusable = effective.unusable || !t.IsEnabled || t.expired(now)
		effective.vault, effective.events, effective.allowNoRealm = effective.vault && t.VaultAccess, effective.events &&
			t.EventAccess, effective.allowNoRealm && t.AllowNoRealm
		effective.permissions = slices.DeleteFunc(effective.permissions,
			func(p string) bool { return !t.Permissions.Allows(p) })
		if end := (*time.Time)(t.ExpiresAt); end != nil && (effective.expiresAt.IsZero() || end.Before(effective.expiresAt)) {
			effective.expiresAt = *end
		}
		effective.realms = effective.intersectRealms(effective.realms, t.RealmIDs)
		effective.addresses = effective.intersectPrefixes(t.IPWhitelist)
	}
	return effective
}

// intersect returns the realms that both allow. Two restrictions with nothing in common leave no
// place where the token works.
func (r *rights) intersectRealms(a, b []string) []string {
	if len(a) == 0 || len(b) == 0 {
		return append(slices.Clone(a), b...)
	}
	both := slices.DeleteFunc(slices.Clone(a), func(realm string) bool { return !slices.Contains(b, realm) })
	r.unusable = r.unusable || len(both) == 0
	return both
}

func (r *rights) intersectPrefixes(b addressList) addressList {
	a := r.addresses
	if len(a) == 0 || len(b) == 0 {
		return append(slices.Clone(a), b...)
	}
	var both addressList
	for _, p := range a {
		if slices.ContainsFunc(b, func(q netip.Prefix) bool { return covers(q, p) }) {
			both = append(both, p)
			continue
		}
		for _, q := range b {
			if covers(p, q) {
				both = append(both, q)
			}
		}
	}
	r.unusable = r.unusable || len(both) == 0
	return both
}

func covers(outer, inner netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

// equal reports whether two tokens of these rights may do the same.
func (r rights) equal(o rights) bool {
	return r.vault == o.vault && r.events == o.events && r.allowNoRealm == o.allowNoRealm && r.unusable == o.unusable &&
		r.expiresAt.Equal(o.expiresAt) &&
		slices.Equal(r.permissions, o.permissions) && slices.Equal(r.realms, o.realms) &&
		slices.Equal(r.addresses, o.addresses)
}

// subsetOf reports whether a token t made by the first of makers would claim nothing that they
// lack.
func subsetOf(t Token, ancestors []Token, now time.Time) bool {
	claimed := rightsOf([]Token{t}, now)
	return len(ancestors) == 0 || claimed.equal(rightsOf(append([]Token{t}, ancestors...), now))
}

// grant is the part of the rights that travels with a request.
func (r rights) grant() auth.Grant {
	return auth.Grant{VaultAccess: r.vault, EventAccess: r.events, Realms: r.realms, AllowNoRealm: r.allowNoRealm,
		Permissions: r.permissions}
}
