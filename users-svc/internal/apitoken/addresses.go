package apitoken

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/netaddr"
)

// addressList is where a token may be used from; empty means anywhere, and is written as ["*"].
type addressList []netip.Prefix

// anyAddress is how clients write that every address will do.
const anyAddress = "*"

// parseAddresses reads addresses and CIDR ranges (RFC 4632, RFC 4291), IPv4 and IPv6, in their
// canonical form and without repeats. One "*" among them makes the list empty; false when an entry
// is none of these.
func parseAddresses(entries []string) (addressList, bool) {
	var list addressList
	everywhere := false
	for _, entry := range entries {
		entry = strings.TrimSpace(entry)
		if entry == anyAddress {
			everywhere = true
			continue
		}
		p, err := netaddr.ParsePrefix(entry)
		if err != nil {
			return nil, false
		}
		if !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	if everywhere {
		return nil, true
	}
	return list, true
}

// strings writes single addresses without a length; empty when the list is.
func (list addressList) strings() []string {
	texts := make([]string, 0, len(list))
	for _, p := range list {
		if p.IsSingleIP() {
			texts = append(texts, p.Addr().String())
		} else {
			texts = append(texts, p.String())
		}
	}
	return texts
}

// MarshalJSON writes the list as clients see it.
func (list addressList) MarshalJSON() ([]byte, error) {
	if len(list) == 0 {
		return api.Marshal([]string{anyAddress})
	}
	return api.Marshal(list.strings())
}
