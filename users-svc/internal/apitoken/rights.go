package apitoken

import (
	"net/netip"
	"slices"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
)

// rights are what a token may do where, and until when.
type rights struct {
	vault, events, noRealm bool
	permissions            []string    // of knownPermissions, in their order
	realms                 []string    // empty: any
	addresses              addressList // empty: any
	until                  time.Time   // zero: no end
	dead                   bool        // disabled, expired, or left with no realm or no address
}

// rightsOf returns what the first token of lineage may do. The others are the token that made it,
// the one that made that, and so on: a token never has a right that one of them lacks at this
// moment, so narrowing or disabling a token acts on all that came from it.
func rightsOf(lineage []Token, now time.Time) rights {
	r := rights{vault: true, events: true, noRealm: true, permissions: auth.KnownPermissions()}
	for _, t := range lineage {
		r.dead = r.dead || !t.IsEnabled || t.expired(now)
		r.vault, r.events, r.noRealm = r.vault && t.VaultAccess, r.events && t.EventAccess, r.noRealm && t.AllowNoRealm
		r.permissions = slices.DeleteFunc(r.permissions, func(p string) bool { return !t.Permissions.Allows(p) })
		if end := (*time.Time)(t.ExpiresAt); end != nil && (r.until.IsZero() || end.Before(r.until)) {
			r.until = *end
		}
		r.realms = r.intersect(r.realms, t.RealmIDs)
		r.addresses = r.intersectPrefixes(t.IPWhitelist)
	}
	return r
}

// intersect returns the realms that both allow. Two restrictions with nothing in common leave no
// place where the token works.
func (r *rights) intersect(a, b []string) []string {
	if len(a) == 0 || len(b) == 0 {
		return append(slices.Clone(a), b...)
	}
	out := slices.DeleteFunc(slices.Clone(a), func(realm string) bool { return !slices.Contains(b, realm) })
	r.dead = r.dead || len(out) == 0
	return out
}

func (r *rights) intersectPrefixes(b addressList) addressList {
	a := r.addresses
	if len(a) == 0 || len(b) == 0 {
		return append(slices.Clone(a), b...)
	}
	var out addressList
	for _, p := range a {
		if slices.ContainsFunc(b, func(q netip.Prefix) bool { return covers(q, p) }) {
			out = append(out, p)
			continue
		}
		for _, q := range b {
			if covers(p, q) {
				out = append(out, q)
			}
		}
	}
	r.dead = r.dead || len(out) == 0
	return out
}

func covers(outer, inner netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

// equal reports whether two tokens of these rights may do the same.
func (r rights) equal(o rights) bool {
	return r.vault == o.vault && r.events == o.events && r.noRealm == o.noRealm && r.dead == o.dead &&
		r.until.Equal(o.until) &&
		slices.Equal(r.permissions, o.permissions) && slices.Equal(r.realms, o.realms) &&
		slices.Equal(r.addresses, o.addresses)
}

// subsetOf reports whether a token t made by the first of makers would claim nothing that they
// lack.
func subsetOf(t Token, makers []Token, now time.Time) bool {
	alone := rightsOf([]Token{t}, now)
	return len(makers) == 0 || alone.equal(rightsOf(append([]Token{t}, makers...), now))
}

// grant is the part of the rights that travels with a request.
func (r rights) grant() auth.Grant {
	return auth.Grant{VaultAccess: r.vault, EventAccess: r.events, Realms: r.realms, AllowNoRealm: r.noRealm,
		Permissions: r.permissions}
}
