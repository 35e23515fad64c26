package apitoken

import (
	"net/netip"
	"slices"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
)

// rights holds the effective rights of a token: actions, places and expiry.
type rights struct {
	vault, events, allowNoRealm bool
	permissions                 []string    // of auth.KnownPermissions, in that order
	realms                      []string    // empty: all
	addresses                   addressList // empty: any
	expiresAt                   time.Time   // zero: no end
	readOnly                    bool        // of the vault
	prefixes                    []string    // of vault keys, as auth.NormalPrefixes returns them; empty: all
	noKeys                      bool        // no vault key is left, or the prefixes are too many
	unusable                    bool        // disabled, expired, or left with no realm or no address
}

// rightsOf returns the rights at now of the first token of lineage. The other tokens are its
// ancestors, nearest first. A token has only rights that all its ancestors have now, so restricting
// or disabling a token applies to all its descendants.
func rightsOf(lineage []Token, now time.Time) rights {
	effective := rights{vault: true, events: true, allowNoRealm: true, permissions: auth.KnownPermissions()}
	for _, t := range lineage {
		effective.unusable = effective.unusable || !t.IsEnabled || t.expired(now)
		effective.vault = effective.vault && t.VaultAccess
		effective.events = effective.events && t.EventAccess
		effective.allowNoRealm = effective.allowNoRealm && t.AllowNoRealm
		effective.permissions = slices.DeleteFunc(effective.permissions,
			func(p string) bool { return !t.Permissions.Allows(p) })
		end := (*time.Time)(t.ExpiresAt)
		if end != nil && (effective.expiresAt.IsZero() || end.Before(effective.expiresAt)) {
			effective.expiresAt = *end
		}
		effective.realms = effective.intersectRealms(effective.realms, t.RealmIDs)
		effective.addresses = effective.intersectPrefixes(t.IPWhitelist)
		effective.readOnly = effective.readOnly || t.VaultReadOnly
		effective.intersectKeys(t.VaultPrefixes)
	}
	return effective
}

// intersectRealms returns the realms that both lists allow; an empty list allows all. If two lists
// have nothing in common, the token is unusable.
func (r *rights) intersectRealms(a, b []string) []string {
	if len(a) == 0 || len(b) == 0 {
		return append(slices.Clone(a), b...)
	}
	both := slices.DeleteFunc(slices.Clone(a), func(realm string) bool { return !slices.Contains(b, realm) })
	r.unusable = r.unusable || len(both) == 0
	return both
}

// intersectPrefixes returns the networks that both the rights and b allow, as intersectRealms does.
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

// intersectKeys leaves only the vault keys that the prefixes cover too; an empty list covers all. A
// token without a key left has no vault access, and is otherwise usable.
func (r *rights) intersectKeys(prefixes []string) {
	switch {
	case len(prefixes) == 0 || r.noKeys:
		return
	case len(r.prefixes) == 0:
		r.prefixes = auth.NormalPrefixes(prefixes)
	default:
		r.prefixes = auth.CommonPrefixes(r.prefixes, prefixes)
	}
	if len(r.prefixes) == 0 || !auth.PrefixesFit(r.prefixes) {
		r.noKeys, r.prefixes = true, nil
	}
}

// covers reports whether outer contains all addresses of inner.
func covers(outer, inner netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

// equal reports whether both rights allow the same.
func (r rights) equal(o rights) bool {
	return r.vault == o.vault && r.events == o.events && r.allowNoRealm == o.allowNoRealm && r.unusable == o.unusable &&
		r.expiresAt.Equal(o.expiresAt) &&
		slices.Equal(r.permissions, o.permissions) && slices.Equal(r.realms, o.realms) &&
		slices.Equal(r.addresses, o.addresses) &&
		r.readOnly == o.readOnly && r.noKeys == o.noKeys && slices.Equal(r.prefixes, o.prefixes)
}

// subsetOf reports whether the token has no right that one of its ancestors lacks; true without
// ancestors.
func subsetOf(t Token, ancestors []Token, now time.Time) bool {
	claimed := rightsOf([]Token{t}, now)
	return len(ancestors) == 0 || claimed.equal(rightsOf(append([]Token{t}, ancestors...), now))
}

// grant returns the part of the rights that gateways send to services with each request.
func (r rights) grant() auth.Grant {
	grant := auth.Grant{EventAccess: r.events, Realms: r.realms, AllowNoRealm: r.allowNoRealm,
		Permissions: r.permissions}
	switch {
	case !r.vault || r.noKeys:
	case r.readOnly || len(r.prefixes) > 0:
		grant.VaultScope = &auth.VaultScope{ReadOnly: r.readOnly, Prefixes: r.prefixes}
	default:
		grant.VaultAccess = true
	}
	return grant
}
